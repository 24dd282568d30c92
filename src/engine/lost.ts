import { getLogger } from "@logtape/logtape";

import type { Context } from "../context.ts";
import { createLoop } from "../lib/loop.ts";
import { findLost } from "../store/release.ts";
import { readRows } from "../store/rows.ts";

export type LostOptions = {
  owner: () => number;
  /** The claims of which this process knows. */
  known: () => [task: number, claim: number][];
  /** These claims are not this process' any more. */
  onLost: (claims: { task: number; claim: number }[]) => void;
};

/**
 * Looks which claims of this process others have ended, when there is a hint of it: a task was
 * cancelled or deleted elsewhere, or this process was taken for dead. Nothing is looked at otherwise,
 * since the fence keeps out what a lost call comes to; it only costs the call.
 */
export function createLostWatch(ctx: Context, { owner, known, onLost }: LostOptions) {
  return createLoop({
    log: getLogger(["gptrunner", "dispatcher"]),
    complaint: "Whether others have ended calls of this process could not be read",
    clock: ctx.clock,
    async work() {
      const claims = known();
      if (claims.length === 0) return;
      const lost = await readRows(ctx.client, findLost(owner(), claims));
      if (lost.length > 0) onLost(lost);
    },
    retryMs: 250,
  });
}
