import { findRepeated } from "./json-repeats.ts";

const DEEPEST = 100;
const MOST_ITEMS = 100_000;
const MOST_NAMES = 10_000;
const LONGEST_TEXT = 5_000_000;

/** What is wrong; `path` is empty if it concerns the whole text. */
export type Fault = { path: string; message: string };

/**
 * Finds what a client's JSON text must not contain; `value` is the parsed text. `undefined` if there is nothing
 * wrong.
 */
export function findFault(text: string, value: unknown): Fault | undefined {
  if (value === undefined) return undefined;
  const message = findExcess(value);
  if (message !== undefined) return { path: "", message };
  const path = findRepeated(text);
  return path === undefined
    ? undefined
    : { path, message: "is given more than once in one object" };
}

/**
 * Finds what is excessive in a parsed value, or returns `undefined`. Deeper values overflow the stack of functions
 * that walk them (`JSON.stringify` gives up below 40,000 levels), and an own property `__proto__` turns into a
 * prototype wherever somebody copies it by assignment.
 */
function findExcess(value: unknown, depth = 0): string | undefined {
  if (typeof value === "string") return inText(value);
  if (typeof value !== "object" || value === null) return undefined;
  if (depth >= DEEPEST) return `values are nested more than ${DEEPEST} levels deep`;
  return Array.isArray(value) ? inList(value, depth) : inObject(value, depth);
}

function inText(text: string): string | undefined {
  if (text.length > LONGEST_TEXT) return `a text is longer than ${LONGEST_TEXT} characters`;
  // Half a surrogate pair cannot be written as UTF-8: it would be stored as another character.
  return text.isWellFormed() ? undefined : "a text has half a surrogate pair (\\ud800 to \\udfff)";
}

function inList(list: unknown[], depth: number): string | undefined {
  if (list.length > MOST_ITEMS) return `a list has more than ${MOST_ITEMS} items`;
  for (const item of list) {
    const excess = findExcess(item, depth + 1);
    if (excess !== undefined) return excess;
  }
  return undefined;
}

function inObject(value: object, depth: number): string | undefined {
  let names = 0;
  for (const [name, item] of Object.entries(value)) {
    if (name === "__proto__") return "no field may be called __proto__";
    if (!name.isWellFormed()) return "the name of a field has half a surrogate pair";
    if (++names > MOST_NAMES) return `an object has more than ${MOST_NAMES} fields`;
    const excess = findExcess(item, depth + 1);
    if (excess !== undefined) return excess;
  }
  return undefined;
}
