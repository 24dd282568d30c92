import type { Reads } from "../db/reads.ts";
import type { Statement } from "../db/unit.ts";
import { SINGLE_TASKS } from "../domain/batch.ts";
import type { TaskStatus } from "../domain/task.ts";
import type { Clock } from "../lib/clock.ts";
import { readRows } from "./rows.ts";

/**
 * Tasks by status, cost and tokens, added up from the batches' counters: it reads one row per batch, not one per
 * task.
 */
const STOCK: Statement<Stock> = {
  sql: `SELECT total(seq <> ${SINGLE_TASKS}) AS batches, total(total) AS total, total(completed) AS completed, total(failed) AS failed,
               total(cancelled) AS cancelled, total(running) AS running,
               total(prompt_tokens) AS promptTokens, total(completion_tokens) AS completionTokens,
               total(cost_usd) AS costUsd, total(unpriced) AS unpriced
        FROM batches WHERE status <> 'ingesting'`,
  args: [],
};

export type Stock = {
  batches: number;
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

const known = new WeakMap<Reads["client"], { stock: Stock; until: number }>();

/** Up to this many batches are added up at every read, which takes a millisecond. */
const FEW_BATCHES = 2000;
/** With more, the sums are cached for a hundred times as long as reading them took. */
const BATCHES_PER_MS = 20;

/**
 * The sums of the whole database. With more than two thousand batches they may be out of date, by a millisecond for
 * every twenty batches.
 */
export async function readStock({
  reads: { client },
  clock,
}: {
  reads: Reads;
  clock: Clock;
}): Promise<Stock> {
  const kept = known.get(client);
  if (kept && clock.monotonic() < kept.until) return kept.stock;
  const [stock] = await readRows(client, STOCK);
  if (!stock) throw new Error("aggregates always have a row");
  if (stock.batches > FEW_BATCHES)
    known.set(client, { stock, until: clock.monotonic() + stock.batches / BATCHES_PER_MS });
  return stock;
}

/** The number of tasks with a status, or of all tasks, in the whole database or in a batch. */
export function tasksOf(
  stock: Pick<Stock, "total" | Exclude<TaskStatus, "pending">>,
  status: TaskStatus | undefined,
): number {
  if (status === undefined) return stock.total;
  if (status !== "pending") return stock[status];
  return stock.total - stock.completed - stock.failed - stock.cancelled - stock.running;
}

/**
 * Tasks that wait to be started: single tasks that were executed, retries,
 * and what running batches have not started yet.
 */
export const WAITING: Statement<Waiting> = {
  sql: `SELECT (SELECT total(total - completed - failed - cancelled - running) FROM batches
                WHERE status = 'running' AND seq <> ${SINGLE_TASKS})
             + (SELECT count(*) FROM queue
                WHERE owner IS NULL AND run_at IS NULL AND lane <= ${SINGLE_TASKS})
             + (SELECT count(*) FROM queue WHERE run_at IS NOT NULL AND lane <= ${SINGLE_TASKS}) AS depth,
               (SELECT min(queued_at) FROM queue
                WHERE owner IS NULL AND run_at IS NULL
                  AND lane IN (SELECT seq FROM batches WHERE status = 'running')) AS oldestAt`,
  args: [],
};

export type Waiting = { depth: number; oldestAt: number | null };
