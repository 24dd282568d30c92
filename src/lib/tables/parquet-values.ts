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
  /** The digits behind the point of a decimal; its values are whole numbers. */
  scale: number | undefined;
  isFloat: boolean;
};

/** The columns of the table; lists and structures are one column with their outermost name. */
export function columnsOf(metadata: FileMetaData): Column[] {
  return parquetSchema(metadata).children.map(({ element }) => ({
    name: element.name,
    isDate: isDate(element),
    isUtc: element.logical_type?.type === "TIMESTAMP" && element.logical_type.isAdjustedToUTC,
    timeUnit: timeUnitOf(element),
    scale: isDecimal(element) ? (element.scale ?? 0) : undefined,
    isFloat: element.type === "FLOAT",
  }));
}

/**
 * The description of the file in which columns of decimals are whole numbers, so that the library does not convert them
 * to numbers of 15 digits. Decimals within lists and structures remain such numbers.
 */
export function withWholeDecimals(metadata: FileMetaData): FileMetaData {
  const decimals = new Set(
    parquetSchema(metadata)
      .children.map(({ element }) => element)
      .filter(isDecimal),
  );
  if (decimals.size === 0) return metadata;
  const schema = metadata.schema.map((element) => {
    if (!decimals.has(element)) return element;
    const { converted_type: _, logical_type: __, ...plain } = element;
    return plain;
  });
  return { ...metadata, schema };
}

/** The most bytes and digits of a decimal in Arrow's and Parquet's libraries. A file may claim anything. */
const DECIMAL_BYTES = 32;
const DECIMAL_DIGITS = 76;
const OF_DECIMALS = new Set(["INT32", "INT64", "BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY"]);

function isDecimal(element: SchemaElement): boolean {
  const { converted_type: old, logical_type: logical, type = "", scale = 0 } = element;
  if (old !== "DECIMAL" && logical?.type !== "DECIMAL") return false;
  return OF_DECIMALS.has(type) && scale >= 0 && scale <= DECIMAL_DIGITS;
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
export function cellOf(value: unknown, { isUtc, timeUnit, scale, isFloat }: Column): Cell {
  if (value === null || value === undefined) return "";
  const whole = scale === undefined ? undefined : wholeOf(value);
  if (scale !== undefined && whole !== undefined) return decimalOf(whole, scale);
  if (value instanceof Uint8Array) return textOf(value);
  if (typeof value === "string") return isUtc ? `${value}Z` : value;
  if (timeUnit !== undefined && (typeof value === "number" || typeof value === "bigint"))
    return timeText(BigInt(value), timeUnit);
  if (typeof value === "number") {
    if (Number.isNaN(value)) return "";
    if (!Number.isFinite(value)) return String(value);
    return isFloat ? shortest(value) : value + 0;
  }
  if (typeof value === "boolean") return value;
  if (typeof value === "bigint") return numberOrText(value);
  return JSON.stringify(value, (_, inner: unknown) => {
    if (inner instanceof Uint8Array) return textOf(inner);
    return typeof inner === "bigint" ? numberOrText(inner) : inner;
  });
}

/** A decimal as a number, or as a text if a number would have other digits. */
function decimalOf(whole: bigint, scale: number): Cell {
  const digits = (whole < 0n ? -whole : whole).toString().padStart(scale + 1, "0");
  const point = digits.length - scale;
  const text = `${whole < 0n ? "-" : ""}${digits.slice(0, point)}${scale > 0 ? `.${digits.slice(point)}` : ""}`;
  return digits.replace(/^0+/, "").length <= MOST_DIGITS ? Number(text) + 0 : text;
}

/** The digits that every number keeps. */
const MOST_DIGITS = 15;

/** A whole number, or the bytes of one, the highest first, in two's complement; `undefined` if it is none. */
function wholeOf(value: unknown): bigint | undefined {
  if (typeof value === "bigint") return value;
  if (Number.isSafeInteger(value)) return BigInt(Number(value));
  if (!(value instanceof Uint8Array) || value.length > DECIMAL_BYTES) return undefined;
  const whole = value.reduce((sum, byte) => sum * 256n + BigInt(byte), 0n);
  return BigInt.asIntN(value.length * 8, whole);
}

/** Bytes without a type as the text that they are in UTF-8, or else in base64. */
function textOf(bytes: Uint8Array): string {
  try {
    return UTF8.decode(bytes);
  } catch {
    return Buffer.from(bytes).toString("base64");
  }
}

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The number with the fewest digits that is stored as this value of 32 bits: 0.1 and not 0.10000000149011612. */
function shortest(value: number): number {
  for (let digits = 6; digits < 9; digits++) {
    const number = Number(value.toPrecision(digits));
    if (Math.fround(number) === value) return number + 0;
  }
  return Number(value.toPrecision(9)) + 0;
}

function timeText(count: bigint, unit: number): string {
  return isoOf(count, BigInt(unit))?.slice(11) ?? "";
}

function numberOrText(value: bigint): Cell {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value.toString();
}
