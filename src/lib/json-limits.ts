import { parseExact } from "./exact-json.ts";
import { findRepeated } from "./json-repeats.ts";
import { type Json, whyNotJson } from "./json.ts";

export const DEEPEST = 100;
export const MOST_ITEMS = 100_000;
const MOST_NAMES = 10_000;
const LONGEST_TEXT = 5_000_000;

/** What is wrong; `path` is empty if it concerns the whole text. */
export type Fault = { path: string; message: string };

export const TOO_DEEP: Fault = {
  path: "",
  message: `values are nested more than ${DEEPEST} levels deep`,
};
export const TOO_LONG: Fault = {
  path: "",
  message: `a list has more than ${MOST_ITEMS} items`,
};
export const REPEATED = "is given more than once in one object";

/** The value of a client's JSON text, what is wrong with it, or why it is not JSON. */
export type Checked = { value: Json } | { fault: Fault } | { notJson: string };

/** Parses a client's JSON text as `parseExact` does, and checks what it contains. */
export function checkJson(text: string, within?: ReadonlySet<string>): Checked {
  let value: Json;
  try {
    value = parseExact(text, within);
  } catch (error) {
    return { notJson: whyNotJson(error) };
  }
  const fault = findFault(text, value);
  return fault ? { fault } : { value };
}

/** Finds what a client's JSON text must not contain; `value` is the parsed text. */
function findFault(text: string, value: Json): Fault | undefined {
  const message = findExcess(value);
  if (message !== undefined) return { path: "", message };
  const path = findRepeated(text);
  return path === undefined ? undefined : { path, message: REPEATED };
}

/**
 * Finds what is excessive in a parsed value, or returns `undefined`. Deeper values overflow the stack of functions
 * that walk them (`JSON.stringify` gives up below 40,000 levels), and an own property `__proto__` turns into a
 * prototype wherever somebody copies it by assignment.
 */
function findExcess(value: unknown, depth = 0): string | undefined {
  if (typeof value === "string") return wrongText(value);
  if (typeof value !== "object" || value === null) return undefined;
  if (depth >= DEEPEST) return TOO_DEEP.message;
  return Array.isArray(value) ? inList(value, depth) : inObject(value, depth);
}

export function wrongText(text: string): string | undefined {
  if (text.length > LONGEST_TEXT) return `a text is longer than ${LONGEST_TEXT} characters`;
  // Half a surrogate pair cannot be written as UTF-8: it would be stored as another character.
  return text.isWellFormed() ? undefined : "a text has half a surrogate pair (\\ud800 to \\udfff)";
}

function inList(list: unknown[], depth: number): string | undefined {
  if (list.length > MOST_ITEMS) return TOO_LONG.message;
  for (const item of list) {
    const excess = findExcess(item, depth + 1);
    if (excess !== undefined) return excess;
  }
  return undefined;
}

function inObject(value: object, depth: number): string | undefined {
  let names = 0;
  for (const [name, item] of Object.entries(value)) {
    const excess = wrongName(name, ++names) ?? findExcess(item, depth + 1);
    if (excess !== undefined) return excess;
  }
  return undefined;
}

/** What is wrong with the name of the `number`th field of an object. */
export function wrongName(name: string, number: number): string | undefined {
  if (name === "__proto__") return "no field may be called __proto__";
  if (!name.isWellFormed()) return "the name of a field has half a surrogate pair";
  return number > MOST_NAMES ? `an object has more than ${MOST_NAMES} fields` : undefined;
}
