import { getLogger } from "@logtape/logtape";

import type { Context } from "../context.ts";
import { createLoop } from "../lib/loop.ts";
import { writeOutputs } from "../services/outputs.ts";

/** Between the first news and a look at what is to be written; many batches may end at once. */
const SETTLE_MS = 100;
/** Backstop, and on a shared database the way to hear of batches that ended elsewhere. */
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
  let unsubscribe = () => {};

  return {
    start(): void {
      unsubscribe = ctx.signals.on("events", () => loop.nudge(SETTLE_MS));
      loop.start();
      loop.nudge(SETTLE_MS);
    },
    /** Lets the file that is being written be finished. */
    async stop(): Promise<void> {
      unsubscribe();
      await loop.stop();
    },
  };
}
