import { inBadLine } from "./bad-line.ts";
import type { FileSystem } from "./file-system.ts";

/** A file is not text in its encoding; the message says what it is. */
export class TextFileError extends Error {
  override readonly name = "TextFileError";
  /** What helps, if the encoding of the file can be named. */
  readonly hint: string | undefined;

  constructor(message: string, hint?: string) {
    super(message);
    this.hint = hint;
  }
}

/** A text file and how its bytes are to be read. */
export type TextFile = { path: string; encoding: string };

/** How much the CSV parser gets at once: a few milliseconds of work. */
const CHUNK_BYTES = 32_768;

/**
 * The text of a file as chunks of UTF-8, whatever its encoding, checked as it passes. The memory of a chunk is reused
 * for the next. Throws `TextFileError` if the file is empty or not in that encoding, with the line.
 */
export async function* readUtf8(files: FileSystem, file: TextFile): AsyncGenerator<Buffer> {
  const isUtf8 = new TextDecoder(file.encoding).encoding === "utf-8";
  for await (const { text, bytes } of readPieces(files, file))
    yield isUtf8 ? bytes : Buffer.from(text);
}

/** The file as decoded pieces. A character that is split between two chunks is in the second piece. */
export async function* readText(files: FileSystem, file: TextFile): AsyncGenerator<string> {
  for await (const { text } of readPieces(files, file)) yield text;
}

async function* readPieces(
  files: FileSystem,
  { path, encoding }: TextFile,
): AsyncGenerator<{ text: string; bytes: Buffer }> {
  const decoder = new TextDecoder(encoding, { fatal: true, ignoreBOM: true });
  const name = decoder.encoding === "utf-8" ? "UTF-8" : decoder.encoding;
  const notValid = async () =>
    new TextFileError(
      `is not valid ${name}${await inBadLine(files, path, encoding)}`,
      "save it as UTF-8, or name its encoding in config.csv.encoding",
    );
  let isEmpty = true;
  for await (const bytes of files.read(path, CHUNK_BYTES)) {
    const text = decode(decoder, bytes);
    if (text === undefined) throw await notValid();
    if (text.includes("\0")) throw hasNul(await inBadLine(files, path, encoding));
    isEmpty = false;
    yield { text, bytes };
  }
  if (isEmpty) throw new TextFileError("is empty");
  if (decode(decoder, undefined) === undefined) throw await notValid();
}

/** The refusal of a file with NUL characters. `where` is of `inBadLine`. */
export function hasNul(where: string): TextFileError {
  return new TextFileError(
    `contains NUL bytes${where}, so it is not a text file`,
    "remove them, or write the file again as text",
  );
}

/** The beginning of a file as text; a character that is cut off at its end is left out. */
export async function readTextStart(
  files: FileSystem,
  { path, encoding }: TextFile,
  bytes: number,
): Promise<{ text: string; isWhole: boolean }> {
  const start = await files.readStart(path, bytes);
  const text = new TextDecoder(encoding).decode(start, { stream: true });
  return { text, isWhole: start.length < bytes };
}

function decode(decoder: TextDecoder, chunk: Buffer | undefined): string | undefined {
  try {
    return decoder.decode(chunk, { stream: chunk !== undefined });
  } catch {
    return undefined;
  }
}
