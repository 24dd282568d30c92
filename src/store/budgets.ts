import type { Statement } from "../db/unit.ts";
import { PRICE_UNKNOWN, type PauseReason, SINGLE_TASKS } from "../domain/batch.ts";
import { CAP_IS_SPENT, IS_LIMITED, reservation } from "./room.ts";
import type { Which } from "./which.ts";

/** The UTC month of a time, in the format of `api_key_usage`. */
export function monthOf(now: number): string {
  return new Date(now).toISOString().slice(0, 7);
}

/** When the UTC month after that of a time begins. */
export function nextMonth(now: number): number {
  const date = new Date(now);
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1);
}

/** SQL that is true of a batch `b` whose payer has spent the budget of the month `?`. */
const PAYER_IS_SPENT = `EXISTS (
  SELECT 1 FROM api_keys k JOIN api_key_usage u ON u.api_key = k.seq AND u.month = ?
  WHERE k.seq = b.payer AND u.cost_usd >= k.monthly_budget_usd)`;

/**
 * The budget and the spending of a key in a month, and whether the cap of a batch, if one is named, allows another
 * call.
 */
export type Funds = {
  budget: number | null;
  spent: number;
  cap: number | null;
  cost: number | null;
  /** How many calls of the batch, and of the key in this month, have an unknown cost. */
  unpriced: number;
  unpricedOfKey: number;
  isCapSpent: number;
};

export function fundsOf(payer: number, batchId: string | null, now: number): Statement<Funds> {
  return {
    sql: `SELECT k.monthly_budget_usd AS budget, coalesce(u.cost_usd, 0) AS spent,
                 b.max_cost_usd AS cap, b.cost_usd AS cost,
                 coalesce(b.unpriced, 0) AS unpriced, coalesce(u.unpriced, 0) AS unpricedOfKey,
                 coalesce(${CAP_IS_SPENT}, 0) AS isCapSpent
          FROM api_keys k LEFT JOIN api_key_usage u ON u.api_key = k.seq AND u.month = ?
            LEFT JOIN batches b ON b.id = ?
          WHERE k.seq = ?`,
    args: [monthOf(now), batchId, payer],
  };
}

/** A reason as an SQL literal. It must not contain quotes. */
function reason({ code, message }: PauseReason): string {
  return `json_object('code', '${code}', 'message', '${message}')`;
}

const REASON = `CASE
  WHEN b.max_cost_usd IS NOT NULL AND b.unpriced > 0 AND b.cost_usd < b.max_cost_usd THEN ${reason(PRICE_UNKNOWN)}
  WHEN ${CAP_IS_SPENT} THEN json_object('code', 'max_cost_reached',
    'message', 'What is left of maxCostUsd does not pay for another call. Raise it, then resume the batch.')
  ELSE json_object('code', 'budget_exceeded',
    'message', 'The API key that pays has spent its monthlyBudgetUsd. Raise it, then resume the batch.') END`;

export type PauseUnit = { reported: Statement; paused: Statement };

/**
 * Pauses the batches that meet a condition on `b`, and records why. The condition must include that they are running.
 */
function pauseWhere(which: Which, why: string, now: number): PauseUnit {
  const where = `${which.where} AND b.seq > ${SINGLE_TASKS} AND NOT b.is_dry_run`;
  return {
    reported: {
      sql: `INSERT INTO events (at, type, task, batch, data, trace)
            SELECT ?, 'batch.paused', NULL, b.id, json_object('reason', json(${why})), b.trace
            FROM batches b WHERE ${where}`,
      args: [now, ...which.args],
    },
    paused: {
      sql: `UPDATE batches AS b SET status = 'paused', pause_reason = ${why}, updated_at = ?
            WHERE ${where}`,
      args: [now, ...which.args],
    },
  };
}

/**
 * Pauses the batches among these whose cap does not allow another call or whose payer has spent its budget, and all
 * other batches of these payers if they have.
 */
export function pauseSpent(
  batches: readonly number[],
  payers: readonly number[],
  now: number,
): PauseUnit {
  const which = {
    // The plus stops SQLite from using the index by status, with which it would read all running batches.
    where: `b.seq IN (SELECT value FROM json_each(?)
                      UNION ALL SELECT r.seq FROM (${SPENT_KEYS}) s
                        CROSS JOIN batches r ON r.payer = s.seq AND r.status = 'running')
      AND +b.status = 'running' AND (${CAP_IS_SPENT} OR ${PAYER_IS_SPENT})`,
    args: [JSON.stringify(batches), JSON.stringify(payers), monthOf(now), monthOf(now)],
  };
  return pauseWhere(which, REASON, now);
}

/**
 * Pauses batches with a cap or a budget that cannot be enforced because a price is unknown: tasks of these lanes are
 * ready, and this claim took none of the batch.
 */
