import { getLogger } from "@logtape/logtape";

import type { Context } from "../context.ts";
import { createLoop } from "../lib/loop.ts";
import { makeChains } from "../services/chains.ts";
import { writeOutputs } from "../services/outputs.ts";

/** The delay between the first hint and the search for work, because many batches may end at once. */
const SETTLE_MS = 100;
/** Backstop for lost hints. */
const POLL_MS = 5000;

/** The work that follows the end of a batch. */
const WORKS = [
  {
    category: "outputs",
    complaint: "Output files could not be written",
    work: writeOutputs,
  },
  {
    category: "chains",
    complaint: "Batches that wait for others could not be made",
    work: makeChains,
  },
];

/**
 * Does the work that follows the end of batches: writes their output files, and creates the batches that have waited
 * for them. It looks for work when the log has new events, and does one piece of each kind at a time.
 */
export function createAfterwork(ctx: Context, node: () => number) {
  const loops = WORKS.map(({ category, complaint, work }) =>
    createLoop({
      log: getLogger(["gptrunner", category]),
      complaint,
      clock: ctx.clock,
      work: () => work(ctx, node()),
      backstopMs: POLL_MS,
    }),
  );
  const unsubscribe: (() => void)[] = [];
  const nudge = () => {
    for (const loop of loops) loop.nudge(SETTLE_MS);
  };

  return {
    start(): void {
      for (const topic of ["events", "elsewhere", "deleted"] as const)
        unsubscribe.push(ctx.signals.on(topic, nudge));
      for (const loop of loops) loop.start();
      nudge();
    },
    /** Starts no more work; resolves when the current work is finished. */
    async stop(): Promise<void> {
      for (const end of unsubscribe) end();
      await Promise.all(loops.map((loop) => loop.stop()));
    },
  };
}
