import { getLogger } from "@logtape/logtape";

import type { Context } from "../context.ts";
import { endsWithin } from "../lib/clock.ts";
import { createLoop, type More } from "../lib/loop.ts";
import { COUNTERS_REPAIR, findRepair, recordRepair } from "../store/repairs.ts";
import { readRows } from "../store/rows.ts";
import { repairCounters } from "./books.ts";

/** The next look, while another process repairs. */
const LOOK_AGAIN: More = { inMs: 5000 };
const STOP_MS = 2000;
const MOST_NAMED = 20;

/**
 * Corrects the counters of batches once in the life of a database, in the background: development
 * versions before 0.2.0 could count a task twice. A process that is killed meanwhile leaves it to the next start.
 */
export function createFirstRepair(ctx: Context) {
  const loop = createLoop({
    log: getLogger(["gptrunner", "repair"]),
    complaint: "The counters of batches could not be checked",
    clock: ctx.clock,
    work: async () => {
      try {
        return await repairOnce(ctx);
      } catch (error) {
        // The check of a large database may end after the shutdown.
        if (ctx.client.closed) return;
        throw error;
      }
    },
    maxRetryMs: 60_000,
  });
  return {
    start() {
      loop.start();
      loop.nudge();
    },
    async stop(): Promise<void> {
      // A large database takes longer to read than a shutdown may. What was not committed is repaired at the next start.
      await endsWithin(ctx.clock, loop.stop(), STOP_MS);
    },
  };
}

async function repairOnce(ctx: Context): Promise<More | void> {
  const [done] = await readRows(ctx.client, findRepair(COUNTERS_REPAIR));
  if (done) return;
  const wrong = await repairCounters(ctx);
  if (!wrong) return LOOK_AGAIN;
  await ctx.writer.write({ recorded: recordRepair(COUNTERS_REPAIR, ctx.clock.now()) });
  if (wrong.length === 0) return;
  const batches = new Set(wrong.map(({ batchId }) => batchId)).size;
  getLogger(["gptrunner", "repair"]).warning(
    "{batches} batches did not count their tasks correctly, because of faults of earlier versions. Their counters were corrected: {corrected}",
    { batches, corrected: wrong.slice(0, MOST_NAMED), differences: wrong.length },
  );
}
