import type { Statement } from "../db/unit.ts";
import { SINGLE_TASKS } from "../domain/batch.ts";

/** The UTC month of a time, as `api_key_usage` has it. */
export function monthOf(now: number): string {
  return new Date(now).toISOString().slice(0, 7);
}

/** When the UTC month after that of a time begins. */
export function nextMonth(now: number): number {
  const date = new Date(now);
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1);
}

/** SQL that is true of a row of `batches` whose key has spent its budget of the month `?`. */
export const KEY_IS_SPENT = `EXISTS (
  SELECT 1 FROM api_keys k JOIN api_key_usage u ON u.api_key = k.seq AND u.month = ?
  WHERE k.seq = batches.api_key AND u.cost_usd >= k.monthly_budget_usd)`;

/**
 * SQL for how many more calls the `maxCostUsd` of a row of `batches` leaves room for, those that run
 * counted: at what its tasks have cost on average so far. So what is spent beyond a cap is at most
 * what the calls in flight cost more than that; before the first answer one call is let through.
 */
export const CALLS_WITHIN_CAP = `CASE
  WHEN max_cost_usd IS NULL OR is_dry_run THEN 1000000
  WHEN cost_usd >= max_cost_usd OR unpriced > 0 THEN 0
  WHEN completed + failed = 0 THEN 1 - running
  WHEN cost_usd <= 0 THEN 1000000
  ELSE max(running = 0, CAST((max_cost_usd - cost_usd) * (completed + failed) / cost_usd AS INTEGER) - running)
END`;

/** A row `{spent, budget}` if the key has spent its budget of the month. */
export function overBudget(key: number, now: number): Statement<{ spent: number; budget: number }> {
  return {
    sql: `SELECT u.cost_usd AS spent, k.monthly_budget_usd AS budget
          FROM api_keys k JOIN api_key_usage u ON u.api_key = k.seq AND u.month = ?
          WHERE k.seq = ? AND u.cost_usd >= k.monthly_budget_usd`,
    args: [monthOf(now), key],
  };
}

const SPENT = `seq IN (SELECT value FROM json_each(?)) AND seq <> ${SINGLE_TASKS}
  AND status = 'running' AND NOT is_dry_run`;

const OVER_CAP = `max_cost_usd IS NOT NULL AND (cost_usd >= max_cost_usd OR unpriced > 0)`;

const REASON = `CASE
  WHEN ${OVER_CAP} AND unpriced > 0 AND cost_usd < max_cost_usd THEN json_object('code', 'price_unknown',
    'message', 'The price of a model is not known, so that maxCostUsd cannot be kept. Lift it to go on.')
  WHEN ${OVER_CAP} THEN json_object('code', 'max_cost_reached',
    'message', 'The batch has cost its maxCostUsd. Raise it, then resume the batch.')
  ELSE json_object('code', 'budget_exceeded',
    'message', 'The API key has spent its monthlyBudgetUsd. Raise it, then resume the batch.') END`;

/** Pauses those of the batches that have reached their cap, or whose key has spent its budget. */
export function pauseSpent(batches: readonly number[], now: number): Statement[] {
  const which = `${SPENT} AND (${OVER_CAP} OR ${KEY_IS_SPENT})`;
  const args = [JSON.stringify(batches), monthOf(now)];
  return [
    {
      sql: `INSERT INTO events (at, type, task, batch, data, trace)
            SELECT ?, 'batch.paused', NULL, id, json_object('reason', json(${REASON})), trace
            FROM batches WHERE ${which}`,
      args: [now, ...args],
    },
    {
      sql: `UPDATE batches SET status = 'paused', pause_reason = ${REASON}, updated_at = ?
            WHERE ${which}`,
      args: [now, ...args],
    },
  ];
}

/** Row numbers of those of some keys (a JSON array) that have spent their budget of a month. */
const SPENT_KEYS = `SELECT k.seq FROM json_each(?) j CROSS JOIN api_keys k ON k.seq = j.value
  CROSS JOIN api_key_usage u ON u.api_key = k.seq AND u.month = ?
  WHERE u.cost_usd >= k.monthly_budget_usd`;

const SPENT_MESSAGE = "'The API key has spent its monthlyBudgetUsd'";

/** Single tasks `q` that are ready. */
const READY_SINGLE = `lane = ${SINGLE_TASKS} AND owner IS NULL AND run_at IS NULL AND NOT is_dry_run`;

/**
 * Alerts of those of the keys that have spent their budget, and lets their single tasks wait for the
 * next month. `releaseHeld` lets them go on before that.
 */
export function holdSpent(keys: readonly number[], now: number): Statement[] {
  const spent = [JSON.stringify(keys), monthOf(now)];
  const isUntold = `seq IN (${SPENT_KEYS}) AND NOT EXISTS (
    SELECT 1 FROM alerts WHERE code = 'budget.exceeded' AND subject = api_keys.id)`;
  return [
    {
      sql: `INSERT INTO events (at, type, task, batch, data)
            SELECT ?, 'system.alert', NULL, NULL, json_object('code', 'budget.exceeded', 'status', 'raised',
                     'subject', id, 'message', ${SPENT_MESSAGE})
            FROM api_keys WHERE ${isUntold}`,
      args: [now, ...spent],
    },
    {
      sql: `INSERT INTO alerts (code, subject, message, raised_at)
            SELECT 'budget.exceeded', id, ${SPENT_MESSAGE}, ?
            FROM api_keys WHERE ${isUntold}`,
      args: [now, ...spent],
    },
    {
      sql: `UPDATE queue SET run_at = ? WHERE EXISTS (${SPENT_KEYS}) AND ${READY_SINGLE}
              AND (SELECT api_key FROM tasks WHERE seq = queue.task) IN (${SPENT_KEYS})`,
      args: [nextMonth(now), ...spent, ...spent],
    },
  ];
}

/** Makes the single tasks ready that wait because their key had spent its budget, if it has not any more. */
export function releaseHeld(keyId: string, now: number): Statement {
  return {
    sql: `UPDATE queue SET run_at = NULL
          WHERE run_at = ? AND lane = ${SINGLE_TASKS} AND owner IS NULL
            AND (SELECT api_key FROM tasks WHERE seq = queue.task) IN (
              SELECT k.seq FROM api_keys k LEFT JOIN api_key_usage u ON u.api_key = k.seq AND u.month = ?
              WHERE k.id = ? AND coalesce(u.cost_usd < k.monthly_budget_usd, TRUE))`,
    args: [nextMonth(now), monthOf(now), keyId],
  };
}

/** Public ids `{id}` of the keys that an alert says have spent their budget, and that have not (any more). */
export function solventAgain(now: number): Statement<{ id: string }> {
  return {
    sql: `SELECT a.subject AS id FROM alerts a WHERE a.code = 'budget.exceeded' AND NOT EXISTS (
            SELECT 1 FROM api_keys k JOIN api_key_usage u ON u.api_key = k.seq AND u.month = ?
            WHERE k.id = a.subject AND u.cost_usd >= k.monthly_budget_usd)`,
    args: [monthOf(now)],
  };
}
