import { format, getFormatDateInfo, getFormatFromId, isDateFormat } from "numfmt";

import type { Archive } from "./archive.ts";
import type { Cell } from "./table.ts";
import { readXml } from "./xml.ts";

/** The meaning of a number in a cell, which only its format shows. */
type Kind = "number" | "date" | "time" | "duration";
type NumberFormat = { code: string; kind: Kind };

const MOST_STYLES = 100_000;
const LONGEST_CODE = 1000;
const GENERAL: NumberFormat = { code: "General", kind: "number" };

export type NumberFormats = {
  /** The value of a number with a style: a number, or an ISO date or time. */
  plain(number: number, style: number): Cell;
  isDate(style: number): boolean;
  /** A value as a spreadsheet shows it. */
  shown(value: Cell, style: number): string;
};

/** Reads the formats of numbers. The styles of cells name them by number. */
export async function readNumberFormats(
  archive: Archive,
  path: string | undefined,
  is1904: boolean,
): Promise<NumberFormats> {
  const formats = path === undefined ? [] : readStyles((await archive.readPart(path)) ?? "");
  const formatOf = (style: number) => formats[style] ?? GENERAL;
  return {
    plain: (number, style) => {
      const { kind } = formatOf(style);
      return kind === "number" ? number + 0 : isoOf(number, kind, is1904);
    },
    isDate: (style) => formatOf(style).kind === "date",
    shown(value, style) {
      const { code, kind } = formatOf(style);
      const shift = is1904 && kind === "date" && typeof value === "number" ? DAYS_TO_1904 : 0;
      return shownAs(code, typeof value === "number" ? value + shift : value);
    },
  };
}

function readStyles(xml: string): NumberFormat[] {
  const codes = new Map<number, string>();
  const known = new Map<string, NumberFormat>();
  const styles: NumberFormat[] = [];
  let isCells = false;
  readXml(xml, {
    open(tag, { numFmtId = "0", formatCode }) {
      if (tag === "numFmt" && formatCode !== undefined) codes.set(Number(numFmtId), formatCode);
      else if (tag === "cellXfs") isCells = true;
      else if (tag === "xf" && isCells && styles.length < MOST_STYLES) {
        const id = Number(numFmtId);
        const code = codes.get(id) ?? builtIn(id);
        const format = known.get(code) ?? { code, kind: kindOf(code) };
        known.set(code, format);
        styles.push(format);
      }
    },
    text() {},
    close(tag) {
      if (tag === "cellXfs") isCells = false;
    },
  });
  return styles;
}

/** The formats without a code in the file, among them East Asian dates. */
function builtIn(id: number): string {
  if ((id >= 27 && id <= 31) || (id >= 50 && id <= 58)) return "yyyy-mm-dd";
  return getFormatFromId(id) ?? "General";
}

function kindOf(code: string): Kind {
  if (code.length > LONGEST_CODE) return "number";
  try {
    if (/\[(h+|m+|s+)\]/i.test(code)) return "duration";
    if (!isDateFormat(code)) return "number";
    const { year, month, day, seconds } = getFormatDateInfo(code);
    // In mm:ss, which has no hours, the library takes the minutes for a month.
    return year || day || (month && !seconds) ? "date" : "time";
  } catch {
    return "number";
  }
}

function shownAs(code: string, value: Cell): string {
  if (typeof value === "boolean") return value ? "TRUE" : "FALSE";
  try {
    return format(code.length > LONGEST_CODE ? "General" : code, value);
  } catch {
    return String(value);
  }
}

const DAY_MS = 86_400_000;
const DAYS_TO_1904 = 1462;
/** The day that the serial 0 is, counted from March 1900. */
const EPOCH_MS = Date.UTC(1899, 11, 30);
/** Excel treats 1900 as a leap year: its day 60 is 29 February 1900, and earlier days are off by one. */
const NO_SUCH_DAY = 60;
/** 9999-12-31. */
const LAST_DAY = 2_958_466;

/** A count of days in ISO 8601, to the millisecond. A count that is not a calendar date stays a number. */
function isoOf(serial: number, kind: Exclude<Kind, "number">, is1904: boolean): Cell {
  const ms = Math.round(serial * DAY_MS);
  if (kind === "duration") return durationOf(ms);
  const days = Math.floor(ms / DAY_MS);
  const time = timeOf(ms - days * DAY_MS);
  if (kind === "time" && days === 0) return time;
  const day = is1904 ? days + DAYS_TO_1904 : days;
  if (day < 0 || day >= LAST_DAY) return serial;
  const date = dateOf(day);
  return time === "00:00:00" ? date : `${date}T${time}`;
}

function dateOf(day: number): string {
  if (day === NO_SUCH_DAY) return "1900-02-29";
  const shift = day < NO_SUCH_DAY ? 1 : 0;
  return new Date(EPOCH_MS + (day + shift) * DAY_MS).toISOString().slice(0, 10);
}

function timeOf(ms: number): string {
  return new Date(ms)
    .toISOString()
    .slice(11, 23)
    .replace(/\.000$/, "");
}

function durationOf(ms: number): string {
  const rest = Math.abs(ms);
  const hours = String(Math.floor(rest / 3_600_000)).padStart(2, "0");
  return `${ms < 0 ? "-" : ""}${hours}${timeOf(rest % 3_600_000).slice(2)}`;
}
