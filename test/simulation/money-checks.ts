import type { Client } from "@libsql/client";

import { rowsOf } from "../../src/db/unit.ts";

/** The cost of the most expensive call. */
export const DEAREST = 1;
/** The costs of calls are not exact dollars. */
const ROUNDING = 0.01;
/** The most by which sums of the same amounts differ, in USD. */
export const FLOAT_ERROR = 1e-6;

type Account = {
  name: string;
  limit: number;
  spent: number;
  /** The cost of its most expensive call so far. For a key, plus the most expensive call of each of its batches. */
  dearest: number;
  /** The number of its calls in flight, of those without a reservation, and of those with one that is too small by now. */
  running: number;
  unreserved: number;
  underReserved: number;
};
type Known = { limit: number; dearest: number; allowed: number };

/**
 * Checks that caps and budgets hold. The spending may reach the limit. It may exceed the limit by the calls in flight at
 * the moment when the limit was set, or when a call was more expensive than all before: a reservation is as large as the
 * most expensive earlier call, so such calls are not covered, however late they end. Reservations for calls of a batch use the costs of
 * that batch, so each batch can exceed them once. A key may also make one call more than its budget pays for, because
 * its calls differ in cost.
 */
export function createMoneyChecks(truth: Client, complain: (what: string) => void) {
  const known = new Map<string, Known>();

  function check(account: Account, extra: number) {
    const { name, limit, spent, dearest, running, unreserved, underReserved } = account;
    const before = known.get(name);
    let allowed = before?.allowed ?? 0;
    if (before?.limit !== limit) allowed = limit + unreserved * DEAREST;
    if (before?.limit !== limit || dearest > before.dearest)
      allowed = Math.max(allowed, spent + running * DEAREST, limit + underReserved * DEAREST);
    known.set(name, { limit, dearest, allowed });
    if (spent <= allowed + extra + ROUNDING) return;
    complain(`${name} may cost ${limit} USD and has cost ${spent.toFixed(2)}`);
    known.set(name, { limit, dearest, allowed: spent });
  }

  return async (): Promise<void> => {
    const [batches, keys] = await Promise.all([
      truth.execute(`SELECT 'batch ' || id || ' (' || seq || ')' AS name, max_cost_usd AS "limit",
                            cost_usd AS spent, coalesce(dearest_usd, 0) AS dearest, running,
                            0 AS unreserved, 0 AS underReserved
                     FROM batches WHERE max_cost_usd IS NOT NULL AND status <> 'ingesting'`),
      truth.execute(`SELECT 'key ' || k.id AS name, k.monthly_budget_usd AS "limit",
                            u.cost_usd AS spent,
                            coalesce(k.dearest_usd, 0) + (SELECT total(dearest_usd) FROM batches
                                                          WHERE payer = k.seq) AS dearest,
                            count(q.task) + (SELECT count(*) FROM live_calls WHERE payer = k.seq) AS running,
                            total(q.reserved_usd = 0) AS unreserved,
                            total(q.reserved_usd < k.dearest_usd) + (
                              SELECT count(*) FROM live_calls WHERE payer = k.seq AND usd < k.dearest_usd
                            ) AS underReserved
                     FROM api_keys k JOIN api_key_usage u ON u.api_key = k.seq
                       LEFT JOIN queue q ON q.payer = k.seq AND q.owner IS NOT NULL AND NOT q.is_dry_run
                     WHERE k.monthly_budget_usd IS NOT NULL GROUP BY k.seq`),
    ]);
    const [ofBatches, ofKeys] = [rowsOf<Account>(batches), rowsOf<Account>(keys)];
    const limited = new Set([...ofBatches, ...ofKeys].map(({ name }) => name));
    // A limit that was lifted says nothing of a later one, even if that is equal.
    for (const name of known.keys()) if (!limited.has(name)) known.delete(name);
    for (const account of ofBatches) check(account, 0);
    for (const account of ofKeys) check(account, DEAREST);
  };
}

/** What the calls of batches have cost, and what keys were charged for those and for live calls. */
export async function readCharges(truth: Client): Promise<{ cost: number; charged: number }> {
  const { rows } = await truth.execute(
    `SELECT (SELECT total(cost_usd) FROM batches) AS cost, (SELECT total(cost_usd) FROM api_key_usage) AS charged`,
  );
  return { cost: Number(rows[0]?.["cost"]), charged: Number(rows[0]?.["charged"]) };
}

/**
 * Checks that keys were charged the sum of the costs of their batches, and of live calls: at least of those whose node
 * lives, since it must have stored their costs, and at most of all. Holds if nothing was deleted.
 */
export async function checkCharges(
  truth: Client,
  live: { least: number; most: number },
  complain: (what: string) => void,
): Promise<void> {
  const { cost, charged } = await readCharges(truth);
  const least = cost + live.least - FLOAT_ERROR;
  if (charged < least || charged > cost + live.most + FLOAT_ERROR)
    complain(
      `calls have cost ${cost.toFixed(4)} USD, live ones ${live.least.toFixed(4)}, and keys were charged ${charged.toFixed(4)}`,
    );
}

/** Checks that cost and tokens of the batches are the sums of their executions, failed and repair calls included. */
export async function checkExecutions(
  truth: Client,
  complain: (what: string) => void,
): Promise<void> {
  const { rows } = await truth.execute(
    `SELECT (SELECT total(cost_usd) FROM batches) AS cost,
            (SELECT total(coalesce(cost_usd, known_usd)) FROM executions WHERE NOT is_dry_run) AS reported,
            (SELECT total(prompt_tokens + completion_tokens) FROM batches) AS tokens,
            (SELECT total(prompt_tokens + completion_tokens) FROM executions) AS reported_tokens`,
  );
  const [cost, reported] = [Number(rows[0]?.["cost"]), Number(rows[0]?.["reported"])];
  if (Math.abs(cost - reported) > 1e-6)
    complain(
      `batches have cost ${cost.toFixed(4)} USD, and the executions sum to ${reported.toFixed(4)}`,
    );
  const [tokens, listed] = [Number(rows[0]?.["tokens"]), Number(rows[0]?.["reported_tokens"])];
  if (tokens !== listed)
    complain(`batches have used ${tokens} tokens, and the executions sum to ${listed}`);
}
