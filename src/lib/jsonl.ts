import type { FileSystem } from "./file-system.ts";
import { readUtf8, TextFileError } from "./text-file.ts";

/** Longest line that is read, in bytes. */
const MAX_LINE_BYTES = 16 * 1024 * 1024;
const LINE_FEED = 0x0a;

export type Line = { number: number; text: string };

/**
 * The lines of a JSONL file that are not blank, numbered from 1 as an editor does; a BOM and CRLF
 * are accepted. Throws `TextFileError` where the file is no UTF-8 text or a line is too long.
 */
export async function* readLines(files: FileSystem, path: string): AsyncGenerator<Line> {
  let rest: Buffer[] = [];
  let bytes = 0;
  let number = 0;
  for await (const chunk of readUtf8(files, path)) {
    let from = 0;
    for (let end = chunk.indexOf(LINE_FEED); end !== -1; end = chunk.indexOf(LINE_FEED, from)) {
      const line = toLine(++number, [...rest, chunk.subarray(from, end)]);
      if (line) yield line;
      rest = [];
      bytes = 0;
      from = end + 1;
    }
    // The chunk's memory is used again for the next one.
    if (from < chunk.length) rest.push(Buffer.from(chunk.subarray(from)));
    bytes += chunk.length - from;
    if (bytes > MAX_LINE_BYTES)
      throw new TextFileError(
        `has a line of more than ${MAX_LINE_BYTES / 1024 / 1024} MiB (line ${number + 1})`,
      );
  }
  const last = toLine(number + 1, rest);
  if (last) yield last;
}

function toLine(number: number, pieces: Buffer[]): Line | undefined {
  const [first] = pieces;
  const bytes = pieces.length === 1 && first ? first : Buffer.concat(pieces);
  const text = (number === 1 ? bytes.toString().replace(/^\uFEFF/, "") : bytes.toString()).trim();
  return text === "" ? undefined : { number, text };
}
