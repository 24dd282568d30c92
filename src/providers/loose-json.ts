import { type Json, parseJson } from "../lib/json.ts";

/**
 * The JSON of a server's answer, or `undefined`. Keep-alive blank lines and comments, and a `data: [DONE]`, may
 * surround it; Python's NaN and Infinity are read as null.
 */
export function readLooseJson(text: string): Json | undefined {
  const strict = parseJson(text);
  if (strict !== undefined) return strict;
  const bare = withoutDone(text.replace(/^\uFEFF/, "").replace(/^(?:\s*:[^\n]*\n)+/, ""));
  return parseJson(bare) ?? parseJson(repairJson(bare));
}

/** Not one pattern, which would be tried at each blank of a long run of them. */
function withoutDone(text: string): string {
  const end = text.trimEnd();
  return end.endsWith("[DONE]") ? end.slice(0, -"[DONE]".length).replace(/data:\s*$/, "") : text;
}

/** Python writes NaN and Infinity, which JSON does not have. */
export function repairJson(text: string): string {
  if (!/NaN|Infinity/.test(text)) return text;
  // A string that does not end is matched as well, so that its end is searched for only once.
  return text.replaceAll(/"(?:[^"\\]|\\[^])*"?|-?\b(?:NaN|Infinity)\b/g, (found) =>
    found.startsWith('"') ? found : "null",
  );
}
