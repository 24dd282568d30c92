import { inBadLine } from "./bad-line.ts";
import type { FileSystem } from "./file-system.ts";
import { hasNul, TextFileError } from "./text-file.ts";

/*
 * Which encoding a text file has. A byte order mark or a declaration decides. Without one, a file that
 * is valid UTF-8 is UTF-8, one with NUL bytes in every other place is UTF-16, and anything else may be
 * Windows-1252, which is what spreadsheets save as "CSV" in Western Europe and America. As nearly every
 * sequence of bytes is a text in Windows-1252, the text must look like one: other alphabets and the
 * encodings of Eastern Europe are refused, because a wrong guess would be sent and paid for.
 */

/** Bytes read at the start of a file to detect its format. */
export const SAMPLE_BYTES = 65_536;
const SCAN_BYTES = 1_048_576;

/** The WHATWG name for an encoding, or `undefined` if there is none of that name. */
export function encodingNamed(label: string): string | undefined {
  try {
    return new TextDecoder(label).encoding;
  } catch {
    return undefined;
  }
}

/**
 * The encoding of a file. The whole file is read if neither a byte order mark nor `declared` gives the encoding.
 * Throws `TextFileError` if it cannot be detected, or if the file is not text.
 */
export async function detectEncoding(
  files: FileSystem,
  path: string,
  declared: string | undefined,
): Promise<string> {
  const start = await files.readStart(path, SAMPLE_BYTES);
  refuseOtherFormats(start);
  const known = byMark(start) ?? (declared && encodingNamed(declared)) ?? byZeros(start);
  return known || byContent(files, path);
}

function byMark([a, b, c]: Buffer): string | undefined {
  if (a === 0xef && b === 0xbb && c === 0xbf) return "utf-8";
  if (a === 0xff && b === 0xfe) return "utf-16le";
  return a === 0xfe && b === 0xff ? "utf-16be" : undefined;
}

/** In UTF-16, each ASCII character has a NUL byte, always on the same side. */
function byZeros(start: Buffer): string | undefined {
  let [even, odd] = [0, 0];
  for (let i = 0; i < start.length; i++)
    if (start[i] === 0) {
      if (i % 2 === 0) even++;
      else odd++;
    }
  const many = start.length / 8;
  if (odd > many && even === 0) return "utf-16le";
  return even > many && odd === 0 ? "utf-16be" : undefined;
}

async function byContent(files: FileSystem, path: string): Promise<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  const western = new WesternText();
  let [isAscii, isUtf8] = [true, true];
  for await (const chunk of files.read(path, SCAN_BYTES)) {
    if (chunk.includes(0)) throw hasNul(await inBadLine(files, path, "latin1"));
    const text = isUtf8 ? decoded(decoder, chunk) : undefined;
    if (text !== undefined) {
      isAscii &&= text.length === chunk.length;
      continue;
    }
    isUtf8 = false;
    western.add(chunk);
    if (!isAscii || western.hasUndefined) throw unknown(await inBadLine(files, path, "utf-8"));
  }
  if (isUtf8 && decoded(decoder, undefined) !== undefined) return "utf-8";
  if (!isAscii || !western.isPlausible) throw unknown(await inBadLine(files, path, "utf-8"));
  return "windows-1252";
}

function decoded(decoder: TextDecoder, chunk: Buffer | undefined): string | undefined {
  try {
    return decoder.decode(chunk, { stream: chunk !== undefined });
  } catch {
    return undefined;
  }
}

function unknown(where: string): TextFileError {
  return new TextFileError(
    `is not valid UTF-8${where}, and its encoding cannot be detected for certain`,
    "save it as UTF-8, or name its encoding in config.csv.encoding (such as windows-1250, windows-1251 or shift_jis)",
  );
}

/** Bytes that Windows-1252 leaves undefined. */
const UNDEFINED = new Set([0x81, 0x8d, 0x8f, 0x90, 0x9d]);
/** Bytes below 0xC0 that may stand between two letters: letters, apostrophes, hyphens. All others are symbols. */
const WITHIN_WORDS = new Set([
  0x8a, 0x8c, 0x8e, 0x91, 0x92, 0x96, 0x97, 0x9a, 0x9c, 0x9e, 0x9f, 0xad, 0xb4, 0xb7,
]);

/** Counts byte sequences that are rare in Western texts in Windows-1252. */
class WesternText {
  hasUndefined = false;
  #high = 0;
  #runs = 0;
  /** Symbols between two letters, which are letters of another encoding. */
  #symbols = 0;
  #last = 0;
  #beforeLast = 0;

  add(chunk: Buffer): void {
    for (const byte of chunk) {
      if (byte >= 0x80) {
        this.#high++;
        if (UNDEFINED.has(byte)) this.hasUndefined = true;
        // Three accented letters seldom follow each other; those of other alphabets do.
        if (byte >= 0xc0 && this.#last >= 0xc0 && this.#beforeLast >= 0xc0) this.#runs++;
      }
      if (isLetter(byte) && isSymbol(this.#last) && isLetter(this.#beforeLast)) this.#symbols++;
      this.#beforeLast = this.#last;
      this.#last = byte;
    }
  }

  get isPlausible(): boolean {
    return !this.hasUndefined && this.#runs <= this.#high / 5 && this.#symbols <= this.#high / 20;
  }
}

function isSymbol(byte: number): boolean {
  return byte >= 0x80 && byte < 0xc0 && !WITHIN_WORDS.has(byte);
}

function isLetter(byte: number): boolean {
  return byte >= 0xc0 || (byte < 0x80 && (byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x7a);
}

const MARKUP = /^(\xef\xbb\xbf)?\s*<(!doctype html|html|head|table|\?xml)\b/i;

function refuseOtherFormats(start: Buffer): void {
  const begins = (hex: string) => start.subarray(0, hex.length / 2).toString("hex") === hex;
  if (start.length === 0) throw new TextFileError("is empty");
  if (begins("1f8b")) throw new TextFileError("is gzip-compressed; decompress it first");
  if (begins("d0cf11e0a1b11ae1"))
    throw new TextFileError(
      "is an encrypted workbook or an old one (.xls); save it as .xlsx without a password",
    );
  if (begins("50415245"))
    throw new TextFileError("is an encrypted Parquet file; write it without encryption");
  if (begins("4152524f5731"))
    throw new TextFileError("is an Arrow or Feather file; write it as Parquet");
  if (begins("25504446")) throw new TextFileError("is a PDF; export its table as CSV");
  // Programs name their HTML tables .xls, and a link that needs a login downloads a page.
  if (MARKUP.test(start.toString("latin1", 0, 512)))
    throw new TextFileError(
      "is a web page or XML; open its table in a spreadsheet, and save it as .xlsx or CSV",
    );
}
