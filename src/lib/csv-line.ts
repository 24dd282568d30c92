import { plainNumber } from "./plain-number.ts";

/** Texts that need quotes, with any delimiter. Blanks at the ends, because some programs trim them; a BOM, because readers drop it. */
const NEEDS_QUOTES = /[",\r\n\uFEFF]|^\s|\s$/;
/** Beginnings that spreadsheets read as a formula (OWASP, "CSV Injection"). */
const FORMULA = /^[=+\-@\t\r\n\uFF0B\uFF0D\uFF1D\uFF20]/;

/**
 * One CSV record (RFC 4180) with its line feed. With `safe`, texts that a spreadsheet would run as formulas get an
 * apostrophe before them. Own code, because csv-stringify leaves a lone carriage return unquoted, which readers take
 * for the end of a record, and takes five times as long.
 */
export function csvLine(
  cells: readonly (string | number | boolean | null)[],
  safe: boolean,
  delimiter = ",",
): string {
  const texts = cells.map((cell) => {
    if (cell === null) return "";
    return quoted(typeof cell === "string" && safe ? neutral(cell) : textOf(cell), delimiter);
  });
  return `${texts.join(delimiter)}\n`;
}

function textOf(cell: string | number | boolean): string {
  return typeof cell === "number" ? plainNumber(cell) : String(cell);
}

function neutral(cell: string): string {
  return FORMULA.test(cell) ? `'${cell}` : cell;
}

function quoted(cell: string, delimiter: string): string {
  return NEEDS_QUOTES.test(cell) || cell.includes(delimiter)
    ? `"${cell.replaceAll('"', '""')}"`
    : cell;
}
