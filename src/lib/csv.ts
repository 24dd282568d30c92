import { CsvError, parse as parseStream, type Parser } from "csv-parse";
import { parse } from "csv-parse/sync";

import type { CsvDialect } from "./csv-sniff.ts";
import type { FileSystem } from "./file-system.ts";
import { readText, type TextFile, TextFileError } from "./text-file.ts";

/** The longest record to accept: a longer one is more likely an unclosed quote than a row. */
const MAX_RECORD_BYTES = 8 * 1024 * 1024;
/** A longer record is parsed piece by piece, because parsing it at once would block the thread. */
const LONG_RECORD = 131_072;
const PIECE_BYTES = 32_768;
const [LINE_FEED, CARRIAGE_RETURN, QUOTE] = [0x0a, 0x0d, 0x22];

/**
 * The records of a CSV file (RFC 4180; CR, LF and CRLF may be mixed between records), the header first. Records that end
 * in the same piece of the file come together. A BOM and a `sep=` line are skipped. Rows may be ragged, and a blank line
 * is a row of one empty cell: the caller decides what to do about them. Throws `TextFileError` if the file is not valid
 * text or its quoting is broken; `nameOf` gives the name of a column, by its index.
 */
export async function* readCsv(
  files: FileSystem,
  file: TextFile,
  { delimiter, hasSepLine }: CsvDialect,
  nameOf: NameOf = () => undefined,
): AsyncGenerator<string[][]> {
  const splitter = new RecordSplitter();
  let isSepLine = hasSepLine;
  let linesBefore = 0;
  const read = ({ text, isQuoted }: Records): string[][] => {
    const records = isQuoted
      ? parseQuoted(text, delimiter, { linesBefore, nameOf })
      : linesOf(text).map((line) => line.split(delimiter));
    linesBefore += isQuoted ? linesOf(text).length : records.length;
    if (isSepLine && records.length > 0) {
      records.shift();
      isSepLine = false;
    }
    return records;
  };
  const texts = readText(files, file);
  for await (const text of texts) {
    yield read(splitter.take(text));
    if (splitter.heldLength <= LONG_RECORD) continue;
    yield* parseAsItComes(splitter.end().text, texts, { delimiter, linesBefore, nameOf });
    return;
  }
  yield read(splitter.end());
}

type NameOf = (column: number) => string | undefined;

/** The most blank rows above a header that is read only for an error. */
const MOST_BLANK = 20;

/** The header in the beginning of a file: the row with a number, else the first that is not blank. Empty if not found. */
export function headerIn(
  start: string,
  { delimiter, hasSepLine }: CsvDialect,
  row: number | undefined,
): string[] {
  const above = hasSepLine ? 1 : 0;
  const [from, to] = [row ?? 1, row ?? MOST_BLANK];
  for (let number = from; number <= to; number++) {
    const record = recordAt(start, delimiter, above + number);
    if (!record) break;
    if (record.some((cell) => cell.trim() !== "")) return record;
  }
  return [];
}

function recordAt(text: string, delimiter: string, number: number): string[] | undefined {
  try {
    return parse(text, { ...OPTIONS, bom: true, delimiter, to: number })[number - 1];
  } catch (error) {
    if (error instanceof CsvError) return undefined;
    throw error;
  }
}

/** Whole records, each with its line end. `isQuoted`: at least one of them contains a quote. */
type Records = { text: string; isQuoted: boolean };

/**
 * Splits a text after the last record that has ended. A record ends at a line end after an even number of quotes.
 * Records without quotes are then split as lines, which takes a tenth of the time of parsing them.
 */
class RecordSplitter {
  /** The beginning of the record that has not ended. */
  #held: string[] = [];
  heldLength = 0;
  #hasQuote = false;
  #isWithinQuotes = false;
  #isAtStart = true;

  take(piece: string): Records {
    const text = this.#isAtStart ? piece.replace(/^\uFEFF/, "") : piece;
    this.#isAtStart &&= piece === "";
    const end = this.#endOfRecords(text);
    const records = this.#join(text.slice(0, end), end > 0);
    this.#hold(text.slice(end));
    return records;
  }

  /** The rest: the last record, if no line end follows it. */
  end(): Records {
    return this.#join("", true);
  }

  /** The index behind the last record that ends in the text, or 0. */
  #endOfRecords(text: string): number {
    // A CR at the end may be half of a CRLF.
    const last = text.endsWith("\r") ? text.length - 1 : text.length;
    if (!this.#isWithinQuotes && !text.includes('"')) {
      const known = text.slice(0, last);
      return Math.max(known.lastIndexOf("\n"), known.lastIndexOf("\r")) + 1;
    }
    let end = 0;
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code === QUOTE) this.#isWithinQuotes = !this.#isWithinQuotes;
      else if (
        (code === LINE_FEED || code === CARRIAGE_RETURN) &&
        !this.#isWithinQuotes &&
        i < last
      )
        end = i + 1;
    }
    return end;
  }

  #join(text: string, isEnd: boolean): Records {
    if (!isEnd) return { text: "", isQuoted: false };
    const whole = this.#held.join("") + text;
    const isQuoted = this.#hasQuote || text.includes('"');
    this.#held = [];
    this.heldLength = 0;
    this.#hasQuote = false;
    return { text: whole, isQuoted };
  }

  #hold(text: string): void {
    if (text === "") return;
    this.#held.push(text);
    this.heldLength += text.length;
    this.#hasQuote ||= text.includes('"');
  }
}

