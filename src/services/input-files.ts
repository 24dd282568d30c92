import type { Context } from "../context.ts";
import type { InputFound } from "../domain/input-found.ts";
import { AppError, invalid } from "../errors.ts";
import { findFileInside, PathError } from "../lib/paths.ts";
import { openCsv } from "./csv-rows.ts";
import { explainPath } from "./explain-path.ts";
import { findUpload } from "./files.ts";
import {
  type BatchInput,
  explainReading,
  type NamedFile,
  type OpenedText,
  openText,
} from "./input-text.ts";
import { openJson } from "./json-rows.ts";
import type { PreparedRow, RowContext, RowSource } from "./prepare-row.ts";

/**
 * Opens a CSV or JSON file, by the id of an upload or its path in the files folder, as the input of
 * a batch. Throws `FILE_NOT_FOUND`, or `VALIDATION_ERROR` where the path, the file, its header or a
 * template is wrong.
 */
export async function openInputFile(
  ctx: Context,
  inputFile: string,
  rows: RowContext,
): Promise<BatchInput> {
  const file = await requireFile(ctx, inputFile);
  const version = await versionOf(ctx, file);
  const input = await openKnown(ctx, file, rows);
  return { ...input, source: () => requireUnchanged(ctx, file, version, input.source()) };
}

async function openKnown(ctx: Context, file: NamedFile, rows: RowContext): Promise<BatchInput> {
  const text = await openText(ctx, file, rows.config.csv?.encoding);
  const format = formatOf(text);
  if (format === "csv") return openCsv(ctx, text, rows);
  const { delimiter, header } = rows.config.csv ?? {};
  if (delimiter !== undefined || header !== undefined)
    throw invalid([{ path: "config.csv", message: `${file.name} is JSON and no CSV` }]);
  return openJson(ctx, text, format, rows);
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

/** A file is read more than once, and must say the same each time: rows of before and after a change must not become one batch. */
async function* requireUnchanged(
  ctx: Context,
  file: NamedFile,
  version: string,
  rows: ReturnType<RowSource>,
): AsyncGenerator<PreparedRow> {
  yield* rows;
  if ((await versionOf(ctx, file)) === version) return;
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

/** By the name of a CSV, or else by the first characters: JSON begins with a bracket, whatever it is called. */
function formatOf({ name, start }: OpenedText): InputFound["format"] {
  if (/\.(csv|tsv|tab|txt)$/i.test(name)) return "csv";
  const text = start.trimStart();
  if (/^\[\s*[{\]]/.test(text)) return "json";
  if (/\.json$/i.test(name) && text.startsWith("[")) return "json";
  return text.startsWith("{") || /\.(jsonl|ndjson|json)$/i.test(name) ? "jsonl" : "csv";
}
