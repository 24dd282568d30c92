/*
 * What is marked of a completed task besides that it is: a column of `tasks` and of `executions` each,
 * and the counter of `batches` that counts such tasks.
 */
const MARKS = [
  { counter: "truncated", mark: "is_truncated" },
  { counter: "cached", mark: "is_cached" },
  { counter: "repaired", mark: "is_repaired" },
] as const;

type Mark = (typeof MARKS)[number];

/** A list of SQL with a part for each mark, each with a comma before it. */
export function forEachMark(part: (mark: Mark) => string): string {
  return MARKS.map((mark) => `, ${part(mark)}`).join("");
}

export const MARKED_COUNTERS = MARKS.map(({ counter }) => counter);
