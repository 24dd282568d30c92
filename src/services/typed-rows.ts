import type { Context } from "../context.ts";
import { columnNames } from "../domain/columns.ts";
import type { FileSystem } from "../lib/file-system.ts";
import type { TableFormat, TableFound, TableSource } from "../lib/tables/table.ts";
import { type BatchInput, explained, type NamedFile } from "./input-text.ts";
import type { RowContext } from "./prepare-row.ts";
import { openTable } from "./table-rows.ts";

/** A ZIP archive, one that is empty, and `PAR1`. */
const SIGNATURES = new Map<string, TableFormat>([
  ["504b0304", "xlsx"],
  ["504b0506", "xlsx"],
  ["50415231", "parquet"],
]);

/** The typed format of a file, by its first bytes, whatever its name. */
export async function typedFormatOf(
  files: FileSystem,
  path: string,
): Promise<TableFormat | undefined> {
  const start = (await files.readStart(path, 4)).toString("hex");
  return SIGNATURES.get(start);
}

/**
 * Opens a workbook or a Parquet file. Throws `VALIDATION_ERROR` if it cannot be read, or its header or a template is
 * wrong.
 */
export async function openTyped(
  ctx: Context,
  { path, name }: NamedFile,
  format: TableFormat,
  context: RowContext,
): Promise<BatchInput> {
  const { header = true, headerRow, ...options } = context.config.xlsx ?? {};
  const source: TableSource = { path, format, options };
  let found: TableFound = { sheet: null, dates: [] };
  const table = {
    name,
    hasHeader: format === "parquet" || header,
    headerRow,
    isRagged: true,
    advice:
      "give each column that has something a name in the header, or clear the cells to the right of the table",
    records: () =>
      explained(
        name,
        ctx.tables.read(source, (all) => {
          found = all;
        }),
      ),
  };
  const input = await openTable(table, context);
  return {
    ...input,
    found() {
      const names = columnNames(input.columns());
      return {
        ...input.found(),
        format,
        delimiter: null,
        encoding: null,
        ...(found.sheet === null ? {} : { sheet: found.sheet }),
        dates: found.dates.flatMap((column) => names[column] ?? []),
      };
    },
  };
}
