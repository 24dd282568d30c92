import type { Client } from "@libsql/client";

import { rowsOf } from "../../src/db/unit.ts";
import { checkCounters, type Difference } from "../../src/store/counters.ts";
import type { Database } from "./database.ts";

/** The counters of all batches. */
const ALL = checkCounters(-1, Number.MAX_SAFE_INTEGER);
const NEGATIVE = `SELECT id FROM batches
  WHERE min(total, completed, failed, cancelled, running, prompt_tokens, completion_tokens, cost_usd) < 0`;

/** Rows that `onlyIf` skips and that nobody has executed since. */
const SKIPPED = `SELECT id FROM tasks WHERE is_skipped
  AND (status <> 'cancelled' OR EXISTS (SELECT 1 FROM queue WHERE task = tasks.seq))`;

/** Queued tasks of deleted batches and of batches that are still being written. There must be none. */
const REVENANTS = `SELECT t.id FROM queue q CROSS JOIN tasks t ON t.seq = q.task
    CROSS JOIN batches b ON b.seq = t.batch
  WHERE b.status = 'ingesting' AND (q.owner IS NOT NULL OR q.lane <= 0)`;

/** Checks that no deleted task can run. */
export function createQueueChecks(truth: Client, complain: (what: string) => void) {
  return async (): Promise<void> => {
    for (const { id } of rowsOf<{ id: string }>(await truth.execute(REVENANTS)))
      complain(`task ${id} was deleted with its batch and is still queued`);
  };
}

/** Checks that the counters of batches match their rows, and are never negative. Reads all rows. */
export function createStateChecks({ read }: Database, complain: (what: string) => void) {
  return async (): Promise<void> => {
    const [differences, negative, skipped] = await Promise.all([
      read(ALL.sql, ALL.args),
      read(NEGATIVE),
      read(SKIPPED),
    ]);
    for (const { id } of rowsOf<{ id: string }>(skipped))
      complain(`task ${id} was skipped, and runs or is to run`);
    for (const { batchId, counter, stored, counted } of rowsOf<Difference>(differences))
      complain(`batch "${batchId}" counts ${stored} as ${counter}, and there are ${counted}`);
    for (const { id } of rowsOf<{ id: string }>(negative))
      complain(`a counter of batch "${id}" is negative`);
  };
}
