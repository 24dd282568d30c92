import type { Statement } from "../db/unit.ts";
import { FLEX_MARK } from "../domain/flex.ts";

/** SQL that is the lane of a row of `tasks`, and when it falls back to the standard tier if it asks for flex. */
export function flexColumns(
  task: string,
  { queuedAt, isDryRun }: { queuedAt: string; isDryRun: string },
): { model: string; until: string } {
  const isFlex = `${task}.flex_minutes IS NOT NULL AND NOT ${isDryRun}`;
  return {
    model: `${task}.model || iif(${isFlex}, '${FLEX_MARK}', '')`,
    until: `iif(${isFlex}, CAST(${queuedAt} + ${task}.flex_minutes * 60000 AS INTEGER), NULL)`,
  };
}

/** Assignments that put rows of the queue where their task, changed since, belongs. */
export function laneOfTask(task: string): string {
  const { model, until } = flexColumns(task, {
    queuedAt: "queue.queued_at",
    isDryRun: "queue.is_dry_run",
  });
  return `model = ${model}, flex_until = ${until}`;
}

/** The standard tier is what they wait for from now on. */
export const LEAVES_FLEX = {
  model: "(SELECT t.model FROM tasks t WHERE t.seq = queue.task)",
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
