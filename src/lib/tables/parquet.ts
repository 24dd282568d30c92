import { open } from "node:fs/promises";

import { type AsyncBuffer, type FileMetaData, parquetMetadataAsync, parquetRead } from "hyparquet";

import { BOUNDED_COMPRESSORS, requireBoundedPages } from "./parquet-limits.ts";
import { cellOf, type Column, columnsOf, PARSERS, withWholeDecimals } from "./parquet-values.ts";
import {
  type Cell,
  MOST_SHEET_COLUMNS,
  RowCollector,
  TableFileError,
  type TableRows,
} from "./table.ts";

const MOST_ROWS = 10_000_000;
/** Limit of a group of rows, which is decoded whole. */
const MOST_GROUP_CELLS = 8_000_000;
/** Limit of a footer, and of a column of a group. */
const MOST_SLICE_BYTES = 256 * 1024 * 1024;

/**
 * The rows of a Parquet file, the names of its columns first, a group of rows at a time. Lists and structures are
 * JSON texts. Throws `TableFileError` if it cannot be read or exceeds a limit.
 */
export async function* readParquet(
  path: string,
  onFound: Parameters<TableRows>[0],
): AsyncGenerator<Cell[][]> {
  const handle = await open(path);
  try {
    const file: AsyncBuffer = {
      byteLength: (await handle.stat()).size,
      async slice(start, end = file.byteLength) {
        const length = end - start;
        if (!(start >= 0 && length >= 0 && end <= file.byteLength && length <= MOST_SLICE_BYTES))
          throw new TableFileError(TOO_LARGE);
        const { buffer } = await handle.read(new Uint8Array(length), 0, length, start);
        return buffer.buffer;
      },
    };
    const metadata = await explained(
      parquetMetadataAsync(file, { parsers: PARSERS, geoparquet: false }),
    );
    yield* rowsOf(file, metadata, onFound);
  } finally {
    await handle.close();
  }
}

const TOO_LARGE =
  "cannot be read: a part of it is too large, or the file is damaged; write it with smaller row groups";

async function* rowsOf(
  file: AsyncBuffer,
  metadata: FileMetaData,
  onFound: Parameters<TableRows>[0],
): AsyncGenerator<Cell[][]> {
  const columns = explainedNow(() => columnsOf(metadata));
  if (columns.length > MOST_SHEET_COLUMNS)
    throw new TableFileError(`has ${columns.length} columns; ${MOST_SHEET_COLUMNS} is the most`);
  if (metadata.num_rows > MOST_ROWS)
    throw new TableFileError(`has ${metadata.num_rows} rows; ${MOST_ROWS} is the most`);
  // The library finds columns by their names, so the second of two would have the values of the first.
  const names = columns.map(({ name }) => name);
  const twin = names.find((name, i) => names.indexOf(name) < i);
  if (twin !== undefined)
    throw new TableFileError(`has two columns with the name ${JSON.stringify(twin)}; rename one`);
  yield [names];
  const readable = explainedNow(() => withWholeDecimals(metadata));
  const collector = new RowCollector();
  let rowStart = 0;
  for (const [index, group] of metadata.row_groups.entries()) {
    const where = `row group ${index + 1}`;
    const count = Number(group.num_rows);
    if (count * columns.length > MOST_GROUP_CELLS)
      throw new TableFileError(
        `has ${count} rows of ${columns.length} columns in ${where}; ${MOST_GROUP_CELLS} cells in a group are ` +
          "the most: write it with a smaller row_group_size",
      );
    // pyarrow writes a group without rows, whose pages are nowhere.
    if (count === 0) continue;
    await explained(requireBoundedPages(file, group, where));
    const rows = await readGroup(file, readable, rowStart, rowStart + count);
    rowStart += count;
    for (const row of rows) {
      collector.add(cellsOf(row, columns), where);
      if (collector.isFull) yield collector.take();
    }
  }
  yield collector.take();
  if (rowStart !== Number(metadata.num_rows))
    throw new TableFileError(`is damaged: it says ${metadata.num_rows} rows and has ${rowStart}`);
  onFound({
    sheet: null,
    dates: columns.flatMap(({ isDate }, i) => (isDate ? [i] : [])),
  });
}

async function readGroup(
  file: AsyncBuffer,
  metadata: FileMetaData,
  rowStart: number,
  rowEnd: number,
): Promise<unknown[][]> {
  let read: unknown[][] = [];
  if (rowEnd > rowStart)
    await explained(
      parquetRead({
        file,
        metadata,
        rowStart,
        rowEnd,
        compressors: BOUNDED_COMPRESSORS,
        parsers: PARSERS,
        utf8: false,
        onComplete: (rows) => {
          read = rows;
        },
      }),
    );
  if (read.length !== rowEnd - rowStart)
    throw new TableFileError(`is damaged: rows after row ${rowStart + read.length} are missing`);
  return read;
}

function cellsOf(row: unknown[], columns: Column[]): Cell[] {
  return columns.map((column, i) => cellOf(row[i], column));
}

async function explained<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw asRefusal(error);
  }
}

function explainedNow<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw asRefusal(error);
  }
}

/** The library throws many kinds of errors for a bad file. */
function asRefusal(error: unknown): unknown {
  if (error instanceof TableFileError || (error instanceof Error && "syscall" in error))
    return error;
  const why = error instanceof Error ? error.message : String(error);
  return new TableFileError(`is not a readable Parquet file (${why.slice(0, 200)})`);
}
