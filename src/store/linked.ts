import type { Statement } from "../db/unit.ts";

/**
 * Statements each of which depends on how many rows the one before it changed; its SQL gets that number as `changed`.
 * They are one list, so that nothing can come between them. Use it only if repeating the condition would cost too
 * much. Otherwise the statement that reports a change comes before the one that makes it, and has the same condition.
 */
export function linked(
  first: Statement,
  ...others: ((changed: string) => Statement)[]
): Statement[] {
  return [first, ...others.map((dependent) => dependent("changes()"))];
}
