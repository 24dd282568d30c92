import type { Statement } from "../db/unit.ts";
import { countMove, finishBatches } from "./counters.ts";
import { GENERATION_OF_BATCH, IS_OF_EARLIER_GENERATION } from "./generations.ts";
import { CANCELLED_RUN, type CancelledRun } from "./queue.ts";
import { addCancelled } from "./rollups.ts";

const IS_UNSWEPT = `((status = 'cancelled' AND completed_at IS NULL) OR revive IS NOT NULL)`;

/** Batches whose rows say that something is still to be done for their tasks. */
export const UNSWEPT: Statement<{ seq: number }> = {
  sql: `SELECT seq FROM batches WHERE ${IS_UNSWEPT}`,
  args: [],
};

/** Whether something is still to be done for the tasks of a batch: a row if so. */
export function findUnswept(seq: number): Statement<{ isCancelled: number }> {
  return {
    sql: `SELECT status = 'cancelled' AS isCancelled FROM batches WHERE seq = ? AND ${IS_UNSWEPT}`,
    args: [seq],
  };
}

export type CancelChunkUnit = {
  /** The runs that end with the tasks. */
  runs: Statement<CancelledRun>;
  counted: Statement;
  rolledUp: Statement;
  executions: Statement;
  run: Statement;
  /** One for each task that is cancelled. */
  events: Statement;
  unqueued: Statement;
  cancelled: Statement;
  finished: Statement[];
};

/** Cancels up to `limit` tasks of a cancelled batch; with the last of them the batch ends. */
export function cancelChunk(batch: number, limit: number, now: number): CancelChunkUnit {
  const which = {
    where: `tasks.seq IN (
      SELECT t.seq FROM batches b CROSS JOIN tasks t ON t.batch = b.seq AND t.status = 'pending'
      WHERE b.seq = ? AND b.status = 'cancelled' AND b.completed_at IS NULL
      ORDER BY t.position LIMIT ?)`,
    args: [batch, limit],
  };
  return {
    runs: {
      sql: `SELECT ${CANCELLED_RUN} FROM tasks CROSS JOIN queue q ON q.task = tasks.seq
            WHERE ${which.where}`,
      args: which.args,
    },
    counted: countMove(which, "cancelled", now),
    rolledUp: addCancelled(which, now),
    executions: {
      sql: `INSERT INTO executions (task, run, status, is_dry_run, queued_at, started_at, claimed_at,
              completed_at, attempts, log)
            SELECT q.task, q.run, 'cancelled', q.is_dry_run, q.queued_at, q.started_at, q.claimed_at, ?,
                   q.attempt, q.log
            FROM tasks CROSS JOIN queue q ON q.task = tasks.seq WHERE ${which.where}`,
      args: [now, ...which.args],
    },
    run: {
      sql: `UPDATE tasks SET run = q.run, attempts = q.attempt, started_at = q.started_at
            FROM queue q WHERE q.task = tasks.seq AND ${which.where}`,
      args: which.args,
    },
    events: {
      sql: `INSERT INTO events (at, type, task, batch, task_seq, run, trace)
            SELECT ?, 'task.cancelled', tasks.id, b.id, tasks.seq, q.run, coalesce(q.trace, b.trace)
            FROM tasks CROSS JOIN batches b ON b.seq = tasks.batch
              LEFT JOIN queue q ON q.task = tasks.seq
            WHERE ${which.where}`,
      args: [now, ...which.args],
    },
    unqueued: {
      sql: `DELETE FROM queue WHERE task IN (SELECT tasks.seq FROM tasks WHERE ${which.where})`,
      args: which.args,
    },
    cancelled: {
      sql: `UPDATE tasks SET status = 'cancelled', completed_at = ?, updated_at = ?,
              generation = ${GENERATION_OF_BATCH}
            WHERE ${which.where}`,
      args: [now, now, ...which.args],
    },
    finished: finishBatches(JSON.stringify([batch]), now),
  };
}

export type ReviveChunkUnit = {
  counted: Statement;
  revived: Statement;
  done: Statement;
  finished: Statement[];
};

/**
 * Makes up to `limit` ended tasks of a batch pending again, as its row says which; the batch is
 * done with that when none is left.
 */
export function reviveChunk(batch: number, limit: number, now: number): ReviveChunkUnit {
  const which = {
    where: `tasks.seq IN (
      SELECT t.seq FROM batches b CROSS JOIN json_each(b.revive) r
        CROSS JOIN tasks t ON t.batch = b.seq AND t.status = r.value
      WHERE b.seq = ? AND ${IS_OF_EARLIER_GENERATION} LIMIT ?)`,
    args: [batch, limit],
  };
  return {
    counted: countMove(which, "pending", now),
    revived: {
      sql: `UPDATE tasks SET status = 'pending', attempts = 0, started_at = NULL, completed_at = NULL,
              updated_at = ?
            WHERE ${which.where}`,
      args: [now, ...which.args],
    },
    done: {
      sql: `UPDATE batches AS b SET revive = NULL
            WHERE seq = ? AND revive IS NOT NULL AND NOT EXISTS (
              SELECT 1 FROM json_each(b.revive) r
              CROSS JOIN tasks t ON t.batch = b.seq AND t.status = r.value
              WHERE ${IS_OF_EARLIER_GENERATION})`,
      args: [batch],
    },
    finished: finishBatches(JSON.stringify([batch]), now),
  };
}
