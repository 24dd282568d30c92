import { isJsonObject, type Json } from "./json.ts";

/*
 * JSON in which a number is more than a double can say: 12345678901234567890, 1e400, 1.0. Where its
 * text is to go on as it came, such a number is kept as an object that `JSON.stringify` writes as
 * that text (JSON.rawJSON, https://github.com/tc39/proposal-json-parse-with-source).
 */

/**
 * A number that may be written otherwise than it was read: -0, one of 16 characters or more, one that is
 * very small, with a zero at its end, or with an exponent. Of 15 digits a double keeps all.
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
// Both runtimes have them; the type library does not yet.
const exact = JSON as unknown as ExactJson;

/**
 * Parses JSON, and keeps numbers that a double would change as they are written: all of them, or those
 * below the names in `within`, because what the program itself reads are numbers and only what it
 * passes on keeps its text. Throws as `JSON.parse` does.
 */
export function parseExact(text: string, within?: ReadonlySet<string>): Json {
  if (!MAY_CHANGE.test(text)) return JSON.parse(text) as Json;
  const value = exact.parse(text, (_key, value, context) => {
    const source = context?.source;
    if (typeof value !== "number" || source === undefined || String(value) === source) return value;
    return exact.rawJSON(source);
  }) as Json;
  return within ? settle(value, within) : value;
}

/** The number that a value is or is kept as; `undefined` where it is none. */
export function numberOf(value: unknown): number | undefined {
  if (typeof value === "number") return value;
  return exact.isRawJSON(value) ? Number(value.rawJSON) : undefined;
}

/** Makes plain numbers of what `parseExact` kept as it was written, but for those below the names in `within`. */
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

/** Like `parseExact`, or `undefined` where the text is no JSON. */
export function parseExactOrNone(text: string, within?: ReadonlySet<string>): Json | undefined {
  try {
    return parseExact(text, within);
  } catch {
    return undefined;
  }
}
