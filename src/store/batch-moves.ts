import { DATABASE_NOW } from "../db/now.ts";
import type { Statement, Unit } from "../db/unit.ts";
import { type PauseReason, SINGLE_TASKS } from "../domain/batch.ts";
import type { FinalStatus } from "../domain/task.ts";
import { pauseSpent } from "./budgets.ts";
import { failWaiting } from "./chains.ts";
import { byNumber, finishBatches } from "./counters.ts";
import { insertEvent, type NewEvent } from "./events.ts";
import { moveSingles } from "./queue.ts";
import { nextRun } from "./timeline.ts";
import { ALWAYS, both, hasRow, type Which } from "./which.ts";

/*
 * Moves of whole batches. Each is one guarded change of the batch's row, whatever the batch's size; `moved` has a row
 * only if the move was allowed. The statement for its event comes first and has the same condition. The batch's tasks
 * are changed afterwards in chunks (`batch-sweeps.ts`), by any process; the batch's row says what is still to be
 * done.
 */

type Named = { id: string; seq: number };

export type Move = Unit & { moved: Statement<{ seq: number; run: number }> };

export type Start = {
  isDryRun: boolean;
  /** Row number of the key that starts it, which is charged for all calls from then on. */
  payer: number;
  trace: string | null;
  now: number;
  /** The steady clock that waits are measured by; it does not jump. */
  steadyNow: number;
};

/** Starts a pending batch with tasks, if `when` holds. */
export function startBatch({ id, seq }: Named, start: Start, when: Which = ALWAYS): Move {
  const { isDryRun, payer, trace, now, steadyNow } = start;
  const isReady = {
    where:
      "seq = ? AND status = 'pending' AND total > 0 AND chain_status IS NOT 'waiting' AND chain_status IS NOT 'checking'",
    args: [seq],
  };
  const which = both(isReady, when);
  return {
    event: announceMove({ type: "batch.started", at: now, batch: id, trace }, which),
    moved: {
      sql: `UPDATE batches SET status = 'running', run = ${nextRun("run")}, is_dry_run = ?, started_at = ?, flex_from = ?,
              ended_before = completed + failed, updated_at = ?, is_bare = 0, payer = ?, trace = ?
            WHERE ${which.where} RETURNING seq, run`,
      args: [isDryRun, now, steadyNow, now, payer, trace, ...which.args],
    },
    finished: finishBatches(byNumber([seq]), now),
  };
}

export type Rerun = Omit<Start, "isDryRun"> & {
  /** Which of the ended tasks run again. */
  statuses: FinalStatus[];
  /**
   * Whether they run dry; only if the batch was a dry run, which may be restarted as a whole. `null`: as the batch did
   * last, which another request may have changed since it was read.
   */
  isDryRun: boolean | null;
};

/** Restarts a batch for its ended tasks with some statuses. */
export function restartBatch({ id, seq }: Named, rerun: Rerun): Move {
  const { statuses, isDryRun, payer, trace, now, steadyNow } = rerun;
  // Skipped rows do not run again.
  const count = (status: FinalStatus) => (status === "cancelled" ? "cancelled - skipped" : status);
  const some = statuses.map((status) => `${count(status)} > 0`).join(" OR ");
  const which = {
    where: `seq = ? AND status IN ('running', 'paused', 'completed', 'failed', 'cancelled')
      AND (${some}) AND revive IS NULL AND (status <> 'cancelled' OR completed_at IS NOT NULL)
      AND (? OR (is_dry_run = 1 AND status NOT IN ('running', 'paused')))`,
    args: [seq, isDryRun === null],
  };
  const data = { again: statuses };
  return {
    event: announceMove({ type: "batch.started", at: now, batch: id, data, trace }, which),
    moved: {
      sql: `UPDATE batches SET status = 'running', run = ${nextRun("run")}, is_dry_run = coalesce(?, is_dry_run),
              payer = ?, trace = ?, updated_at = ?,
              unpriced = iif(is_dry_run, 0, unpriced), estimated_usd = 0, started_at = ?, flex_from = ?, ended_before = ${keptEnds(statuses)}, completed_at = NULL,
              pause_reason = NULL, revive = ?, generation = generation + 1,
              deadline_at = NULL, expired_at = NULL, cancelling_at = NULL,
              open_ai = json_remove(open_ai, '$.sizes', '$.gone'),
              output_status = NULL, output_error = NULL
            WHERE ${which.where} RETURNING seq, run`,
      args: [isDryRun, payer, trace, now, now, steadyNow, JSON.stringify(statuses), ...which.args],
    },
  };
}

