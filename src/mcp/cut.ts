/** The longest text of one answer in what a tool gives back. */
export const MOST_CHARACTERS = 50_000;

/** A text of at most `most` characters, which says so where it was longer. */
export function cut(text: string, most = MOST_CHARACTERS): string {
  if (text.length <= most) return text;
  // A pair of surrogates is one character, and half of one is none.
  const end = /[\uD800-\uDBFF]/.test(text[most - 1] ?? "") ? most - 1 : most;
  return `${text.slice(0, end)}… (cut here: ${end} of ${text.length} characters)`;
}

/** The fields of an object that say something. */
export function withoutNulls<T extends object>(fields: T): Partial<T> {
  const kept = Object.entries(fields).filter(([, value]) => value !== null && value !== undefined);
  return Object.fromEntries(kept) as Partial<T>;
}
