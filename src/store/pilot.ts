import type { Statement } from "../db/unit.ts";
import { enqueue, type Queued, type RunOptions } from "./queue.ts";
import { nextRun } from "./timeline.ts";

/** A pending task that is not in the queue. */
const AT_REST = `status = 'pending' AND NOT EXISTS (SELECT 1 FROM queue WHERE task = tasks.seq)`;

/** Up to `limit` tasks of a batch that have not run: the first ones, or those at given positions. */
export function findUntried(
  batch: number,
  limit: number,
  positions: readonly number[] | null,
): Statement<{ seq: number }> {
  const which = positions ? " AND position IN (SELECT value FROM json_each(?))" : "";
  return {
    sql: `SELECT seq FROM tasks WHERE batch = ? AND position IS NOT NULL AND ${AT_REST}${which}
          ORDER BY position LIMIT ?`,
    args: [batch, ...(positions ? [JSON.stringify(positions)] : []), limit],
  };
}

export type PilotUnit = {
  moved: Statement<{ seq: number; run: number }>;
  queued: Statement<Queued>;
};

/**
 * Queues some tasks of a batch that has not been started, which stays as it is. They run like tasks that are executed
 * one by one, so their end changes only the counters of the batch.
 */
export function startPilot(batch: number, tasks: number[], options: RunOptions): PilotUnit {
  const which = {
    where: `seq IN (SELECT value FROM json_each(?)) AND ${AT_REST}
      AND EXISTS (SELECT 1 FROM batches b WHERE b.seq = tasks.batch AND b.status = 'pending')`,
    args: [JSON.stringify(tasks)],
  };
  return {
    moved: {
      sql: `UPDATE batches SET run = ${nextRun("run")}, updated_at = ? WHERE seq = ? AND status = 'pending'
            RETURNING seq, run`,
      args: [options.now, batch],
    },
    queued: enqueue(which, options),
  };
}
