import { isTooDeep } from "./json-depth.ts";

export type Json = string | number | boolean | null | Json[] | { [key: string]: Json };
export type JsonObject = { [key: string]: Json };

/**
 * Parses JSON, or returns `undefined` if it is not valid or nested too deep. For texts of providers and columns of the
 * database.
 */
export function parseJson(text: string): Json | undefined {
  if (isTooDeep(text)) return undefined;
  try {
    return JSON.parse(text) as Json;
  } catch {
    return undefined;
  }
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Types an object from a JSON parser, whose values are JSON therefore. */
export function asJsonObject(value: Record<string, unknown>): JsonObject {
  return value as JsonObject;
}

/** JSON with the keys of every object sorted, so that equal values have equal texts. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(withSortedKeys(value));
}

/** A copy, apart from lists of plain values: JSON.stringify would call a function for each of a million numbers. */
function withSortedKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.some(isContainer) ? value.map(withSortedKeys) : value;
  if (!isJsonObject(value)) return value;
  const sorted = sortMembers(value);
  for (const name of Object.keys(sorted))
    if (isContainer(sorted[name])) sorted[name] = withSortedKeys(sorted[name]);
  return sorted;
}

/** A copy of an object with its members in the order of their names; JavaScript has array indices in front. */
export function sortMembers(object: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(object).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

function isContainer(value: unknown): boolean {
  return typeof value === "object" && value !== null;
}

/**
 * Escapes characters that JSON allows within strings, and at which Python's `splitlines` and other readers of lines
 * would break a line of JSON.
 */
export function escapeLineEnds(json: string): string {
  return json.replace(
    /[\u0085\u2028\u2029]/g,
    (found) => `\\u${found.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** The parser quotes what it did not expect, at length. */
const LONGEST_REASON = 100;

/** What the parser said of a text that is not JSON. */
export function whyNotJson(error: unknown): string {
  const said = error instanceof Error ? error.message.replace(/^JSON Parse error: /, "") : "";
  return said.length > LONGEST_REASON ? `${said.slice(0, LONGEST_REASON)}…` : said;
}
