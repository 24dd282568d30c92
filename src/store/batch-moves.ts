import type { Statement } from "../db/writer.ts";
import type { PauseReason } from "../domain/batch.ts";
import type { FinalStatus } from "../domain/task.ts";
import { countMove, finishBatches } from "./counters.ts";
import { eventAfterChange } from "./events.ts";
import { CANCELLED_RUN } from "./queue.ts";
import { addCancelled } from "./rollups.ts";

/*
 * Moves of whole batches. Each is one guarded change of the batch's row, whatever its size; its
 * first result has a row only if the batch could make the move. What follows for the tasks of the
 * batch is done afterwards in chunks (`cancelChunk`, `reviveChunk`), by any process and as often as
 * it takes: the batch's row says what is still to be done.
 */

type Named = { id: string; seq: number };

/** Starts a pending batch that has tasks. Its row: `{seq, run}`. */
export function startBatch(
  { id, seq }: Named,
  isDryRun: boolean,
  trace: string | null,
  now: number,
): Statement[] {
  return [
    {
      sql: `UPDATE batches SET status = 'running', run = run + 1, is_dry_run = ?, started_at = ?,
              updated_at = ?, is_bare = 0, trace = ?
            WHERE seq = ? AND status = 'pending' AND total > 0 RETURNING seq, run`,
      args: [isDryRun, now, now, trace, seq],
    },
    eventAfterChange({ type: "batch.started", at: now, task: null, batch: id }),
    ...finishBatches(JSON.stringify([seq]), now),
  ];
}

export type Rerun = {
  /** Which of the ended tasks run again. */
  statuses: FinalStatus[];
  isDryRun: boolean;
  /** Of a batch that was a dry run, which may be started again as a whole. */
  onlyAfterDryRun: boolean;
  trace: string | null;
  now: number;
};

/** Starts a batch again for its ended tasks of some statuses. Its row: `{seq, run}`. */
export function restartBatch({ id, seq }: Named, rerun: Rerun): Statement[] {
  const { statuses, isDryRun, onlyAfterDryRun, trace, now } = rerun;
  const some = statuses.map((status) => `${status} > 0`).join(" OR ");
  return [
    {
      sql: `UPDATE batches SET status = 'running', run = run + 1, is_dry_run = ?, trace = ?, updated_at = ?,
              started_at = ?, completed_at = NULL, pause_reason = NULL, revive = ?, revive_before = ?,
              output_status = NULL, output_error = NULL
            WHERE seq = ? AND status IN ('running', 'paused', 'completed', 'failed', 'cancelled')
              AND (${some}) AND revive IS NULL AND (status <> 'cancelled' OR completed_at IS NOT NULL)
              AND (? = 0 OR (is_dry_run = 1 AND status NOT IN ('running', 'paused')))
            RETURNING seq, run`,
      args: [isDryRun, trace, now, now, JSON.stringify(statuses), now, seq, onlyAfterDryRun],
    },
    eventAfterChange({
      type: "batch.started",
      at: now,
      task: null,
      batch: id,
      data: { again: statuses },
    }),
  ];
}

/** Starts no more calls of a running batch; those in flight finish. Its row: `{seq}`. */
export function pauseBatch({ id, seq }: Named, reason: PauseReason, now: number): Statement[] {
  return [
    {
      sql: `UPDATE batches SET status = 'paused', pause_reason = ?, updated_at = ?
            WHERE seq = ? AND status = 'running' RETURNING seq`,
      args: [JSON.stringify(reason), now, seq],
    },
    eventAfterChange({
      type: "batch.paused",
      at: now,
      task: null,
      batch: id,
      data: { reason },
    }),
  ];
}

/** The same for the engine, which knows a batch by its row number alone. */
export function pauseRunning(seq: number, reason: PauseReason, now: number): Statement[] {
  return [
    {
      sql: `UPDATE batches SET status = 'paused', pause_reason = ?, updated_at = ?
            WHERE seq = ? AND status = 'running'`,
      args: [JSON.stringify(reason), now, seq],
    },
    {
      sql: `INSERT INTO events (at, type, task, batch, data, trace)
            SELECT ?, 'batch.paused', NULL, id, ?, trace FROM batches WHERE seq = ? AND changes() > 0`,
      args: [now, JSON.stringify({ reason }), seq],
    },
  ];
}

