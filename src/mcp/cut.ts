/** The longest text of one answer in the result of a tool. */
export const MOST_CHARACTERS = 50_000;

/** Cuts a text to at most `most` characters, and says so if it was longer. */
export function cut(text: string, most = MOST_CHARACTERS): string {
  if (text.length <= most) return text;
  // A surrogate pair must not be cut.
  const end = /[\uD800-\uDBFF]/.test(text[most - 1] ?? "") ? most - 1 : most;
  return `${text.slice(0, end)}… (cut here: ${end} of ${text.length} characters)`;
}

/** The fields of an object that are not null. */
export function withoutNulls<T extends object>(fields: T): Partial<T> {
  const kept = Object.entries(fields).filter(([, value]) => value !== null && value !== undefined);
  return Object.fromEntries(kept) as Partial<T>;
}