const LINE_END = /\r\n|\n|\r/;

function linesOf(text: string): string[] {
  const lines = text.includes("\r") ? text.split(LINE_END) : text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  return lines;
}

const OPTIONS = {
  record_delimiter: ["\r\n", "\n", "\r"],
  relax_column_count: true,
  max_record_size: MAX_RECORD_BYTES,
};

function parseQuoted(
  text: string,
  delimiter: string,
  { linesBefore, nameOf }: Omit<Place, "recordAt">,
): string[][] {
  try {
    return parse(text, { ...OPTIONS, delimiter });
  } catch (error) {
    // A quote that is never closed holds back the record that it is in, so that the text is this record.
    throw asRefusal(error, { linesBefore, recordAt: linesBefore + 1, nameOf });
  }
}

/** Parses the rest of the file piece by piece. */
async function* parseAsItComes(
  first: string,
  texts: AsyncIterable<string>,
  { delimiter, linesBefore, nameOf }: { delimiter: string } & Omit<Place, "recordAt">,
): AsyncGenerator<string[][]> {
  const parser = parseStream({ ...OPTIONS, delimiter });
  let recordAt = linesBefore + 1;
  // The callback of `write` gets the error, too.
  parser.on("error", () => undefined);
  const write = async (piece: string | Buffer) => {
    const written = done((callback) => parser.write(piece, callback));
    const records = recordsOf(parser);
    for (const record of records) recordAt += linesIn(record);
    await written;
    return records;
  };
  try {
    // As bytes, because a piece may end within a character.
    const bytes = Buffer.from(first);
    for (let from = 0; from < bytes.length; from += PIECE_BYTES)
      yield await write(bytes.subarray(from, from + PIECE_BYTES));
    for await (const text of texts) yield await write(text);
    await done((callback) => parser.end(callback));
    yield recordsOf(parser);
  } catch (error) {
    throw asRefusal(error, { linesBefore, recordAt, nameOf });
  } finally {
    parser.destroy();
  }
}

type Callback = (error?: Error | null) => void;

function done(start: (callback: Callback) => void): Promise<void> {
  return new Promise((resolve, reject) => start((error) => (error ? reject(error) : resolve())));
}

/** All records that the parser has ready: awaiting each one would take longer than parsing it. */
function recordsOf(parser: Parser): string[][] {
  const records: string[][] = [];
  for (;;) {
    const record = parser.read() as string[] | null;
    if (record === null) return records;
    records.push(record);
  }
}

/** The lines that a record takes in its file. */
function linesIn(cells: string[]): number {
  let lines = 1;
  for (const cell of cells)
    if (cell.includes("\n") || cell.includes("\r")) lines += cell.split(LINE_END).length - 1;
  return lines;
}

/** `recordAt`: the line in which the record begins that was not read to its end. */
type Place = { linesBefore: number; recordAt: number; nameOf: NameOf };

function asRefusal(error: unknown, place: Place): unknown {
  return error instanceof CsvError ? new TextFileError(explain(error, place)) : error;
}

function explain(error: CsvError, { linesBefore, recordAt, nameOf }: Place): string {
  // The parser has no types for these.
  const { lines, index } = error as { lines?: unknown; index?: unknown };
  const column = typeof index === "number" ? inColumn(index, nameOf(index)) : "";
  const place = typeof lines === "number" ? ` in line ${linesBefore + lines}${column}` : "";
  switch (error.code) {
    case "CSV_QUOTE_NOT_CLOSED":
      return (
        `has a quote that is never closed, in the row that begins in line ${recordAt}${column}; ` +
        "close it, or quote the cell and double the quote if it is part of the text"
      );
    case "CSV_MAX_RECORD_SIZE":
      return `has a row of more than ${MAX_RECORD_BYTES / 1024 / 1024} MiB, which begins in line ${recordAt}; is a quote missing there${column}?`;
    case "INVALID_OPENING_QUOTE":
      return `has a quote inside an unquoted cell${place}; quote the cell and double the quote`;
    case "CSV_INVALID_CLOSING_QUOTE":
      return `has text after a closing quote${place}; double the quotes inside a cell`;
    default:
      return `is not valid CSV${place}: ${error.message}`;
  }
}

/** The longest name that an error quotes. */
const LONGEST_NAME = 100;

function inColumn(index: number, name = ""): string {
  const quoted = name.trim() === "" ? "" : ` (${JSON.stringify(name.slice(0, LONGEST_NAME))})`;
  return `, in column ${index + 1}${quoted}`;
}
