const DEEPEST = 100;
const MOST_ITEMS = 100_000;
const MOST_NAMES = 10_000;
const LONGEST_TEXT = 5_000_000;

/**
 * What is excessive in a value that a JSON parser made, or `undefined`. Deeper values overflow the
 * stack of whatever walks them (`JSON.stringify` gives up below 100,000 levels), and an own property
 * `__proto__` turns into a prototype wherever somebody copies it by assignment.
 */
export function findExcess(value: unknown, depth = 0): string | undefined {
  if (typeof value === "string")
    return value.length > LONGEST_TEXT
      ? `a text is longer than ${LONGEST_TEXT} characters`
      : undefined;
  if (typeof value !== "object" || value === null) return undefined;
  if (depth >= DEEPEST) return `values are nested more than ${DEEPEST} levels deep`;
  return Array.isArray(value) ? inList(value, depth) : inObject(value, depth);
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
    if (++names > MOST_NAMES) return `an object has more than ${MOST_NAMES} fields`;
    const excess = findExcess(item, depth + 1);
    if (excess !== undefined) return excess;
  }
  return undefined;
}
