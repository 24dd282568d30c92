import { getLogger } from "@logtape/logtape";

import type { Context } from "../context.ts";
import { createLoop } from "../lib/loop.ts";
import { writeOutputs } from "../services/outputs.ts";

/** Between the first news and a look at what is to be written; many batches may end at once. */
const SETTLE_MS = 100;
/** Backstop for lost hints. */
const POLL_MS = 5000;

/** Writes what output files there are to write, one at a time, when something has happened in the log. */
export function createOutputWriter(ctx: Context, node: () => number) {
  const loop = createLoop({
    log: getLogger(["gptrunner", "outputs"]),
    complaint: "Output files could not be written",
    clock: ctx.clock,
    work: () => writeOutputs(ctx, node()),
    backstopMs: POLL_MS,
  });
  const unsubscribe: (() => void)[] = [];

  return {
    start(): void {
      for (const topic of ["events", "elsewhere"] as const)
        unsubscribe.push(ctx.signals.on(topic, () => loop.nudge(SETTLE_MS)));
      loop.start();
      loop.nudge(SETTLE_MS);
    },
    /** Lets the file that is being written be finished. */
    async stop(): Promise<void> {
      for (const end of unsubscribe) end();
      await loop.stop();
    },
  };
}