/** Lets a paused batch go on. Its row: `{seq}`. */
export function resumeBatch({ id, seq }: Named, now: number): Statement[] {
  return [
    {
      sql: `UPDATE batches SET status = 'running', pause_reason = NULL, updated_at = ?
            WHERE seq = ? AND status = 'paused' RETURNING seq`,
      args: [now, seq],
    },
    eventAfterChange({ type: "batch.resumed", at: now, task: null, batch: id }),
  ];
}

/** Cancels a batch that has not ended: none of its tasks starts any more. Its row: `{seq}`. */
export function cancelBatch({ seq }: Named, now: number): Statement[] {
  return [
    {
      sql: `UPDATE batches SET status = 'cancelled', pause_reason = NULL, revive = NULL, is_bare = 0,
              updated_at = ?
            WHERE seq = ? AND status IN ('pending', 'running', 'paused') RETURNING seq`,
      args: [now, seq],
    },
    ...finishBatches(JSON.stringify([seq]), now),
  ];
}

export type BatchChange = {
  name?: string | undefined;
  description?: string | null | undefined;
  /** `null` lifts the limit. */
  maxConcurrency?: number | null | undefined;
  maxCostUsd?: number | null | undefined;
};

/** Changes what of a batch may change at any time. Its row: `{seq}`. */
export function updateBatch({ seq }: Named, change: BatchChange, now: number): Statement[] {
  const { name, description, maxConcurrency, maxCostUsd } = change;
  const config = {
    ...(maxConcurrency === undefined ? {} : { maxConcurrency }),
    ...(maxCostUsd === undefined ? {} : { maxCostUsd }),
  };
  return [
    {
      sql: `UPDATE batches SET updated_at = ?, name = coalesce(?, name),
              description = CASE WHEN ? THEN ? ELSE description END,
              max_concurrency = CASE WHEN ? THEN ? ELSE max_concurrency END,
              max_cost_usd = CASE WHEN ? THEN ? ELSE max_cost_usd END,
              config = json_patch(config, ?)
            WHERE seq = ? AND status <> 'ingesting' RETURNING seq`,
      args: [
        now,
        name ?? null,
        description !== undefined,
        description ?? null,
        maxConcurrency !== undefined,
        maxConcurrency ?? null,
        maxCostUsd !== undefined,
        maxCostUsd ?? null,
        JSON.stringify(config),
        seq,
      ],
    },
  ];
}

/**
 * Takes the name of a batch that has no call in flight, so that it is gone for everybody; its rows
 * are those of a draft then, which are removed in chunks. Its row: `{seq}`.
 */
export function dropBatch({ seq }: Named, draft: string): Statement[] {
  return [
    {
      sql: `UPDATE batches SET id = ?, status = 'ingesting'
            WHERE seq = ? AND status NOT IN ('running', 'ingesting') AND running = 0 RETURNING seq`,
      args: [draft, seq],
    },
    {
      sql: `DELETE FROM idempotency_keys WHERE batch = ? AND changes() > 0`,
      args: [seq],
    },
  ];
}

const IS_UNSWEPT = `((status = 'cancelled' AND completed_at IS NULL) OR revive IS NOT NULL)`;

/** Batches `{seq}` whose rows say that something is still to be done for their tasks. */
export const UNSWEPT: Statement = {
  sql: `SELECT seq FROM batches WHERE ${IS_UNSWEPT}`,
  args: [],
};

/** Whether something is still to be done for the tasks of a batch: a row `{isCancelled}` if so. */
export function findUnswept(seq: number): Statement {
  return {
    sql: `SELECT status = 'cancelled' AS isCancelled FROM batches WHERE seq = ? AND ${IS_UNSWEPT}`,
    args: [seq],
  };
}

