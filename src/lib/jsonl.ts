import type { FileSystem } from "./file-system.ts";
import { readUtf8, type TextFile, TextFileError } from "./text-file.ts";

/** Longest line that is read, in bytes. */
const MAX_LINE_BYTES = 16 * 1024 * 1024;
const LINE_FEED = 0x0a;

export type Line = { number: number; text: string };

/**
 * The trimmed lines of a JSONL file, numbered from 1 as in an editor. Lines that end in the same piece of the file come
 * together. A BOM and CRLF are accepted. Throws `TextFileError` if the file is not valid text or a line is too long.
 */
export async function* readLines(files: FileSystem, file: TextFile): AsyncGenerator<Line[]> {
  let rest: Buffer[] = [];
  let bytes = 0;
  let number = 0;
  for await (const chunk of readUtf8(files, file)) {
    const lines: Line[] = [];
    let from = 0;
    for (let end = chunk.indexOf(LINE_FEED); end !== -1; end = chunk.indexOf(LINE_FEED, from)) {
      lines.push(toLine(++number, [...rest, chunk.subarray(from, end)]));
      rest = [];
      bytes = 0;
      from = end + 1;
    }
    // The chunk's memory is reused for the next one.
    if (from < chunk.length) rest.push(Buffer.from(chunk.subarray(from)));
    bytes += chunk.length - from;
    if (bytes > MAX_LINE_BYTES)
      throw new TextFileError(
        `has a line of more than ${MAX_LINE_BYTES / 1024 / 1024} MiB (line ${number + 1})`,
      );
    yield lines;
  }
  if (bytes > 0) yield [toLine(number + 1, rest)];
}

function toLine(number: number, pieces: Buffer[]): Line {
  const [first] = pieces;
  const bytes = pieces.length === 1 && first ? first : Buffer.concat(pieces);
  const text = number === 1 ? bytes.toString().replace(/^\uFEFF/, "") : bytes.toString();
  return { number, text: text.trim() };
}
