import { type Json, parseJson } from "../lib/json.ts";

/**
 * The JSON in what a server sent, or `undefined`. Around it there may be what keeps a connection
 * alive (blank lines, comments) and a `data: [DONE]`; in it, Python's NaN and Infinity, which are
 * read as null.
 */
export function readLooseJson(text: string): Json | undefined {
  const strict = parseJson(text);
  if (strict !== undefined) return strict;
  const bare = text
    .replace(/^\uFEFF/, "")
    .replace(/^(?:\s*:[^\n]*\n)+/, "")
    .replace(/\s*(?:data:\s*)?\[DONE\]\s*$/, "");
  return parseJson(bare) ?? parseJson(repairJson(bare));
}

/** Python writes what JSON has no number for by its name. */
export function repairJson(text: string): string {
  if (!/NaN|Infinity/.test(text)) return text;
  return text.replaceAll(/"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Infinity)\b/g, (found) =>
    found.startsWith('"') ? found : "null",
  );
}
