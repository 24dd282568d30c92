import type { Statement } from "../db/unit.ts";
import { FLEX_MARK } from "../domain/flex.ts";

/** SQL for the model that a row of `tasks` asks, or that it asks where the answer of the first was not good enough. */
export function modelAsked(task: string, isEscalated: string): string {
  return `iif(${isEscalated}, coalesce(${task}.escalate_to, ${task}.model), ${task}.model)`;
}

/**
 * SQL that is the lane of a row of `tasks`, and when it falls back to the standard tier if it asks for flex: by the
 * steady clock of waits, as is `from`, since when it waits. The wall clock may jump.
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
 * Assignments that put rows of the queue where their task, changed since, belongs; their one argument is the steady
 * clock of waits, since they wait anew. Where it asks for something else now, what was answered to the earlier request
 * is of no use any more.
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

/** The standard tier is what they wait for from now on. */
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
