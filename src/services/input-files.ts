import type { Context } from "../context.ts";
import { createRowReader, headerIssues } from "../domain/columns.ts";
import { unknownVariables } from "../domain/compose.ts";
import { readJsonlLine } from "../domain/jsonl-line.ts";
import { type BatchConfig } from "../domain/task-input.ts";
import { parseTemplate } from "../domain/template.ts";
import { AppError, invalid } from "../errors.ts";
import { readCsv } from "../lib/csv.ts";
import { readLines } from "../lib/jsonl.ts";
import { findFileInside, PathError } from "../lib/paths.ts";
import { TextFileError } from "../lib/text-file.ts";
import { explainPath } from "./explain-path.ts";
import { findUpload } from "./files.ts";
import {
  prepareFields,
  type PreparedRow,
  prepareProviderLine,
  type RowContext,
  type RowSource,
} from "./prepare-row.ts";

export type BatchInput = {
  source: RowSource;
  /** The columns of the file; those of a JSONL file are known once it has been read. */
  columns: () => string[] | null;
};

/** A file, by the name that the client gave it, which is the one that errors say. */
type NamedFile = { path: string; name: string };
/** As it was when it was opened. It is read more than once, and must say the same each time. */
type OpenedFile = NamedFile & { version: string };

/** Different names that the lines of a JSONL file may have in all. */
const MOST_NAMES = 1000;

/**
 * Opens a CSV or JSONL file, by the id of an upload or its path in the files folder, as the input of
 * a batch. Throws `FILE_NOT_FOUND`, or `VALIDATION_ERROR` where the path, the file, its header or a
 * template is wrong.
 */
export async function openInputFile(
  ctx: Context,
  inputFile: string,
  rows: RowContext,
): Promise<BatchInput> {
  const named = await requireFile(ctx, inputFile);
  const version = await versionOf(ctx, named);
  const file = { ...named, version };
  if (await isJsonl(ctx, file)) return openJsonl(ctx, file, rows);
  const columns = await readHeader(ctx, file);
  requireKnownVariables(rows.config, columns);
  return { columns: () => columns, source: () => readCsvRows(ctx, file, columns, rows) };
}

async function requireFile(ctx: Context, inputFile: string): Promise<NamedFile> {
  const upload = await findUpload(ctx, inputFile);
  if (upload) return upload;
  try {
    const path = await findFileInside(ctx.files, ctx.config.filesDir, inputFile);
    if (path !== undefined) return { path, name: inputFile };
  } catch (error) {
    if (error instanceof PathError)
      throw invalid([{ path: "inputFile", message: explainPath(inputFile, error, "read") }]);
    throw error;
  }
  throw new AppError(
    "FILE_NOT_FOUND",
    `There is no file ${JSON.stringify(inputFile)}: neither an upload of that id nor a file in the files folder`,
  );
}

/** By its name, or else by its first character. */
async function isJsonl({ files }: Context, { path, name }: NamedFile): Promise<boolean> {
  if (/\.(jsonl|ndjson)$/i.test(name)) return true;
  if (/\.(csv|txt)$/i.test(name)) return false;
  const start = await files.readStart(path, 64).catch((error: unknown) => {
    throw explainReading(name, error);
  });
  return start
    .toString()
    .replace(/^\uFEFF/, "")
    .trimStart()
    .startsWith("{");
}

function openJsonl(ctx: Context, file: OpenedFile, rows: RowContext): BatchInput {
  const names = new Set<string>();
  return { columns: () => [...names], source: () => readJsonlRows(ctx, file, rows, names) };
}

async function* readJsonlRows(
  ctx: Context,
  file: OpenedFile,
  context: RowContext,
  seen: Set<string>,
): AsyncGenerator<PreparedRow> {
  const { path, name } = file;
  for await (const { number: row, text } of explained(name, readLines(ctx.files, path))) {
    const { names, line, issues } = readJsonlLine(text);
    for (const one of names) seen.add(one);
    if (seen.size > MOST_NAMES)
      throw invalid([
        { path: "inputFile", message: `${name} has more than ${MOST_NAMES} different names` },
      ]);
    if (!line) yield { row, value: null, issues };
    else if (line.kind === "provider") yield prepareProviderLine(context, row, line, text);
    else yield prepareFields(context, row, line.fields, line.variables, text);
  }
  await requireUnchanged(ctx, file);
}

async function readHeader({ files }: Context, { path, name }: NamedFile): Promise<string[]> {
  const header = await firstOf(explained(name, readCsv(files, path)));
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
    const missing = parseTemplate(config[field] ?? "").names.filter(
      (variable) => !columns.includes(variable),
    );
    return missing.length > 0
      ? [{ path: `config.${field}`, message: unknownVariables(missing, columns) }]
      : [];
  });
  if (issues.length > 0) throw invalid(issues);
}

async function* readCsvRows(
  ctx: Context,
  file: OpenedFile,
  columns: string[],
  context: RowContext,
): AsyncGenerator<PreparedRow> {
  const readRow = createRowReader(columns);
  const { path, name } = file;
  let row = -1;
  for await (const cells of explained(name, readCsv(ctx.files, path))) {
    row++;
    if (row === 0) continue; // the header
    if (cells.length !== columns.length) {
      const message = `the row has ${cells.length} cells, the header ${columns.length}`;
      yield { row, value: null, issues: [{ field: "", message }] };
      continue;
    }
    const { fields, variables, issues } = readRow(cells);
    yield issues.length > 0
      ? { row, value: null, issues }
      : prepareFields(context, row, fields, variables, JSON.stringify(cells));
  }
  await requireUnchanged(ctx, file);
}

/** At the end of each reading: rows of before and after a change must not become one batch. */
async function requireUnchanged(ctx: Context, file: OpenedFile): Promise<void> {
  if ((await versionOf(ctx, file)) === file.version) return;
  const message = `${file.name} was changed while it was read; write a file under another name and rename it when it is whole`;
  throw invalid([{ path: "inputFile", message }]);
}

async function versionOf({ files }: Context, { path, name }: NamedFile): Promise<string> {
  try {
    return await files.versionOf(path);
  } catch (error) {
    throw explainReading(name, error);
  }
}

/** What a reader of the file gives, its errors being told to the client. */
async function* explained<T>(name: string, items: AsyncIterable<T>): AsyncGenerator<T> {
  try {
    yield* items;
  } catch (error) {
    throw explainReading(name, error);
  }
}

async function firstOf<T>(items: AsyncIterable<T>): Promise<T | undefined> {
  for await (const item of items) return item;
  return undefined;
}

function explainReading(name: string, error: unknown): unknown {
  if (error instanceof TextFileError)
    return invalid([{ path: "inputFile", message: `${name} ${error.message}` }]);
  if (error instanceof Error && "code" in error && error.code === "EACCES")
    return invalid([{ path: "inputFile", message: `${name} cannot be read (permission denied)` }]);
  return error;
}
