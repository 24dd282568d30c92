/* The marks of completed tasks. Each has a column in `tasks`, one in `executions`, and a counter in `batches`. */
const MARKS = [
  { counter: "truncated", mark: "is_truncated" },
  { counter: "cached", mark: "is_cached" },
  { counter: "repaired", mark: "is_repaired" },
] as const;

type Mark = (typeof MARKS)[number];

/** SQL with a part for each mark, each with a comma before it. */
export function forEachMark(part: (mark: Mark) => string): string {
  return MARKS.map((mark) => `, ${part(mark)}`).join("");
}

export const MARKED_COUNTERS = MARKS.map(({ counter }) => counter);
