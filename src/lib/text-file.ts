import type { FileSystem } from "./file-system.ts";

/** A file is not the text that it should be; the message says what it is instead. */
export class TextFileError extends Error {
  override readonly name = "TextFileError";
}

/** What a parser of CSV takes at once: a few milliseconds. */
const CHUNK_BYTES = 65_536;

/**
 * The bytes of a UTF-8 file in chunks, checked as they pass. Throws `TextFileError` where the file
 * is empty, compressed, UTF-16, binary, or not valid UTF-8, with the offset of the chunk.
 */
export async function* readUtf8(files: FileSystem, path: string): AsyncGenerator<Buffer> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let offset = 0;
  for await (const chunk of files.read(path, CHUNK_BYTES)) {
    if (offset === 0) refuseOtherFormats(chunk);
    if (chunk.includes(0)) throw new TextFileError("contains NUL bytes, so it is not a text file");
    decode(decoder, chunk, offset);
    offset += chunk.length;
    yield chunk;
  }
  if (offset === 0) throw new TextFileError("is empty");
  decode(decoder, undefined, offset);
}

function decode(decoder: TextDecoder, chunk: Buffer | undefined, offset: number): void {
  try {
    decoder.decode(chunk, { stream: chunk !== undefined });
  } catch {
    throw new TextFileError(`is not valid UTF-8 (after byte ${offset}); save it as UTF-8`);
  }
}

function refuseOtherFormats(start: Buffer): void {
  const [a, b] = start;
  if (a === 0x1f && b === 0x8b) throw new TextFileError("is gzip-compressed; decompress it first");
  if (a === 0x50 && b === 0x4b)
    throw new TextFileError("is a ZIP archive or a spreadsheet; export it as CSV");
  if ((a === 0xff && b === 0xfe) || (a === 0xfe && b === 0xff))
    throw new TextFileError("is encoded in UTF-16; save it as UTF-8");
}
