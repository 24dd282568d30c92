import { CLOSE_LIST, CLOSE_OBJECT, OPEN_LIST, OPEN_OBJECT, QUOTE } from "./json-codes.ts";
import { endOfText } from "./json-repeats.ts";

/** Twice the depth of what clients may send, so that all that is stored can be read. */
const DEEPEST = 200;

/**
 * Whether the values of a JSON text are nested so deep that functions that walk them, such as `JSON.stringify`, could
 * overflow the stack. The text need not be valid. It is read once, and without recursion.
 */
export function isTooDeep(text: string): boolean {
  // Each level takes two characters.
  if (text.length <= 2 * DEEPEST) return false;
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === QUOTE) i = endOfText(text, i);
    else if (code === OPEN_LIST || code === OPEN_OBJECT) {
      if (++depth > DEEPEST) return true;
    } else if (code === CLOSE_LIST || code === CLOSE_OBJECT) depth--;
  }
  return false;
}
