import type { Client } from "@libsql/client";

import { rowsOf } from "../../src/db/unit.ts";
import { PAYERS } from "../../src/domain/batch.ts";
import { DECISIONS } from "./provider.ts";

/** Real calls in flight whose cost may be unknown, and the batch and the key that may not pay for such calls. */
const CLAIMED = `
  SELECT q.task || '/' || q.owner || '/' || q.claim AS claim, t.id AS task,
         iif(b.max_cost_usd IS NOT NULL AND b.unpriced > 0, 'batch ' || b.seq, NULL) AS capped,
         iif(q.lane < 0 AND k.monthly_budget_usd IS NOT NULL AND u.unpriced > 0, 'key ' || k.seq, NULL) AS budgeted
  FROM queue q CROSS JOIN tasks t ON t.seq = q.task CROSS JOIN task_inputs i ON i.task = q.task
    CROSS JOIN batches b ON b.seq = t.batch
    LEFT JOIN api_keys k ON k.seq = -q.lane % ${PAYERS} AND q.lane < 0
    LEFT JOIN api_key_usage u ON u.api_key = k.seq
  WHERE q.owner IS NOT NULL AND NOT q.is_dry_run AND i.endpoint = '${DECISIONS}'`;
const BARRED = `
  SELECT 'batch ' || seq AS name FROM batches WHERE max_cost_usd IS NOT NULL AND unpriced > 0
  UNION ALL SELECT 'key ' || k.seq FROM api_keys k JOIN api_key_usage u ON u.api_key = k.seq
    WHERE k.monthly_budget_usd IS NOT NULL AND u.unpriced > 0`;

type Claimed = { claim: string; task: string; capped: string | null; budgeted: string | null };

/**
 * Checks that an unknown cost is never free under a limit: once a call of a batch with a cap, or one that a budget pays
 * for, had an unknown cost, no further such call starts. A batch under a budget is paused, and a client may resume it.
 */
export function createUnpricedChecks(truth: Client, complain: (what: string) => void) {
  let barred = new Set<string>();
  let known = new Set<string>();
  return async (): Promise<void> => {
    const [claimed, names] = await Promise.all([truth.execute(CLAIMED), truth.execute(BARRED)]);
    const rows = rowsOf<Claimed>(claimed);
    for (const { claim, task, capped, budgeted } of rows)
      for (const account of [capped, budgeted])
        if (account !== null && barred.has(account) && !known.has(claim))
          complain(`${task} was started, although ${account} cannot pay for unknown costs`);
    known = new Set(rows.map(({ claim }) => claim));
    barred = new Set(rowsOf<{ name: string }>(names).map(({ name }) => name));
  };
}

/** Checks that the cost of a run is unknown if one of its calls may have been answered, and broke. */
export async function checkUnknownCosts(
  truth: Client,
  complain: (what: string) => void,
): Promise<void> {
  const { rows } = await truth.execute(
    `SELECT t.id FROM executions e JOIN tasks t ON t.seq = e.task JOIN task_inputs i ON i.task = e.task
     WHERE i.endpoint = '${DECISIONS}' AND NOT e.is_dry_run AND e.cost_usd IS NOT NULL
       AND EXISTS (SELECT 1 FROM json_each(e.log) l
                   WHERE l.value ->> 'code' IN ('PROVIDER_TIMEOUT', 'PROVIDER_CONNECTION_LOST')
                     AND l.value ->> 'providerStatus' IS NULL)`,
  );
  for (const row of rows)
    complain(`the unknown cost of ${String(row["id"])} is not reported as one`);
}
