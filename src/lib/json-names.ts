/** Names that look like array indices, which a JavaScript object moves to its front. */
const INDEX = /^(0|[1-9]\d*)$/;

/**
 * The names of a JSON object's members in the order of its text. `Object.keys` has that order except for names such
 * as `2024`; the text is read only if there are such names. `text` must be valid.
 */
export function namesInOrder(text: string, object: object): string[] {
  const names = Object.keys(object);
  if (!names.some((name) => INDEX.test(name))) return names;
  const found = new Set<string>();
  let depth = 0;
  // The text is a valid object: a string before a colon, at the first level, is a name.
  for (const [token, name] of text.matchAll(/("(?:[^"\\]|\\.)*")\s*:|"(?:[^"\\]|\\.)*"|[{}[\]]/g))
    if (token === "{" || token === "[") depth++;
    else if (token === "}" || token === "]") depth--;
    else if (name !== undefined && depth === 1) found.add(JSON.parse(name) as string);
  return [...found];
}
