import { Readable } from "node:stream";

import { CsvError, parse } from "csv-parse";

import type { CsvDialect } from "./csv-sniff.ts";
import type { FileSystem } from "./file-system.ts";
import { readUtf8, type TextFile, TextFileError } from "./text-file.ts";

/** Longest record that is read, in bytes: a larger one is more likely an unclosed quote than a row. */
const MAX_RECORD_BYTES = 8 * 1024 * 1024;

/**
 * The records of a CSV file (RFC 4180, any of CR, LF and CRLF between records, also mixed), the header first; a BOM
 * and a `sep=` line are skipped. Rows may be ragged, and a blank line is a row of one empty cell: the caller decides
 * what to do about them. Throws `TextFileError` if the file is not text in its encoding, or its quoting is broken.
 */
export async function* readCsv(
  files: FileSystem,
  file: TextFile,
  { delimiter, hasSepLine }: CsvDialect,
): AsyncGenerator<string[]> {
  const parser = parse({
    bom: true,
    delimiter,
    record_delimiter: ["\r\n", "\n", "\r"],
    from_line: hasSepLine ? 2 : 1,
    relax_column_count: true,
    max_record_size: MAX_RECORD_BYTES,
  });
  const source = Readable.from(readUtf8(files, file));
  source.on("error", (error) => parser.destroy(error));
  source.pipe(parser);
  try {
    for await (const record of parser) yield record as string[];
  } catch (error) {
    throw error instanceof CsvError ? new TextFileError(explain(error)) : error;
  } finally {
    source.destroy();
  }
}

function explain(error: CsvError): string {
  const line = typeof error["lines"] === "number" ? ` in line ${error["lines"]}` : "";
  switch (error.code) {
    case "CSV_QUOTE_NOT_CLOSED":
      return `has a quote that is opened${line} and never closed`;
    case "CSV_MAX_RECORD_SIZE":
      return `has a record of more than ${MAX_RECORD_BYTES / 1024 / 1024} MiB${line}; is a quote missing?`;
    case "INVALID_OPENING_QUOTE":
      return `has a quote inside an unquoted cell${line}; quote the cell and double the quote`;
    case "CSV_INVALID_CLOSING_QUOTE":
      return `has text after a closing quote${line}; double the quotes inside a cell`;
    default:
      return `is not valid CSV${line}: ${error.message}`;
  }
}
