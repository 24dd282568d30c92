import type { Client } from "@libsql/client";

import { rowsOf } from "../../src/db/unit.ts";

/** What the dearest call costs. */
const DEAREST = 1;
/** Prices are not exact dollars. */
const ROUNDING = 0.01;

type Account = { name: string; limit: number; spent: number; running: number };
type Known = { limit: number; allowed: number };

/**
 * Checks that caps and budgets hold. What is allowed is the limit, or what was spent when it was set,
 * and the calls that were in flight then; beyond that one call, which finds out what calls cost.
 */
export function createMoneyChecks(
  truth: Client,
  complain: (what: string) => void,
  /** Single executions of tasks of a batch, which its cap does not see (yet). */
  aloneIn: (batch: string) => number,
) {
  const known = new Map<string, Known>();

  function check({ name, limit, spent, running }: Account, extra: number): void {
    const before = known.get(name);
    const allowed = Math.max(limit, spent) + running * DEAREST;
    if (!before || before.limit !== limit)
      known.set(name, { limit, allowed: Math.max(allowed, before?.allowed ?? 0) });
    const most = known.get(name)?.allowed ?? allowed;
    if (spent <= most + DEAREST + extra + ROUNDING) return;
    complain(`${name} may cost ${limit} USD and has cost ${spent.toFixed(2)}`);
    known.set(name, { limit, allowed: spent });
  }

  return async (): Promise<void> => {
    const [batches, keys] = await Promise.all([
      truth.execute(`SELECT id, seq, max_cost_usd AS "limit", cost_usd AS spent, running FROM batches
                     WHERE max_cost_usd IS NOT NULL AND status <> 'ingesting'`),
      truth.execute(`SELECT k.id AS name, k.monthly_budget_usd AS "limit", u.cost_usd AS spent,
                            (SELECT count(*) FROM queue WHERE owner IS NOT NULL) AS running
                     FROM api_keys k JOIN api_key_usage u ON u.api_key = k.seq
                     WHERE k.monthly_budget_usd IS NOT NULL`),
    ]);
    for (const { id, seq, ...account } of rowsOf<Account & { id: string; seq: number }>(batches))
      check({ ...account, name: `batch ${id} (${seq})` }, aloneIn(id) * DEAREST);
    for (const account of rowsOf<Account>(keys))
      check({ ...account, name: `key ${account.name}` }, 0);
  };
}
