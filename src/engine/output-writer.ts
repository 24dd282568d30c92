import { getLogger } from "@logtape/logtape";

import type { Context } from "../context.ts";
import type { Cancel } from "../lib/clock.ts";
import { writeOutputs } from "../services/outputs.ts";
import { FREE_OUTPUTS } from "../store/outputs.ts";

/** Between the first news and a look at what is to be written; many batches may end at once. */
const SETTLE_MS = 100;
/** Backstop, and on a shared database the way to hear of batches that ended elsewhere. */
const POLL_MS = 5000;

/*
 * Idle until something happened in the log or the poll is due; then it writes what there is to
 * write, one file at a time, and is idle again. News that come meanwhile lead to another look.
 */
export async function startOutputWriter(ctx: Context) {
  const log = getLogger(["gptrunner", "outputs"]);
  let working: Promise<void> | undefined;
  let isNudged = false;
  let isStopped = false;
  let cancelTimer: Cancel | undefined;

  function nudge(): void {
    if (!isStopped) cancelTimer ??= ctx.clock.setTimeout(look, SETTLE_MS);
  }

  function look(): void {
    cancelTimer = undefined;
    if (working) isNudged = true;
    else working = work();
  }

  async function work(): Promise<void> {
    try {
      await writeOutputs(ctx);
    } catch (error) {
      log.error("Output files could not be written: {error}", { error });
    }
    working = undefined;
    if (isNudged) nudge();
    isNudged = false;
  }

  if (ctx.isExclusive) await ctx.writer.write([FREE_OUTPUTS]);
  const unsubscribe = ctx.signals.on("events", nudge);
  const cancelPoll = ctx.clock.setInterval(nudge, POLL_MS);
  nudge();

  return {
    /** Lets the file that is being written be finished. */
    async stop(): Promise<void> {
      isStopped = true;
      cancelPoll();
      cancelTimer?.();
      unsubscribe();
      await working;
    },
  };
}
