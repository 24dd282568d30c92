import type { Statement, Unit } from "../db/unit.ts";
import type { PauseReason } from "../domain/batch.ts";
import type { FinalStatus } from "../domain/task.ts";
import { countMove, finishBatches } from "./counters.ts";
import { insertEvent, type NewEvent } from "./events.ts";
import { CANCELLED_RUN, type CancelledRun } from "./queue.ts";
import { addCancelled } from "./rollups.ts";
import { hasRow, type Which } from "./which.ts";

/*
 * Moves of whole batches. Each is one guarded change of the batch's row, whatever its size; of
 * `moved` there is a row only if the batch could make the move. Its event stands before it and has the
 * same condition. What follows for the tasks of the batch is done afterwards in chunks (`cancelChunk`,
 * `reviveChunk`), by any process and as often as it takes: the batch's row says what is still to be
 * done.
 */

type Named = { id: string; seq: number };

export type Move = Unit & { moved: Statement<{ seq: number; run: number }> };

/** Starts a pending batch that has tasks. */
export function startBatch(
  { id, seq }: Named,
  isDryRun: boolean,
  trace: string | null,
  now: number,
): Move {
  const which = { where: "seq = ? AND status = 'pending' AND total > 0", args: [seq] };
  return {
    event: tellMove({ type: "batch.started", at: now, batch: id, trace }, which),
    moved: {
      sql: `UPDATE batches SET status = 'running', run = run + 1, is_dry_run = ?, started_at = ?,
              updated_at = ?, is_bare = 0, trace = ?
            WHERE ${which.where} RETURNING seq, run`,
      args: [isDryRun, now, now, trace, ...which.args],
    },
    finished: finishBatches(JSON.stringify([seq]), now),
  };
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

/** Starts a batch again for its ended tasks of some statuses. */
export function restartBatch({ id, seq }: Named, rerun: Rerun): Move {
  const { statuses, isDryRun, onlyAfterDryRun, trace, now } = rerun;
  const some = statuses.map((status) => `${status} > 0`).join(" OR ");
  const which = {
    where: `seq = ? AND status IN ('running', 'paused', 'completed', 'failed', 'cancelled')
      AND (${some}) AND revive IS NULL AND (status <> 'cancelled' OR completed_at IS NOT NULL)
      AND (? = 0 OR (is_dry_run = 1 AND status NOT IN ('running', 'paused')))`,
    args: [seq, onlyAfterDryRun],
  };
  const data = { again: statuses };
  return {
    event: tellMove({ type: "batch.started", at: now, batch: id, data, trace }, which),
    moved: {
      sql: `UPDATE batches SET status = 'running', run = run + 1, is_dry_run = ?, trace = ?, updated_at = ?,
              started_at = ?, completed_at = NULL, pause_reason = NULL, revive = ?, revive_before = ?,
              output_status = NULL, output_error = NULL
            WHERE ${which.where} RETURNING seq, run`,
      args: [isDryRun, trace, now, now, JSON.stringify(statuses), now, ...which.args],
    },
  };
}

/** Starts no more calls of a running batch; those in flight finish. */
export function pauseBatch(seq: number, reason: PauseReason, now: number): Move {
  const which = { where: "seq = ? AND status = 'running'", args: [seq] };
  return {
    event: {
      sql: `INSERT INTO events (at, type, task, batch, data, trace)
            SELECT ?, 'batch.paused', NULL, id, ?, trace FROM batches WHERE ${which.where}`,
      args: [now, JSON.stringify({ reason }), ...which.args],
    },
    moved: {
      sql: `UPDATE batches SET status = 'paused', pause_reason = ?, updated_at = ?
            WHERE ${which.where} RETURNING seq, run`,
      args: [JSON.stringify(reason), now, ...which.args],
    },
  };
}

/** Lets a paused batch go on. */
export function resumeBatch({ id, seq }: Named, now: number): Move {
  const which = { where: "seq = ? AND status = 'paused'", args: [seq] };
  return {
    event: tellMove({ type: "batch.resumed", at: now, batch: id }, which),
    moved: {
      sql: `UPDATE batches SET status = 'running', pause_reason = NULL, updated_at = ?
            WHERE ${which.where} RETURNING seq, run`,
      args: [now, ...which.args],
    },
  };
}

function tellMove(event: Omit<NewEvent, "task">, which: Which): Statement {
  return insertEvent({ ...event, task: null }, hasRow("batches", which));
}

/** Cancels a batch that has not ended: none of its tasks starts any more. */
export function cancelBatch({ seq }: Named, now: number): Move {
  return {
    moved: {
      sql: `UPDATE batches SET status = 'cancelled', pause_reason = NULL, revive = NULL, is_bare = 0,
              updated_at = ?
            WHERE seq = ? AND status IN ('pending', 'running', 'paused') RETURNING seq, run`,
      args: [now, seq],
    },
    finished: finishBatches(JSON.stringify([seq]), now),
  };
}

export type BatchChange = {
  name?: string | undefined;
  description?: string | null | undefined;
  /** `null` lifts the limit. */
  maxConcurrency?: number | null | undefined;
  maxCostUsd?: number | null | undefined;
};

/** Changes what of a batch may change at any time. */
export function changeBatch({ seq }: Named, change: BatchChange, now: number): Move {
  const { name, description, maxConcurrency, maxCostUsd } = change;
  const config = {
    ...(maxConcurrency === undefined ? {} : { maxConcurrency }),
    ...(maxCostUsd === undefined ? {} : { maxCostUsd }),
  };
  return {
    moved: {
      sql: `UPDATE batches SET updated_at = ?, name = coalesce(?, name),
              description = CASE WHEN ? THEN ? ELSE description END,
              max_concurrency = CASE WHEN ? THEN ? ELSE max_concurrency END,
              max_cost_usd = CASE WHEN ? THEN ? ELSE max_cost_usd END,
              config = json_patch(config, ?)
            WHERE seq = ? AND status <> 'ingesting' RETURNING seq, run`,
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
  };
}

/**
 * Takes the name of a batch that has no call in flight, so that it is gone for everybody; its rows
 * are those of a draft then, which are removed in chunks.
 */
export function dropBatch({ seq }: Named, draft: string): Move {
  const which = {
    where: "seq = ? AND status NOT IN ('running', 'ingesting') AND running = 0",
    args: [seq],
  };
  return {
    keys: {
      sql: `DELETE FROM idempotency_keys WHERE batch = (SELECT seq FROM batches WHERE ${which.where})`,
      args: which.args,
    },
    moved: {
      sql: `UPDATE batches SET id = ?, status = 'ingesting' WHERE ${which.where} RETURNING seq, run`,
      args: [draft, ...which.args],
    },
  };
}

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
      sql: `UPDATE tasks SET status = 'cancelled', completed_at = ?, updated_at = ? WHERE ${which.where}`,
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
      WHERE b.seq = ? AND t.completed_at <= b.revive_before LIMIT ?)`,
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
      sql: `UPDATE batches SET revive = NULL, revive_before = NULL
            WHERE seq = ? AND revive IS NOT NULL AND NOT EXISTS (
              SELECT 1 FROM json_each(batches.revive) r
              CROSS JOIN tasks t ON t.batch = batches.seq AND t.status = r.value
              WHERE t.completed_at <= batches.revive_before)`,
      args: [batch],
    },
    finished: finishBatches(JSON.stringify([batch]), now),
  };
}
