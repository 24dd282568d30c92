import {
  type FileMetaData,
  type ParquetParsers,
  parquetSchema,
  type SchemaElement,
} from "hyparquet";

import type { Cell } from "./table.ts";

export type Column = {
  name: string;
  isDate: boolean;
  isUtc: boolean;
  timeUnit: number | undefined;
};

/** The columns of the table; lists and structures are one column with their outermost name. */
export function columnsOf(metadata: FileMetaData): Column[] {
  return parquetSchema(metadata).children.map(({ element }) => ({
    name: element.name,
    isDate: isDate(element),
    isUtc: element.logical_type?.type === "TIMESTAMP" && element.logical_type.isAdjustedToUTC,
    timeUnit: timeUnitOf(element),
  }));
}

function isDate({ converted_type: old, logical_type: type, type: stored }: SchemaElement): boolean {
  return (
    type?.type === "DATE" ||
    type?.type === "TIMESTAMP" ||
    old === "DATE" ||
    (old?.startsWith("TIMESTAMP") ?? false) ||
    stored === "INT96"
  );
}

/** How many units of a time of day are in a second. */
function timeUnitOf({
  converted_type: old,
  logical_type: type,
}: SchemaElement): number | undefined {
  if (type?.type === "TIME") return { MILLIS: 1e3, MICROS: 1e6, NANOS: 1e9 }[type.unit];
  if (old === "TIME_MILLIS") return 1e3;
  return old === "TIME_MICROS" ? 1e6 : undefined;
}

/** Dates as texts in ISO 8601, with all the digits that the file has. */
export const PARSERS: Partial<ParquetParsers> = {
  timestampFromMilliseconds: (value) => isoOf(value, 1000n),
  timestampFromMicroseconds: (value) => isoOf(value, 1_000_000n),
  timestampFromNanoseconds: (value) => isoOf(value, 1_000_000_000n),
  dateFromDays: (days) =>
    days === undefined || days === null ? days : dateText(days * 86_400_000, 10),
};

function isoOf(value: bigint | undefined, perSecond: bigint): string | undefined {
  if (value === undefined || value === null) return undefined;
  const count = BigInt(value);
  const rest = ((count % perSecond) + perSecond) % perSecond;
  const fraction = rest
    .toString()
    .padStart(perSecond.toString().length - 1, "0")
    .replace(/0+$/, "");
  const seconds = dateText(Number((count - rest) / perSecond) * 1000, 19);
  return fraction === "" ? seconds : `${seconds}.${fraction}`;
}

/** The date, or the number itself if it is not a calendar date. */
function dateText(ms: number, length: number): string {
  const date = new Date(ms);
  return Number.isNaN(date.getTime()) ? String(ms) : date.toISOString().slice(0, length);
}

/** A value as a cell. A missing value is empty; a list or structure is JSON. */
export function cellOf(value: unknown, { isUtc, timeUnit }: Column): Cell {
  if (value === null || value === undefined) return "";
  if (typeof value === "string") return isUtc ? `${value}Z` : value;
  if (timeUnit !== undefined && (typeof value === "number" || typeof value === "bigint"))
    return timeText(BigInt(value), timeUnit);
  if (typeof value === "number") {
    if (Number.isNaN(value)) return "";
    return Number.isFinite(value) ? value + 0 : String(value);
  }
  if (typeof value === "boolean") return value;
  if (typeof value === "bigint") return numberOrText(value);
  return JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === "bigint" ? numberOrText(inner) : inner,
  );
}

function timeText(count: bigint, unit: number): string {
  return isoOf(count, BigInt(unit))?.slice(11) ?? "";
}

function numberOrText(value: bigint): Cell {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value.toString();
}
