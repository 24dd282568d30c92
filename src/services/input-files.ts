import type { Context } from "../context.ts";
import { unknownVariables } from "../domain/compose.ts";
import { createRowReader, headerIssues } from "../domain/csv-columns.ts";
import { type BatchConfig } from "../domain/task-input.ts";
import { placeholders } from "../domain/template.ts";
import { AppError, invalid } from "../errors.ts";
import { readCsv } from "../lib/csv.ts";
import { findFileInside, PathError } from "../lib/paths.ts";
import { TextFileError } from "../lib/text-file.ts";
import type { RowSource } from "./ingest.ts";
import { prepareFields, type PreparedRow, type RowContext } from "./prepare-row.ts";

export type BatchInput = { columns: string[]; source: RowSource };

/**
 * Opens a CSV in the files folder as the input of a batch. Throws `FILE_NOT_FOUND`, or
 * `VALIDATION_ERROR` where the path, the file, its header or a template is wrong. Errors name the
 * file as the client did.
 */
export async function openInputFile(
  ctx: Context,
  name: string,
  rows: RowContext,
): Promise<BatchInput> {
  const path = await requireFile(ctx, name);
  const columns = await readHeader(path, name);
  requireKnownVariables(rows.config, columns);
  return { columns, source: () => readRows(path, name, columns, rows) };
}

async function requireFile(ctx: Context, name: string): Promise<string> {
  try {
    const path = await findFileInside(ctx.config.filesDir, name);
    if (path !== undefined) return path;
  } catch (error) {
    if (error instanceof PathError)
      throw invalid([{ path: "inputFile", message: `${JSON.stringify(name)} ${error.message}` }]);
    throw error;
  }
  throw new AppError(
    "FILE_NOT_FOUND",
    `There is no file ${JSON.stringify(name)} in the files folder`,
  );
}

async function readHeader(path: string, name: string): Promise<string[]> {
  const { value: header } = await readingErrors(name, () => readCsv(path).next());
  if (!header) throw invalid([{ path: "inputFile", message: `${name} has no header row` }]);
  const issues = headerIssues(header);
  if (issues.length > 0)
    throw invalid(
      issues.map((issue) => ({ path: "inputFile", message: `header of ${name}: ${issue}` })),
    );
  return header;
}

function requireKnownVariables(config: BatchConfig, columns: string[]): void {
  const issues = (["promptTemplate", "systemPrompt"] as const).flatMap((field) => {
    const missing = placeholders(config[field] ?? "").filter(
      (variable) => !columns.includes(variable),
    );
    return missing.length > 0
      ? [{ path: `config.${field}`, message: unknownVariables(missing, columns) }]
      : [];
  });
  if (issues.length > 0) throw invalid(issues);
}

async function* readRows(
  path: string,
  name: string,
  columns: string[],
  context: RowContext,
): AsyncGenerator<PreparedRow> {
  const readRow = createRowReader(columns);
  const records = readCsv(path);
  await records.next();
  for (let row = 1; ; row++) {
    const { value: cells, done } = await readingErrors(name, () => records.next());
    if (done) return;
    if (cells.length !== columns.length) {
      const message = `the row has ${cells.length} cells, the header ${columns.length}`;
      yield { row, value: null, issues: [{ field: "", message }] };
      continue;
    }
    const { fields, variables, issues } = readRow(cells);
    yield issues.length > 0
      ? { row, value: null, issues }
      : prepareFields(context, row, fields, variables, cells);
  }
}

async function readingErrors<T>(name: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof TextFileError)
      throw invalid([{ path: "inputFile", message: `${name} ${error.message}` }]);
    if (error instanceof Error && "code" in error && error.code === "EACCES")
      throw invalid([{ path: "inputFile", message: `${name} cannot be read (permission denied)` }]);
    throw error;
  }
}