/** Position in the results of `cancelChunk` of the runs that it ends, each a `CancelledRun`. */
export const RUNS = 0;
/** And of the events, one for each task that was cancelled. */
export const TOLD = 5;

/**
 * Cancels up to `limit` tasks of a cancelled batch. The last of its results that change anything is
 * the end of the batch; where none did, there is nothing left to do.
 */
export function cancelChunk(batch: number, limit: number, now: number): Statement[] {
  const which = {
    where: `tasks.seq IN (
      SELECT t.seq FROM batches b CROSS JOIN tasks t ON t.batch = b.seq AND t.status = 'pending'
      WHERE b.seq = ? AND b.status = 'cancelled' AND b.completed_at IS NULL
      ORDER BY t.position LIMIT ?)`,
    args: [batch, limit],
  };
  return [
    {
      sql: `SELECT ${CANCELLED_RUN} FROM tasks CROSS JOIN queue q ON q.task = tasks.seq
            WHERE ${which.where}`,
      args: which.args,
    },
    countMove(which, "cancelled", now),
    addCancelled(which, now),
    {
      sql: `INSERT INTO executions (task, run, status, is_dry_run, queued_at, started_at, claimed_at,
              completed_at, attempts, log)
            SELECT q.task, q.run, 'cancelled', q.is_dry_run, q.queued_at, q.started_at, q.claimed_at, ?,
                   q.attempt, q.log
            FROM tasks CROSS JOIN queue q ON q.task = tasks.seq WHERE ${which.where}`,
      args: [now, ...which.args],
    },
    {
      sql: `UPDATE tasks SET run = q.run, attempts = q.attempt, started_at = q.started_at
            FROM queue q WHERE q.task = tasks.seq AND ${which.where}`,
      args: which.args,
    },
    {
      sql: `INSERT INTO events (at, type, task, batch, task_seq, run, trace)
            SELECT ?, 'task.cancelled', tasks.id, b.id, tasks.seq, q.run, coalesce(q.trace, b.trace)
            FROM tasks CROSS JOIN batches b ON b.seq = tasks.batch
              LEFT JOIN queue q ON q.task = tasks.seq
            WHERE ${which.where}`,
      args: [now, ...which.args],
    },
    {
      sql: `DELETE FROM queue WHERE task IN (SELECT tasks.seq FROM tasks WHERE ${which.where})`,
      args: which.args,
    },
    {
      sql: `UPDATE tasks SET status = 'cancelled', completed_at = ?, updated_at = ? WHERE ${which.where}`,
      args: [now, now, ...which.args],
    },
    ...finishBatches(JSON.stringify([batch]), now),
  ];
}

/**
 * Makes up to `limit` ended tasks of a batch pending again, as its row says which; the batch is
 * done with that when none is left. The last result changes the batch's row then.
 */
export function reviveChunk(batch: number, limit: number, now: number): Statement[] {
  const which = {
    where: `tasks.seq IN (
      SELECT t.seq FROM batches b CROSS JOIN json_each(b.revive) r
        CROSS JOIN tasks t ON t.batch = b.seq AND t.status = r.value
      WHERE b.seq = ? AND t.completed_at <= b.revive_before LIMIT ?)`,
    args: [batch, limit],
  };
  return [
    countMove(which, "pending", now),
    {
      sql: `UPDATE tasks SET status = 'pending', attempts = 0, started_at = NULL, completed_at = NULL,
              updated_at = ?
            WHERE ${which.where}`,
      args: [now, ...which.args],
    },
    {
      sql: `UPDATE batches SET revive = NULL, revive_before = NULL
            WHERE seq = ? AND revive IS NOT NULL AND NOT EXISTS (
              SELECT 1 FROM json_each(batches.revive) r
              CROSS JOIN tasks t ON t.batch = batches.seq AND t.status = r.value
              WHERE t.completed_at <= batches.revive_before)`,
      args: [batch],
    },
    ...finishBatches(JSON.stringify([batch]), now),
  ];
}