/** How many of the ended tasks of a batch stay as they are if those with some statuses run again. */
function keptEnds(statuses: FinalStatus[]): string {
  const kept = (["completed", "failed"] as const).filter((status) => !statuses.includes(status));
  return kept.length === 0 ? "0" : kept.join(" + ");
}

/** Pauses a running batch: no more calls start, and those in flight finish. */
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

/** Resumes a paused batch. */
export function resumeBatch({ id, seq }: Named, now: number): Move {
  const which = { where: "seq = ? AND status = 'paused'", args: [seq] };
  return {
    event: announceMove({ type: "batch.resumed", at: now, batch: id }, which),
    moved: {
      sql: `UPDATE batches SET status = 'running', pause_reason = NULL, updated_at = ?
            WHERE ${which.where} RETURNING seq, run`,
      args: [now, ...which.args],
    },
  };
}

function announceMove(event: Omit<NewEvent, "task">, which: Which): Statement {
  return insertEvent({ ...event, task: null }, hasRow("batches", which));
}

/** Cancels a batch that has not ended: no more of its tasks start. `hasExpired`: because its deadline has passed. */
export function cancelBatch({ seq }: Pick<Named, "seq">, now: number, hasExpired = false): Move {
  return {
    moved: {
      sql: `UPDATE batches SET status = 'cancelled', pause_reason = NULL, revive = NULL, is_bare = 0,
              chain_status = nullif(nullif(chain_status, 'waiting'), 'checking'),
              cancelling_at = ?, expired_at = iif(?, ?, NULL), updated_at = ?
            WHERE seq = ? AND status IN ('pending', 'running', 'paused')
              AND (NOT ? OR deadline_at <= ?) RETURNING seq, run`,
      args: [now, hasExpired, now, now, seq, hasExpired, now],
    },
    finished: finishBatches(byNumber([seq]), now),
  };
}

/** Batches whose deadline has passed and that have not ended. */
export function overdueBatches(now: number, limit: number): Statement<{ seq: number; id: string }> {
  return {
    sql: `SELECT seq, id FROM batches
          WHERE deadline_at IS NOT NULL AND status IN ('pending', 'running', 'paused')
            AND deadline_at <= ? LIMIT ?`,
    args: [now, limit],
  };
}

export type BatchChange = {
  name?: string | undefined;
  description?: string | null | undefined;
  /** `null` lifts the limit. */
  maxConcurrency?: number | null | undefined;
  maxCostUsd?: number | null | undefined;
};

/** Changes the settings of a batch that may change at any time. */
export function updateBatch({ seq }: Named, change: BatchChange, now: number): Move {
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
    ...(maxCostUsd === undefined
      ? {}
      : { singles: moveSingles({ batch: seq }), spent: pauseSpent([seq], [], now) }),
  };
}

/**
 * Deletes a batch that has no call in flight by renaming it to a draft, which no client sees. The rows of the draft
 * are removed in chunks. Batches that wait for the batch fail. Nothing is done unless `when` holds.
 */
export function dropBatch(
  { id, seq }: Named,
  draft: string,
  node: number,
  when: Which = ALWAYS,
): Move {
  const isIdle = {
    where: "seq = ? AND status NOT IN ('running', 'ingesting') AND running = 0",
    args: [seq],
  };
  const which = both(isIdle, when);
  return {
    waiting: failWaiting(which, {
      code: "BATCH_NOT_FOUND",
      message: `Batch ${id}, which inputBatch names, was deleted before its rows were read`,
    }),
    keys: {
      sql: `DELETE FROM idempotency_keys WHERE batch = (SELECT seq FROM batches WHERE ${which.where})`,
      args: which.args,
    },
    // Removes waiting tasks that were executed alone. Those in the lane of the batch do not start anyway.
    singles: {
      sql: `DELETE FROM queue WHERE task IN (
                SELECT task FROM queue WHERE owner IS NULL AND run_at IS NULL AND lane <= ${SINGLE_TASKS}
                UNION ALL SELECT task FROM queue WHERE run_at IS NOT NULL AND lane <= ${SINGLE_TASKS})
              AND (SELECT batch FROM tasks WHERE seq = queue.task) = (SELECT seq FROM batches WHERE ${which.where})`,
      args: which.args,
    },
    moved: {
      sql: `UPDATE batches SET id = ?, status = 'ingesting', draft_owner = ?, updated_at = ${DATABASE_NOW}
            WHERE ${which.where} RETURNING seq, run`,
      args: [draft, -node, ...which.args],
    },
  };
}
