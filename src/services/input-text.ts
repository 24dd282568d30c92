import type { Context } from "../context.ts";
import type { InputFound } from "../domain/input-found.ts";
import { AppError, invalid } from "../errors.ts";
import { detectEncoding, SAMPLE_BYTES } from "../lib/encoding.ts";
import { TableFileError } from "../lib/tables/table.ts";
import { readTextStart, type TextFile, TextFileError } from "../lib/text-file.ts";
import type { RowSource } from "./prepare-row.ts";

export type BatchInput = {
  source: RowSource;
  /** The columns of the file with its own names; those of a JSON file are known once it has been read. */
  columns: () => string[] | null;
  /** How the file was read and what it contains, once it has been read; null for inline tasks. */
  found: () => Omit<InputFound, "rows"> | null;
  /** The size of the file. */
  bytes?: number;
  /** Releases the input. */
  close?: () => Promise<void>;
};

/** A file with the client's name for it, which error messages use. */
export type NamedFile = { path: string; name: string };

/** A text file and the beginning of its text; `isWhole`: the whole text. */
export type OpenedText = NamedFile & TextFile & { start: string; isWhole: boolean };

/**
 * Detects the encoding of a file, and reads its beginning. Throws `VALIDATION_ERROR` if it is not text, in the words of
 * `explain`.
 */
export async function openText(
  { files }: Context,
  { path, name }: NamedFile,
  declared: string | undefined,
  explain: Explain = explainReading,
): Promise<OpenedText> {
  try {
    const encoding = await detectEncoding(files, path, declared);
    const { text, isWhole } = await readTextStart(files, { path, encoding }, SAMPLE_BYTES);
    return { path, name, encoding, start: text, isWhole };
  } catch (error) {
    throw explain(name, error);
  }
}

/** The items of a reader of the file; its errors become validation errors, in the words of `explain`. */
export async function* explained<T>(
  name: string,
  items: AsyncIterable<T>,
  explain: Explain = explainReading,
): AsyncGenerator<T> {
  try {
    yield* items;
  } catch (error) {
    throw explain(name, error);
  }
}

/** Turns an error of reading the file with a name into one for clients. */
type Explain = (name: string, error: unknown) => unknown;

/** The error for a file that cannot be read. */
export function explainReading(name: string, error: unknown): unknown {
  if (error instanceof TextFileError && error.hint !== undefined)
    return invalid([{ path: "inputFile", message: `${name} ${error.message}; ${error.hint}` }]);
  if (error instanceof TextFileError || error instanceof TableFileError)
    return invalid([{ path: "inputFile", message: `${name} ${error.message}` }]);
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "EACCES")
    return invalid([{ path: "inputFile", message: `${name} cannot be read (permission denied)` }]);
  if (code === "ENOENT")
    return new AppError("FILE_NOT_FOUND", `${name} was deleted while it was read`);
  return error;
}
