import {
  BACKSLASH,
  CLOSE_LIST,
  CLOSE_OBJECT,
  COLON,
  COMMA,
  OPEN_LIST,
  OPEN_OBJECT,
  QUOTE,
} from "./json-codes.ts";
/** An object or list that is being read. `at` is the name or index of what is read in it. */
type Open = { at: string | number; first?: string; names?: Set<string> };

/** A path consists of names that a client chose. */
const LONGEST_PATH = 200;

/**
 * The path of the first duplicate name in an object of a JSON text. Parsers differ in which of the two members they
 * keep, so a proxy that checks the text could see another request than the one that runs. `text` must be valid JSON.
 * It is read once, and without recursion, however deep it is.
 */
export function findRepeated(text: string): string | undefined {
  const around: Open[] = [];
  let open: Open | undefined;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === QUOTE) {
      const end = endOfText(text, i);
      if (open && typeof open.at === "string" && isName(text, end)) {
        open.at = textAt(text, i, end);
        if (!addName(open, open.at)) return pathOf([...around, open].map((one) => one.at));
      }
      i = end;
    } else if (code === OPEN_OBJECT || code === OPEN_LIST) {
      if (open) around.push(open);
      open = { at: code === OPEN_LIST ? 0 : "" };
    } else if (code === CLOSE_OBJECT || code === CLOSE_LIST) open = around.pop();
    else if (code === COMMA && typeof open?.at === "number") open.at++;
  }
  return undefined;
}

/** The position of the closing quote of the string that begins at `start`. */
export function endOfText(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end !== -1; end = text.indexOf('"', end + 1)) {
    let before = end;
    while (text.charCodeAt(before - 1) === BACKSLASH) before--;
    if ((end - before) % 2 === 0) return end;
  }
  return text.length;
}

/** In an object a text before a colon is a name. */
function isName(text: string, end: number): boolean {
  let next = end + 1;
  while (text.charCodeAt(next) <= 0x20) next++;
  return text.charCodeAt(next) === COLON;
}

/** The name with its escapes decoded: `"\u0061"` is `"a"`. */
function textAt(text: string, start: number, end: number): string {
  const raw = text.slice(start + 1, end);
  return raw.includes("\\") ? (JSON.parse(`"${raw}"`) as string) : raw;
}

/**
 * Adds a name to an object; false if the object has it already. Most objects are small, and one with a single name
 * needs no set.
 */
function addName(object: Open, name: string): boolean {
  if (object.first === undefined) {
    object.first = name;
    return true;
  }
  object.names ??= new Set([object.first]);
  if (object.names.has(name)) return false;
  object.names.add(name);
  return true;
}

/** A path from the names and indices on the way. */
export function pathOf(way: (string | number)[]): string {
  const path = way.map((at) => (at === "" ? '""' : at)).join(".");
  return path.length > LONGEST_PATH ? `${path.slice(0, LONGEST_PATH)}…` : path;
}
