import { getLogger } from "@logtape/logtape";

import type { Context } from "../context.ts";
import { createLoop } from "../lib/loop.ts";
import { findLost } from "../store/release.ts";
import { readRows } from "../store/rows.ts";

export type LostOptions = {
  owner: () => number;
  /** The claims of which this process knows. */
  known: () => [task: number, claim: number][];
  /** Called with claims that this process no longer holds. */
  onLost: (claims: { task: number; claim: number }[]) => void;
};

/**
 * Finds claims of this process that other nodes have ended, when there is a hint: a task was cancelled or deleted
 * elsewhere, or this process was declared dead. Without a hint it reads nothing, because the fence refuses the result
 * of a lost call anyway; only the call itself is wasted.
 */
export function createLostWatch(ctx: Context, { owner, known, onLost }: LostOptions) {
  return createLoop({
    log: getLogger(["gptrunner", "dispatcher"]),
    complaint: "The claims that other processes have ended could not be read",
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
