import type { AsyncBuffer, Compressors, FileMetaData } from "hyparquet";
import { compressors, decompressZstd } from "hyparquet-compressors";
import { parquetHeader } from "hyparquet/src/column.js";

import { TableFileError } from "./table.ts";

/*
 * A page of a Parquet file says how many values it has and how large it is unpacked, and the library
 * makes room for that many before it reads any: a kilobyte can claim two billion. So the heads of all
 * pages are read first.
 */

const MOST_PAGE_BYTES = 128 * 1024 * 1024;
const MOST_GROUP_BYTES = 256 * 1024 * 1024;
/** Limit of a group; the values of lists count one by one. */
const MOST_GROUP_VALUES = 16_000_000;

type RowGroup = FileMetaData["row_groups"][number];

/** Throws `TableFileError` if the pages of a group declare more than may be unpacked. */
export async function requireBoundedPages(
  file: AsyncBuffer,
  { columns }: RowGroup,
  where: string,
): Promise<void> {
  let [values, bytes] = [0, 0];
  for (const { meta_data: column } of columns) {
    if (!column)
      throw new TableFileError(`is damaged: ${where} has a column without a description`);
    const first = column.dictionary_page_offset || column.data_page_offset;
    const start = Math.min(Number(first), Number(column.data_page_offset));
    const view = new DataView(
      await file.slice(start, start + Number(column.total_compressed_size)),
    );
    const reader = { view, offset: 0 };
    while (reader.offset < view.byteLength - 1) {
      const page = parquetHeader(reader);
      const { data_page_header: v1, data_page_header_v2: v2, dictionary_page_header: words } = page;
      values += Number(v1?.num_values ?? v2?.num_values ?? words?.num_values ?? 0);
      bytes += Number(page.uncompressed_page_size);
      if (!(values <= MOST_GROUP_VALUES && bytes <= MOST_GROUP_BYTES))
        throw new TableFileError(
          `has more than ${MOST_GROUP_BYTES} bytes, or ${MOST_GROUP_VALUES} values, unpacked in ${where}; ` +
            "write it with a smaller row_group_size",
        );
      if (!(page.compressed_page_size >= 0)) throw new TableFileError(`is damaged in ${where}`);
      reader.offset += page.compressed_page_size;
    }
  }
}

/** The decompressors, none of which produces more bytes than the page declared. */
export const BOUNDED_COMPRESSORS: Compressors = Object.fromEntries(
  Object.entries({
    ...compressors,
    ZSTD: (input: Uint8Array, length: number) => decompressZstd(input, new Uint8Array(length)),
  }).map(([name, unpack]) => [
    name,
    (input: Uint8Array, length: number) => {
      if (!(length <= MOST_PAGE_BYTES))
        throw new TableFileError(
          `has a page of ${length} bytes unpacked; ${MOST_PAGE_BYTES} is the most`,
        );
      return unpack(input, length);
    },
  ]),
);
