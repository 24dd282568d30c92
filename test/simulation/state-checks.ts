import { rowsOf } from "../../src/db/unit.ts";
import { checkCounters, type Difference } from "../../src/store/counters.ts";
import type { Database } from "./database.ts";

/** Of all batches. */
const ALL = checkCounters(-1, Number.MAX_SAFE_INTEGER);
const NEGATIVE = `SELECT id FROM batches
  WHERE min(total, completed, failed, cancelled, running, prompt_tokens, completion_tokens, cost_usd) < 0`;

/** Checks that the counters of batches are what their rows say, and never negative. Reads everything. */
export function createStateChecks({ read }: Database, complain: (what: string) => void) {
  return async (): Promise<void> => {
    const [differences, negative] = await Promise.all([read(ALL.sql, ALL.args), read(NEGATIVE)]);
    for (const { batchId, counter, stored, counted } of rowsOf<Difference>(differences))
      complain(`batch "${batchId}" counts ${stored} as ${counter}, and there are ${counted}`);
    for (const { id } of rowsOf<{ id: string }>(negative))
      complain(`a counter of batch "${id}" is negative`);
  };
}
