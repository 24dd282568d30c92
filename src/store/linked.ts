import type { Statement } from "../db/unit.ts";

/**
 * Statements of which each depends on how many rows the one before it changed: its SQL gets that as
 * `changed`. They are one list, so that nothing can come between them. It is for where asking the
 * tables again would cost too much; elsewhere the statement that reports a change, or goes with it,
 * stands before the one that makes it and has the same condition.
 */
export function linked(
  first: Statement,
  ...others: ((changed: string) => Statement)[]
): Statement[] {
  return [first, ...others.map((dependent) => dependent("changes()"))];
}
