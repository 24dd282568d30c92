import { isJsonObject, type Json } from "./json.ts";

/*
 * JSON with numbers that a double cannot represent as written: 12345678901234567890, 1e400, 1.0. Where the text must
 * be passed on unchanged, such a number is kept as an object that `JSON.stringify` writes as that text (JSON.rawJSON,
 * https://github.com/tc39/proposal-json-parse-with-source).
 */

/**
 * Numbers that may be written differently from how they were read: -0, one of 16 characters or more, a very small
 * one, one with a trailing zero, or one with an exponent. A double keeps 15 digits.
 */
const MAY_CHANGE =
  /(?:^|[[:,])\s*(?:-(?=0\s*(?:[,}\]]|$))|-?(?:[\d.]{16}|0\.0{6}|\d+(?:\.\d*0(?!\d)|\.?\d*[eE])))/;

type Reviver = (
  this: unknown,
  key: string,
  value: unknown,
  context?: { source?: string },
) => unknown;

type Raw = { rawJSON: string };
type ExactJson = {
  parse(text: string, reviver: Reviver): unknown;
  rawJSON(text: string): Raw;
  isRawJSON(value: unknown): value is Raw;
};
// Both runtimes have these functions; the type library does not yet.
const exact = JSON as unknown as ExactJson;

/**
 * Parses JSON, and keeps numbers that a double would change as they are written: all of them, or only those below the
 * names in `within`. The program itself needs plain numbers; only what it passes on keeps its text. Throws as
 * `JSON.parse` does.
 */
export function parseExact(text: string, within?: ReadonlySet<string>): Json {
  if (!MAY_CHANGE.test(text)) return JSON.parse(text) as Json;
  const value = exact.parse(text, (_key, value, context) => {
    const source = context?.source;
    return typeof value === "number" && source !== undefined ? exactNumber(source) : value;
  }) as Json;
  return within ? settle(value, within) : value;
}

/** A number, kept as it is written if a double would change it. */
export function exactNumber(source: string): Json {
  const number = Number(source);
  return String(number) === source ? number : (exact.rawJSON(source) as unknown as Json);
}

/** The value as a number, whether plain or kept as written; `undefined` if it is not a number. */
export function numberOf(value: unknown): number | undefined {
  if (typeof value === "number") return value;
  return exact.isRawJSON(value) ? Number(value.rawJSON) : undefined;
}

/** Converts the numbers that `parseExact` kept as written to plain numbers, except below the names in `within`. */
export function settle(value: Json, within: ReadonlySet<string>): Json {
  const number = numberOf(value);
  if (number !== undefined) return number;
  if (Array.isArray(value))
    for (const [i, item] of value.entries()) value[i] = settle(item, within);
  else if (isJsonObject(value))
    for (const [name, item] of Object.entries(value))
      if (!within.has(name)) value[name] = settle(item, within);
  return value;
}

/** Like `parseExact`, but returns `undefined` if the text is not JSON. */
export function parseExactOrNone(text: string, within?: ReadonlySet<string>): Json | undefined {
  try {
    return parseExact(text, within);
  } catch {
    return undefined;
  }
}
