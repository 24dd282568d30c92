import type { Statement } from "../db/unit.ts";
import { countMove, finishBatches } from "./counters.ts";
import { GENERATION_OF_BATCH } from "./generations.ts";
import { CANCELLED_RUN, type CancelledRun } from "./queue.ts";
import { addCancelled } from "./rollups.ts";
import { EARLIER_AMOUNTS } from "./spent.ts";
import type { Which } from "./which.ts";

export type EndQueuedUnit = { executions: Statement; run: Statement; unqueued: Statement };

export type CancelUnit = EndQueuedUnit & {
  /** The runs that end with the tasks. */
  runs: Statement<CancelledRun>;
  counted: Statement;
  rolledUp: Statement;
  /** One for each task that is cancelled. */
  events: Statement;
  cancelled: Statement<{ seq: number }>;
  finished: Statement[];
};

/**
 * Cancels the tasks of a batch (`byNumber`, `batchOfTask`) that meet a condition on `tasks`. The condition must qualify
 * its columns, and hold only for pending and running tasks. Events carry the trace of the run, else the given one, else the batch's.
 */
export function cancelWhere(
  which: Which,
  batch: Which,
  trace: string | null,
  now: number,
): CancelUnit {
  return {
    runs: {
      sql: `SELECT ${CANCELLED_RUN} FROM tasks CROSS JOIN queue q ON q.task = tasks.seq
            WHERE ${which.where}`,
      args: which.args,
    },
    counted: countMove(which, "cancelled", now),
    rolledUp: addCancelled(which, now),
    events: reportCancelled(which, trace, now),
    ...endQueued(which, now),
    cancelled: {
      sql: `UPDATE tasks SET status = 'cancelled', completed_at = ?, updated_at = ?,
              generation = ${GENERATION_OF_BATCH}
            WHERE ${which.where} RETURNING seq`,
      args: [now, now, ...which.args],
    },
    finished: finishBatches(batch, now),
  };
}

/**
 * Ends the queued runs of tasks that meet a condition on `tasks` as cancelled. Their executions have the usage of the
 * calls that have ended; a call in flight adds nothing.
 */
export function endQueued(which: Which, now: number): EndQueuedUnit {
  return {
    executions: {
      sql: `INSERT INTO executions (task, run, status, is_dry_run, queued_at, started_at, claimed_at,
              completed_at, attempts, log, prompt_tokens, completion_tokens, cached_tokens, reasoning_tokens, cost_usd, known_usd)
            SELECT q.task, q.run, 'cancelled', q.is_dry_run, q.queued_at, q.started_at, q.claimed_at, ?,
                   q.attempt, q.log, ${EARLIER_AMOUNTS}
            FROM tasks CROSS JOIN queue q ON q.task = tasks.seq WHERE ${which.where}`,
      args: [now, ...which.args],
    },
    run: {
      sql: `UPDATE tasks SET run = q.run, attempts = q.attempt, started_at = q.started_at
            FROM queue q WHERE q.task = tasks.seq AND ${which.where}`,
      args: which.args,
    },
    unqueued: {
      sql: `DELETE FROM queue WHERE task IN (SELECT tasks.seq FROM tasks WHERE ${which.where})`,
      args: which.args,
    },
  };
}

/** Appends a `task.cancelled` event for each of these tasks, before their runs leave the queue. */
export function reportCancelled(which: Which, trace: string | null, now: number): Statement {
  return {
    sql: `INSERT INTO events (at, type, task, batch, task_seq, run, trace)
          SELECT ?, 'task.cancelled', tasks.id, nullif(b.id, ''), tasks.seq, q.run,
                 coalesce(q.trace, ?, b.trace)
          FROM tasks CROSS JOIN batches b ON b.seq = tasks.batch
            LEFT JOIN queue q ON q.task = tasks.seq
          WHERE ${which.where}`,
    args: [now, trace, ...which.args],
  };
}
