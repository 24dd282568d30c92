import type { Context } from "../context.ts";
import { warningOf } from "../domain/input-found.ts";
import { AppError, invalid } from "../errors.ts";
import type { LocalFile } from "../lib/file-store.ts";
import { PathError } from "../lib/paths.ts";
import type { Caller } from "./caller.ts";
import { openCsv } from "./csv-rows.ts";
import { explainPath } from "./explain-path.ts";
import { asReading, findUpload } from "./files.ts";
import {
  type BatchInput,
  explainReading,
  type NamedFile,
  type OpenedText,
  openText,
} from "./input-text.ts";
import { fetchInput, isUrl } from "./input-url.ts";
import { openJson } from "./json-rows.ts";
import { openLineFile, openLines } from "./openai-lines.ts";
import type { RowContext, RowPortion, RowSource } from "./prepare-row.ts";
import { openTyped, typedFormatOf } from "./typed-rows.ts";

/**
 * Opens a table (CSV, JSON, a workbook, Parquet) as the input of a batch, by the id of an upload, its path in the
 * files folder, or its URL. Throws `FILE_NOT_FOUND`, or `VALIDATION_ERROR` if the path, the file, its header or a
 * template is wrong.
 */
export async function openInputFile(
  ctx: Context,
  caller: Pick<Caller, "key">,
  inputFile: string,
  rows: RowContext,
): Promise<BatchInput> {
  const { release, ...file } = isUrl(inputFile)
    ? await fetchInput(ctx, caller, inputFile)
    : await requireFile(ctx, inputFile);
  try {
    return { ...(await openFile(ctx, file, rows)), close: release };
  } catch (error) {
    await release();
    throw error;
  }
}

async function openFile(ctx: Context, file: NamedFile, rows: RowContext): Promise<BatchInput> {
  const version = await versionOf(ctx, file);
  const input = await openKnown(ctx, file, rows);
  return {
    ...input,
    bytes: (await ctx.files.blob(file.path)).size,
    source: () => requireUnchanged(ctx, file, version, input.source()),
    found: () => warned(file, input.found()),
  };
}

async function openKnown(ctx: Context, file: NamedFile, rows: RowContext): Promise<BatchInput> {
  if (rows.openAi) return openLines(ctx, await openLineFile(ctx, file), rows, rows.openAi);
  const typed = await typedFormatOf(ctx.files, file.path).catch((error: unknown) => {
    throw explainReading(file.name, error);
  });
  if (typed) {
    requireOptions(rows, file, typed === "xlsx" ? ["xlsx"] : []);
    return openTyped(ctx, file, typed, rows);
  }
  const text = await openText(ctx, file, rows.config.csv?.encoding);
  const format = formatOf(text);
  requireOptions(rows, file, ["csv"]);
  if (format === "csv") return openCsv(ctx, text, rows);
  const { delimiter, header, headerRow } = rows.config.csv ?? {};
  if ((delimiter ?? header ?? headerRow) !== undefined)
    throw invalid([{ path: "config.csv", message: `${file.name} is JSON, not CSV` }]);
  return openJson(ctx, text, format, rows);
}

function warned({ name }: NamedFile, found: ReturnType<BatchInput["found"]>): typeof found {
  const warning = found && warningOf(name, found.format);
  return warning ? { ...found, warning } : found;
}

const OPTIONS = { csv: "CSV or JSON", xlsx: "a workbook" } as const;

/** Refuses options for another format. */
function requireOptions({ config }: RowContext, { name }: NamedFile, known: string[]): void {
  for (const [option, format] of Object.entries(OPTIONS))
    if (option in config && !known.includes(option))
      throw invalid([{ path: `config.${option}`, message: `${name} is not ${format}` }]);
}

async function requireFile(ctx: Context, inputFile: string): Promise<LocalFile & NamedFile> {
  const upload = await findUpload(ctx, inputFile);
  if (upload) return upload;
  try {
    const file = await asReading(() => ctx.fileStore.toDisk({ path: inputFile }));
    if (file) return { ...file, name: inputFile };
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

/** A file must not change while it is read: a batch must not mix rows from before and after a change. */
async function* requireUnchanged(
  ctx: Context,
  file: NamedFile,
  version: string,
  rows: ReturnType<RowSource>,
): AsyncGenerator<RowPortion> {
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

/** Recognises a CSV by its name, and JSON by its first bracket, whatever its name. */
function formatOf({ name, start }: OpenedText): "csv" | "json" | "jsonl" {
  if (/\.(csv|tsv|tab|txt)$/i.test(name)) return "csv";
  const text = start.trimStart();
  if (/^\[\s*[{\]]/.test(text)) return "json";
  if (/\.json$/i.test(name) && text.startsWith("[")) return "json";
  return text.startsWith("{") || /\.(jsonl|ndjson|json)$/i.test(name) ? "jsonl" : "csv";
}