export function pauseUnpriced(
  lanes: readonly { lane: number; model: string }[],
  [owner, claimNo]: [owner: number, claimNo: number],
  now: number,
): PauseUnit {
  const which = {
    where: `b.status = 'running' AND ${IS_LIMITED}
      AND EXISTS (SELECT 1 FROM json_each(?) l CROSS JOIN queue q
                  ON q.lane = l.value ->> 0 AND q.model = l.value ->> 1
                    AND q.owner IS NULL AND q.run_at IS NULL
                  WHERE l.value ->> 0 = b.seq)
      AND NOT EXISTS (SELECT 1 FROM queue WHERE owner = ? AND claim = ? AND lane = b.seq)`,
    args: [JSON.stringify(lanes.map(({ lane, model }) => [lane, model])), owner, claimNo],
  };
  return pauseWhere(which, reason(PRICE_UNKNOWN), now);
}

/** Pauses those of these batches that have a cap or a budget: a call of theirs has an unknown cost, so neither can be kept. */
export function pauseUncounted(batches: readonly number[], now: number): PauseUnit {
  const which = {
    // The plus stops SQLite from using the index by status, as in `pauseSpent`.
    where: `b.seq IN (SELECT value FROM json_each(?)) AND +b.status = 'running' AND ${IS_LIMITED}`,
    args: [JSON.stringify(batches)],
  };
  return pauseWhere(which, reason(PRICE_UNKNOWN), now);
}

/** Row numbers of the keys in a JSON array that have spent their budget of a month. */
const SPENT_KEYS = `SELECT k.seq FROM json_each(?) j CROSS JOIN api_keys k ON k.seq = j.value
  CROSS JOIN api_key_usage u ON u.api_key = k.seq AND u.month = ?
  WHERE u.cost_usd >= k.monthly_budget_usd`;

const SPENT_MESSAGE = "'The API key has spent its monthlyBudgetUsd'";

/** Ready single tasks that a cap or a budget limits. */
const READY_SINGLE = `lane < ${SINGLE_TASKS} AND owner IS NULL AND run_at IS NULL`;

/**
 * Raises alerts for the keys among these that have spent their budget, and postpones their single tasks until the
 * next month. `releaseHeld` makes them ready earlier.
 */
export function holdSpent(keys: readonly number[], now: number): Statement[] {
  const spent = [JSON.stringify(keys), monthOf(now)];
  const isWithoutAlert = `seq IN (${SPENT_KEYS}) AND NOT EXISTS (
    SELECT 1 FROM alerts WHERE code = 'budget.exceeded' AND subject = api_keys.id)`;
  return [
    {
      sql: `INSERT INTO events (at, type, task, batch, data)
            SELECT ?, 'system.alert', NULL, NULL, json_object('code', 'budget.exceeded', 'status', 'raised',
                     'subject', id, 'message', ${SPENT_MESSAGE})
            FROM api_keys WHERE ${isWithoutAlert}`,
      args: [now, ...spent],
    },
    {
      sql: `INSERT INTO alerts (code, subject, message, raised_at)
            SELECT 'budget.exceeded', id, ${SPENT_MESSAGE}, ?
            FROM api_keys WHERE ${isWithoutAlert}`,
      args: [now, ...spent],
    },
    {
      sql: `UPDATE queue SET run_at = ? WHERE EXISTS (${SPENT_KEYS}) AND ${READY_SINGLE}
              AND payer IN (${SPENT_KEYS})`,
      args: [nextMonth(now), ...spent, ...spent],
    },
  ];
}

/** Makes single tasks ready that were postponed because their key had spent its budget, if it has budget again. */
export function releaseHeld(keyId: string, now: number): Statement {
  return {
    sql: `UPDATE queue SET run_at = NULL
          WHERE run_at = ? AND lane <= ${SINGLE_TASKS} AND owner IS NULL
            AND payer IN (
              SELECT k.seq FROM api_keys k LEFT JOIN api_key_usage u ON u.api_key = k.seq AND u.month = ?
              WHERE k.id = ? AND coalesce(u.cost_usd < k.monthly_budget_usd, TRUE))`,
    args: [nextMonth(now), monthOf(now), keyId],
  };
}

/** Reserves the possible cost of a key's calls in flight that started before it had a budget. */
export function reserveRunning(keyId: string): Statement {
  return {
    sql: `UPDATE queue SET reserved_usd = ${reservation("queue.payer", "NULL")}
          WHERE payer = (SELECT seq FROM api_keys WHERE id = ?) AND owner IS NOT NULL
            AND reserved_usd = 0 AND NOT is_dry_run`,
    args: [keyId],
  };
}

/** Records the cost of the dearest calls of some keys. */
export function noteDearest(payers: [key: number, usd: number][]): Statement {
  return {
    sql: `UPDATE api_keys SET dearest_usd = j.value ->> 1 FROM json_each(?) j
          WHERE api_keys.seq = j.value ->> 0 AND coalesce(dearest_usd, 0) < j.value ->> 1`,
    args: [JSON.stringify(payers)],
  };
}

/** Public ids `{id}` of the keys with an open alert about their budget that have budget again. */
export function solventAgain(now: number): Statement<{ id: string }> {
  return {
    sql: `SELECT a.subject AS id FROM alerts a WHERE a.code = 'budget.exceeded' AND NOT EXISTS (
            SELECT 1 FROM api_keys k JOIN api_key_usage u ON u.api_key = k.seq AND u.month = ?
            WHERE k.id = a.subject AND u.cost_usd >= k.monthly_budget_usd)`,
    args: [monthOf(now)],
  };
}
