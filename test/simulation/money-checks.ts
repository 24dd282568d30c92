import type { Client } from "@libsql/client";

import { rowsOf } from "../../src/db/unit.ts";

/** What the dearest call costs. */
const DEAREST = 1;
/** Prices are not exact dollars. */
const ROUNDING = 0.01;

type Account = {
  name: string;
  limit: number;
  spent: number;
  /** What the dearest of its calls has cost so far; of a key, that and the dearest of each of its batches. */
  dearest: number;
  /** Its calls under way, and those of them that nothing was set aside for. */
  running: number;
  unreserved: number;
};
type Known = { limit: number; dearest: number; allowed: number };

/**
 * Checks that caps and budgets hold. What is allowed is the limit; or what was spent when the limit
 * was set, or when a call turned out dearer than any before, and what was under way then. That is where
 * the call belongs that finds out what calls cost. For the calls of a batch a key sets aside what those of that
 * batch have cost, so that each batch finds it out anew. A key may make one call more than its budget pays for,
 * since its calls differ.
 */
export function createMoneyChecks(truth: Client, complain: (what: string) => void) {
  const known = new Map<string, Known>();

  function check({ name, limit, spent, dearest, running, unreserved }: Account, extra: number) {
    const before = known.get(name);
    let allowed = before?.allowed ?? 0;
    if (before?.limit !== limit) allowed = limit + unreserved * DEAREST;
    if (before?.limit !== limit || dearest > before.dearest)
      allowed = Math.max(allowed, spent + running * DEAREST);
    known.set(name, { limit, dearest, allowed });
    if (spent <= allowed + extra + ROUNDING) return;
    complain(`${name} may cost ${limit} USD and has cost ${spent.toFixed(2)}`);
    known.set(name, { limit, dearest, allowed: spent });
  }

  return async (): Promise<void> => {
    const [batches, keys] = await Promise.all([
      truth.execute(`SELECT 'batch ' || id || ' (' || seq || ')' AS name, max_cost_usd AS "limit",
                            cost_usd AS spent, coalesce(dearest_usd, 0) AS dearest, running,
                            0 AS unreserved
                     FROM batches WHERE max_cost_usd IS NOT NULL AND status <> 'ingesting'`),
      truth.execute(`SELECT 'key ' || k.id AS name, k.monthly_budget_usd AS "limit",
                            u.cost_usd AS spent,
                            coalesce(k.dearest_usd, 0) + (SELECT total(dearest_usd) FROM batches
                                                          WHERE payer = k.seq) AS dearest,
                            count(q.task) AS running, total(q.reserved_usd = 0) AS unreserved
                     FROM api_keys k JOIN api_key_usage u ON u.api_key = k.seq
                       LEFT JOIN queue q ON q.payer = k.seq AND q.owner IS NOT NULL AND NOT q.is_dry_run
                     WHERE k.monthly_budget_usd IS NOT NULL GROUP BY k.seq`),
    ]);
    for (const account of rowsOf<Account>(batches)) check(account, 0);
    for (const account of rowsOf<Account>(keys)) check(account, DEAREST);
  };
}

/** Checks that what batches have cost is what keys were charged, where nothing was deleted. */
export async function checkCharges(truth: Client, complain: (what: string) => void): Promise<void> {
  const { rows } = await truth.execute(
    `SELECT (SELECT total(cost_usd) FROM batches) AS cost, (SELECT total(cost_usd) FROM api_key_usage) AS charged`,
  );
  const [cost, charged] = [Number(rows[0]?.["cost"]), Number(rows[0]?.["charged"])];
  if (Math.abs(cost - charged) > 1e-6)
    complain(`calls have cost ${cost.toFixed(4)} USD, and keys were charged ${charged.toFixed(4)}`);
}

/** Checks that what batches have cost equals the sum of their executions, repair calls included. */
export async function checkExecutions(
  truth: Client,
  complain: (what: string) => void,
): Promise<void> {
  const { rows } = await truth.execute(
    `SELECT (SELECT total(cost_usd) FROM batches) AS cost,
            (SELECT total(cost_usd) FROM executions WHERE NOT is_dry_run) AS reported`,
  );
  const [cost, reported] = [Number(rows[0]?.["cost"]), Number(rows[0]?.["reported"])];
  if (Math.abs(cost - reported) > 1e-6)
    complain(
      `batches have cost ${cost.toFixed(4)} USD, and executions tell of ${reported.toFixed(4)}`,
    );
}
