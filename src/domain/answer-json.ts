import { parseExactOrNone } from "../lib/exact-json.ts";
import { isJsonObject, type Json, type JsonObject, parseJson } from "../lib/json.ts";

/** The JSON object of an answer, as text, or why there is none. */
export type FoundJson = { text: string } | { problem: string };

/** How many opening braces are tried. Each may need a pass over the whole text. */
const MOST_BEGINNINGS = 50;
const LONGEST_ANSWER = 1_000_000;

/**
 * Finds the JSON object of an answer: the whole answer, or an object in a code fence or between other words. An
 * answer with two objects is ambiguous and has none.
 */
export function findJson(content: string | null): FoundJson {
  const text = withoutThoughts(content ?? "");
  if (text === "") return { problem: "it has no text" };
  if (text.length > LONGEST_ANSWER)
    return { problem: `it has ${text.length} characters; ${LONGEST_ANSWER} is the most` };
  const whole = parseJson(text);
  if (isJsonObject(whole)) return { text };
  if (whole !== undefined) return { problem: "it is JSON, but not an object" };
  const found = objectsIn(text);
  const [first] = found;
  if (first === undefined) return { problem: "it is not JSON" };
  return found.length === 1 ? { text: first } : { problem: "it has more than one JSON object" };
}

/** The JSON object of an answer that was checked. Numbers keep their digits. */
export function parsedAnswer(content: string | null): JsonObject | null {
  const found = findJson(content);
  const value: Json | undefined = "text" in found ? parseExactOrNone(found.text) : undefined;
  return isJsonObject(value) ? value : null;
}

/** The first two objects of a text that are not inside others. */
function objectsIn(text: string): string[] {
  const found: string[] = [];
  let at = text.indexOf("{");
  for (let tries = 0; at >= 0 && tries < MOST_BEGINNINGS && found.length < 2; tries++) {
    const end = endOfObject(text, at);
    const object = end === undefined ? undefined : text.slice(at, end);
    const isObject = object !== undefined && isJsonObject(parseJson(object));
    if (isObject) found.push(object);
    at = text.indexOf("{", isObject ? (end ?? at + 1) : at + 1);
  }
  return found;
}

/** The position after the brace that closes the one at `start`. */
function endOfObject(text: string, start: number): number | undefined {
  let depth = 0;
  let isString = false;
  for (let i = start; i < text.length; i++) {
    const one = text[i];
    if (isString) {
      if (one === "\\") i++;
      else if (one === '"') isString = false;
    } else if (one === '"') isString = true;
    else if (one === "{") depth++;
    else if (one === "}" && --depth === 0) return i + 1;
  }
  return undefined;
}

/** Removes the reasoning (`<think>…</think>`) that some servers leave at the start of the answer. */
export function withoutThoughts(content: string | null): string {
  return (content ?? "").replace(/^\s*<think>(?:(?!<\/think>)[^])*(<\/think>|$)/, "").trim();
}
