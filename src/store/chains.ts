import type { Statement, Unit } from "../db/unit.ts";
import type { ChainError } from "../domain/chain.ts";
import { pauseSpent } from "./budgets.ts";
import { byNumber, finishBatches } from "./counters.ts";
import { insertEvent } from "./events.ts";
import { nextRun } from "./timeline.ts";
import { both, hasRow, type Which } from "./which.ts";

/*
 * A batch that waits for another (`domain/chain.ts`) is a row without tasks, which clients can see. Its rows are
 * written into a draft, as those of every batch. The commit that gives the draft its name copies the settings that
 * may have changed from the waiting row into the draft, and removes that row.
 */

/** A batch that waits, and the node that makes its rows. */
export type Held = { seq: number; node: number };

/** SQL that is true of a batch that waits for another. Its first part is the condition of the index. */
const isBehind = (b: string) =>
  `${b}.chain_status IN ('waiting', 'made') AND ${b}.chain_status = 'waiting' AND ${b}.status = 'pending'`;

/** SQL that is true of a batch without rows, which waits for another one or for its file to be checked. */
const isWaiting = (b: string) =>
  `${b}.chain_status IN ('waiting', 'checking') AND ${b}.status = 'pending'`;

/** SQL that is true of a batch `w` that no other living node has taken. Argument: this node. */
const IS_FREE = `(w.chain_owner IS NULL OR w.chain_owner = ? OR w.chain_owner NOT IN (SELECT seq FROM nodes))`;

/** SQL that is true of a batch `w` whose rows can be read, or which is to fail. */
const IS_RIPE = `(w.chain_error IS NOT NULL OR NOT EXISTS (
  SELECT 1 FROM batches f WHERE f.id = w.input_batch AND (f.completed_at IS NULL OR f.is_dry_run)))`;

/**
 * Up to `limit` batches whose wait is over: the input batch has ended or was deleted, or there is a file to check.
 */
export function findDue(node: number, limit: number): Statement<{ seq: number }> {
  return {
    sql: `SELECT w.seq FROM batches w WHERE ${isBehind("w")} AND ${IS_FREE} AND ${IS_RIPE}
          UNION ALL
          SELECT w.seq FROM batches w
          WHERE w.chain_status = 'checking' AND w.status = 'pending' AND ${IS_FREE}
          LIMIT ?`,
    args: [node, node, limit],
  };
}

/** Takes ownership of a due batch, so that no other node makes its rows while this one lives. */
export function takeDue({ seq, node }: Held): Statement<{ id: string }> {
  return {
    sql: `UPDATE batches AS w SET chain_owner = ? WHERE w.seq = ? AND ${isWaiting("w")} AND ${IS_FREE} AND ${IS_RIPE} RETURNING id`,
    args: [node, seq, node],
  };
}

/** True for a row `p` of `batches` that still waits, and whose rows this node makes. */
export function isHeld({ seq, node }: Held): Which {
  return {
    where: `p.seq = ? AND ${isWaiting("p")} AND p.chain_owner = ?`,
    args: [seq, node],
  };
}

/** Requests that a waiting batch is started when its rows are made. Has a row if that was not requested before. */
export function askForStart(
  seq: number,
  {
    isDryRun,
    payer,
    trace,
    now,
  }: { isDryRun: boolean; payer: number; trace: string | null; now: number },
): Statement<{ seq: number }> {
  return {
    sql: `UPDATE batches AS p SET payer = ?, is_dry_run = ?, trace = ?, updated_at = ?
          WHERE p.seq = ? AND ${isWaiting("p")} AND p.payer IS NULL RETURNING seq`,
    args: [payer, isDryRun, trace, now, seq],
  };
}

/** Fails the batches that wait for a batch that a later statement of the unit, with the same condition, deletes. */
export function failWaiting(which: Which, error: ChainError): Statement {
  return {
    sql: `UPDATE batches AS w SET chain_error = ?
          WHERE ${isBehind("w")} AND w.input_batch = (SELECT id FROM batches WHERE ${which.where})`,
    args: [JSON.stringify(error), ...which.args],
  };
}

/** Ends a batch whose rows cannot be made. */
export function failHeld(
  held: Held,
  batch: string,
  error: ChainError,
  now: number,
): { event: Statement; failed: Statement } {
  const which = isHeld(held);
  const { code, message } = error;
  const data = { total: 0, error: { code, message } };
  return {
    event: insertEvent(
      { type: "batch.failed", at: now, task: null, batch, data },
      hasRow("batches p", which),
    ),
    failed: {
      sql: `UPDATE batches AS p SET status = 'failed', chain_status = 'failed', chain_error = ?, chain_owner = NULL,
              completed_at = ?, updated_at = ?
            WHERE ${which.where}`,
      args: [JSON.stringify(error), now, now, ...which.args],
    },
  };
}

/**
 * Replaces a waiting batch by its draft, if the batch still waits, its input batch is not being deleted, and `when`
 * holds. The draft is `made` from then on, which the other statements of the unit depend on.
 */
export function replaceHeld(
  held: Held,
  { draft, node }: { draft: string; node: number },
  when: Which,
): Statement[] {
  const which = both(
    both(isHeld(held), { where: "p.chain_error IS NULL AND p.total = 0", args: [] }),
    when,
  );
  const made = hasRow("batches", isMade(draft));
  return [
    {
      sql: `UPDATE batches SET chain_status = 'made', name = p.name, description = p.description,
              max_concurrency = p.max_concurrency, max_cost_usd = p.max_cost_usd, config = p.config,
              payer = p.payer, is_dry_run = p.is_dry_run, trace = p.trace, created_at = p.created_at,
              open_ai = p.open_ai, deadline_at = p.deadline_at
            FROM batches p
            WHERE batches.id = ? AND batches.status = 'ingesting' AND batches.draft_owner = ? AND ${which.where}`,
      args: [draft, node, ...which.args],
    },
    {
      sql: `UPDATE idempotency_keys SET batch = (SELECT seq FROM batches WHERE id = ?)
            WHERE batch = ? AND ${made.where}`,
      args: [draft, held.seq, ...made.args],
    },
    {
      sql: `DELETE FROM batches WHERE seq = ? AND ${made.where}`,
      args: [held.seq, ...made.args],
    },
  ];
}

/** True of a draft that replaces a waiting batch, and is to get its name. */
export function isMade(draft: string): Which {
  return { where: "id = ? AND chain_status = 'made'", args: [draft] };
}

/** The row number of a draft. */
export function findDraftSeq(draft: string): Statement<{ seq: number }> {
  return { sql: "SELECT seq FROM batches WHERE id = ? AND status = 'ingesting'", args: [draft] };
}

/** Starts a batch in the commit that makes it, if that was requested. Without money for it, it is paused at once. */
export function startMade(
  { id, seq }: { id: string; seq: number },
  { now, steadyNow }: { now: number; steadyNow: number },
): Unit {
  const which = {
    where: `seq = ? AND status = 'pending' AND chain_status = 'made' AND total > 0 AND payer IS NOT NULL`,
    args: [seq],
  };
  return {
    event: insertEvent(
      { type: "batch.started", at: now, task: null, batch: id },
      hasRow("batches", which),
    ),
    started: {
      sql: `UPDATE batches SET status = 'running', run = ${nextRun("run")}, started_at = ?, flex_from = ?,
              ended_before = completed + failed, updated_at = ?
            WHERE ${which.where}`,
      args: [now, steadyNow, now, ...which.args],
    },
    finished: finishBatches(byNumber([seq]), now),
    spent: pauseSpent([seq], [], now),
  };
}
