import type { Context } from "../context.ts";
import { type CsvDialect, sniffCsv } from "../lib/csv-sniff.ts";
import { headerIn, readCsv } from "../lib/csv.ts";
import { type BatchInput, explained, type OpenedText } from "./input-text.ts";
import type { RowContext } from "./prepare-row.ts";
import { openTable } from "./table-rows.ts";

/** Opens a CSV. Throws `VALIDATION_ERROR` if its header or a template is wrong. */
export async function openCsv(
  ctx: Context,
  file: OpenedText,
  context: RowContext,
): Promise<BatchInput> {
  const { delimiter, header = true, headerRow } = context.config.csv ?? {};
  const isTsv = /\.(tsv|tab)$/i.test(file.name);
  const sniffed = sniffCsv(file.start, { isWhole: file.isWhole, isTsv });
  const dialect: CsvDialect = { ...sniffed, ...(delimiter === undefined ? {} : { delimiter }) };
  const separator = dialect.delimiter === "\t" ? "tabs" : JSON.stringify(dialect.delimiter);
  const nameOf = (column: number) =>
    header ? headerIn(file.start, dialect, headerRow)[column] : undefined;
  const table = {
    name: file.name,
    hasHeader: header,
    headerRow,
    isRagged: false,
    advice: `cells are separated by ${separator}, and one that holds that or a line break needs quotes`,
    records: () => explained(file.name, readCsv(ctx.files, file, dialect, nameOf)),
  };
  const input = await openTable(table, context);
  return {
    ...input,
    found: () => ({
      ...input.found(),
      format: "csv",
      delimiter: dialect.delimiter,
      encoding: file.encoding,
    }),
  };
}
