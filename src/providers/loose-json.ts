import { type Json, parseJson } from "../lib/json.ts";

/**
 * The JSON of a server's answer, or `undefined`. Keep-alive blank lines and comments, and a `data: [DONE]`, may
 * surround it; Python's NaN and Infinity are read as null.
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

/** Python writes NaN and Infinity, which JSON does not have. */
export function repairJson(text: string): string {
  if (!/NaN|Infinity/.test(text)) return text;
  return text.replaceAll(/"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Infinity)\b/g, (found) =>
    found.startsWith('"') ? found : "null",
  );
}
