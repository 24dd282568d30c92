import type { FileSystem } from "./file-system.ts";

const LINE_FEED = 0x0a;
/** A longer line is not looked through, because it is held in memory. */
const MOST_LINE_BYTES = 16 * 1024 * 1024;

/**
 * Names the first line of a file that is not valid in an encoding, or has a NUL byte: ` in line 7`. Empty if the
 * encoding has no lines that can be told apart as bytes (UTF-16), or a line is very long. Only called for a file that is
 * refused, because it reads the file again.
 */
export async function inBadLine(
  files: FileSystem,
  path: string,
  encoding: string,
): Promise<string> {
  if (encoding.startsWith("utf-16")) return "";
  let line = 1;
  let held: Buffer[] = [];
  let heldBytes = 0;
  for await (const chunk of files.read(path)) {
    const end = chunk.lastIndexOf(LINE_FEED) + 1;
    if (end > 0) {
      const lines = Buffer.concat([...held, chunk.subarray(0, end)]);
      if (isBad(lines, encoding)) return ` in line ${line + linesBeforeBad(lines, encoding)}`;
      line += countLines(lines);
      held = [];
      heldBytes = 0;
    }
    // The chunk's memory is reused for the next one.
    held.push(Buffer.from(chunk.subarray(end)));
    heldBytes += chunk.length - end;
    if (heldBytes > MOST_LINE_BYTES) return "";
  }
  return ` in line ${line}`;
}

function linesBeforeBad(bytes: Buffer, encoding: string): number {
  let lines = 0;
  for (let from = 0; from < bytes.length; lines++) {
    const end = bytes.indexOf(LINE_FEED, from) + 1 || bytes.length;
    if (isBad(bytes.subarray(from, end), encoding)) break;
    from = end;
  }
  return lines;
}

function countLines(bytes: Buffer): number {
  let lines = 0;
  for (let at = bytes.indexOf(LINE_FEED); at !== -1; at = bytes.indexOf(LINE_FEED, at + 1)) lines++;
  return lines;
}

function isBad(bytes: Buffer, encoding: string): boolean {
  try {
    new TextDecoder(encoding, { fatal: true }).decode(bytes);
    return bytes.includes(0);
  } catch {
    return true;
  }
}
