import type { Statement } from "../db/unit.ts";
import { FLEX_MARK } from "../domain/flex.ts";

/** SQL for the model that a row of `tasks` calls: its own, or that of `escalateTo` if it is escalated. */
export function modelAsked(task: string, isEscalated: string): string {
  return `iif(${isEscalated}, coalesce(${task}.escalate_to, ${task}.model), ${task}.model)`;
}

/**
 * SQL for the lane of a row of `tasks`, and for when it falls back to the standard tier if it requests flex. That
 * time and `from`, the start of the wait, are by the steady clock, because the wall clock may jump.
 */
export function flexColumns(
  task: string,
  {
    from,
    isDryRun,
    isEscalated = "FALSE",
  }: { from: string; isDryRun: string; isEscalated?: string },
): { model: string; until: string } {
  const isFlex = `${task}.flex_minutes IS NOT NULL AND NOT ${isDryRun}`;
  return {
    model: `${modelAsked(task, isEscalated)} || iif(${isFlex}, '${FLEX_MARK}', '')`,
    until: `iif(${isFlex}, CAST(${from} + ${task}.flex_minutes * 60000 AS INTEGER), NULL)`,
  };
}

/**
 * Assignments that move rows of the queue to the lane of their changed task. Their one argument is the steady clock,
 * because the wait begins anew. If the request has changed, repairs and escalation of the earlier request are reset.
 */
export function laneOfTask(task: string, { asksOther }: { asksOther: boolean }): string {
  const { model, until } = flexColumns(task, {
    from: "?",
    isDryRun: "queue.is_dry_run",
    isEscalated: asksOther ? "FALSE" : "queue.is_escalated",
  });
  const forgets = asksOther ? ", repairs = 0, repair = NULL, is_escalated = FALSE" : "";
  return `model = ${model}, flex_until = ${until}${forgets}`;
}

/** Assignments for runs that wait for the standard tier from now on. */
export const LEAVES_FLEX = {
  model: `(SELECT ${modelAsked("t", "queue.is_escalated")} FROM tasks t WHERE t.seq = queue.task)`,
  until: "NULL",
};

/** Moves runs that waited for the flex tier until their deadline to the lane of the standard one. */
export function leaveFlex(now: number): Statement {
  return {
    sql: `UPDATE queue SET model = ${LEAVES_FLEX.model}, flex_until = ${LEAVES_FLEX.until}
          WHERE flex_until <= ? AND owner IS NULL`,
    args: [now],
  };
}
