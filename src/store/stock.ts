import type { Statement } from "../db/writer.ts";
import { SINGLE_TASKS } from "../domain/batch.ts";

/** Tasks by status, money and tokens, added up from the batches' counters: one row a batch is read, not one a task. */
export const STOCK: Statement = {
  sql: `SELECT total(total) AS total, total(completed) AS completed, total(failed) AS failed,
               total(cancelled) AS cancelled, total(running) AS running,
               total(prompt_tokens) AS promptTokens, total(completion_tokens) AS completionTokens,
               total(cost_usd) AS costUsd, total(unpriced) AS unpriced
        FROM batches WHERE status <> 'ingesting'`,
  args: [],
};

export type Stock = {
  total: number;
  completed: number;
  failed: number;
  cancelled: number;
  running: number;
  promptTokens: number;
  completionTokens: number;
  costUsd: number;
  unpriced: number;
};

/**
 * Tasks that wait to be started, as `{depth, oldestAt}`: single tasks that were executed, retries,
 * and what running batches have not started yet.
 */
export const WAITING: Statement = {
  sql: `SELECT (SELECT total(total - completed - failed - cancelled - running) FROM batches
                WHERE status = 'running' AND seq <> ${SINGLE_TASKS})
             + (SELECT count(*) FROM queue WHERE owner IS NULL AND lane = ${SINGLE_TASKS}) AS depth,
               (SELECT min(queued_at) FROM queue WHERE owner IS NULL AND run_at IS NULL) AS oldestAt`,
  args: [],
};

export type Waiting = { depth: number; oldestAt: number | null };
