import { once } from "node:events";
import { PassThrough } from "node:stream";

import { ZipFile } from "yazl";

import { escaped } from "./cell-text.ts";
import { columnName } from "./sheet.ts";
import { MOST_SHEET_COLUMNS, MOST_SHEET_ROWS } from "./table.ts";
import {
  contentTypes,
  relationships,
  ROOT_RELATIONSHIPS,
  SHEET_FOOT,
  sheetHead,
  STYLES,
  workbook,
} from "./xlsx-parts.ts";

/** A count of days, as workbooks have dates. */
export type DateCell = { serial: number; hasTime: boolean };
export type WorkbookCell = string | number | boolean | null | DateCell;

export type WorkbookTable = {
  header: string[];
  /** Rows, some at a time. */
  rows: AsyncIterable<WorkbookCell[][]>;
  /** The name of the first sheet, which those of further ones begin with. */
  sheet?: string | undefined;
  /** The number of the header's row; 0 for no header. */
  headerRow?: number;
  /** Most rows of a sheet, with the header; the default is Excel's limit. */
  mostRows?: number;
};

/** Packs a third faster than the default, and a tenth larger. */
const COMPRESSION_LEVEL = 3;
/** A fixed time, so the same table gives the same bytes whenever it is written. */
const WRITTEN_AT = new Date("2000-01-01T00:00:00Z");
/** Excel's limit for a cell. */
const MOST_CHARACTERS = 32_767;
const HEADER_STYLE = 1;
const DATE_STYLE = 2;
const TIME_STYLE = 3;
/** Excel shows whole numbers above this with wrong digits. */
const MOST_WHOLE = 1e15;

/**
 * A table as the bytes of a workbook, generated while it is read. The header is frozen. Rows that do not fit into a
 * sheet continue in a further one, with the same header. A text that is too long for a cell is cut, and ends with a
 * note. Texts stay texts, also those that look like formulas.
 */
export async function* writeXlsx(table: WorkbookTable): AsyncGenerator<Uint8Array> {
  if (table.header.length > MOST_SHEET_COLUMNS)
    throw new RangeError(`A sheet has ${MOST_SHEET_COLUMNS} columns at most`);
  const zip = new ZipFile();
  const output = zip.outputStream as PassThrough;
  const isOver = new AbortController();
  zip.on("error", (error) => output.destroy(error as Error));
  const written = writeSheets(zip, table, isOver.signal).catch((error: unknown) => {
    output.destroy(error instanceof Error ? error : new Error(String(error)));
  });
  try {
    for await (const chunk of output) yield chunk as Uint8Array;
  } finally {
    isOver.abort();
    output.destroy();
    await written;
  }
}

async function writeSheets(zip: ZipFile, table: WorkbookTable, signal: AbortSignal): Promise<void> {
  let sheets = 0;
  let sheet: PassThrough | undefined;
  for await (const piece of piecesOf(table)) {
    if (!sheet) {
      sheet = new PassThrough();
      zip.addReadStream(sheet, `xl/worksheets/sheet${++sheets}.xml`, {
        mtime: WRITTEN_AT,
        compressionLevel: COMPRESSION_LEVEL,
      });
    }
    if (signal.aborted) return;
    if (!sheet.write(piece.xml)) await once(sheet, "drain", { signal });
    if (piece.isLast) {
      sheet.end();
      sheet = undefined;
    }
  }
  const add = (name: string, text: string) =>
    zip.addBuffer(Buffer.from(text), name, { mtime: WRITTEN_AT });
  add("xl/workbook.xml", workbook(sheets, table.sheet));
  add("xl/styles.xml", STYLES);
  add("xl/_rels/workbook.xml.rels", relationships(sheets));
  add("_rels/.rels", ROOT_RELATIONSHIPS);
  add("[Content_Types].xml", contentTypes(sheets));
  zip.end();
}

/** The XML of the sheets, one after the other; `isLast` ends one. */
async function* piecesOf({
  header,
  rows,
  headerRow = 1,
  mostRows = MOST_SHEET_ROWS,
}: WorkbookTable): AsyncGenerator<{ xml: string; isLast: boolean }> {
  const names = header.map((_, i) => columnName(i + 1));
  const first = headerRow === 0 ? "" : rowXml(headerRow, header, names, HEADER_STYLE);
  const head = sheetHead(headerRow) + first;
  let xml = head;
  let count = headerRow;
  for await (const page of rows) {
    for (const row of page) {
      if (count === mostRows) {
        yield { xml: xml + SHEET_FOOT, isLast: true };
        xml = head;
        count = headerRow;
      }
      xml += rowXml(++count, row, names, 0);
    }
    yield { xml, isLast: false };
    xml = "";
  }
  yield { xml: xml + SHEET_FOOT, isLast: true };
}

function rowXml(
  number: number,
  cells: readonly WorkbookCell[],
  names: string[],
  style: number,
): string {
  let xml = `<row r="${number}">`;
  for (const [i, cell] of cells.entries())
    if (cell !== null && cell !== "") xml += cellXml(`${names[i]}${number}`, cell, style);
  return `${xml}</row>`;
}

function cellXml(
  reference: string,
  cell: string | number | boolean | DateCell,
  style: number,
): string {
  if (typeof cell === "number")
    return Number.isFinite(cell) && (Math.abs(cell) < MOST_WHOLE || !Number.isInteger(cell))
      ? `<c r="${reference}"><v>${cell}</v></c>`
      : textXml(reference, String(cell), style);
  if (typeof cell === "boolean") return `<c r="${reference}" t="b"><v>${cell ? 1 : 0}</v></c>`;
  if (typeof cell === "string") return textXml(reference, cell, style);
  return `<c r="${reference}" s="${cell.hasTime ? TIME_STYLE : DATE_STYLE}"><v>${cell.serial}</v></c>`;
}

function textXml(reference: string, text: string, style: number): string {
  const of = style === 0 ? "" : ` s="${style}"`;
  return `<c r="${reference}"${of} t="inlineStr"><is><t xml:space="preserve">${escaped(cut(text))}</t></is></c>`;
}

function cut(text: string): string {
  if (text.length <= MOST_CHARACTERS) return text;
  const note = `… [cut: ${text.length} characters; the CSV and JSON results have them all]`;
  return text.slice(0, MOST_CHARACTERS - note.length) + note;
}

const DAY_MS = 86_400_000;
/** Excel's day 0, as it is counted from March 1900; dates before that differ from program to program. */
const EPOCH_MS = Date.UTC(1899, 11, 30);
const FIRST_SERIAL = 61;
/**
 * About a microsecond. A time as a fraction of a day may be slightly too small, and LibreOffice would cut off the
 * last second.
 */
const HAIR = 1e-11;
const ISO_DATE = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d:\d\d(?:\.\d{1,3})?)?$/;

/** The date of an ISO 8601 text without a time zone, or `undefined` if a workbook cannot represent it. */
export function dateCellOf(text: string): DateCell | undefined {
  if (!ISO_DATE.test(text)) return undefined;
  const hasTime = text.length > 10;
  const ms = Date.parse(hasTime ? `${text}Z` : text);
  const serial = (ms - EPOCH_MS) / DAY_MS;
  if (!(serial >= FIRST_SERIAL)) return undefined;
  return { serial: Number.isInteger(serial) ? serial : serial + HAIR, hasTime };
}
