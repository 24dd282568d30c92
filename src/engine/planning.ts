import type { Context } from "../context.ts";
import { shareSlots } from "../domain/lanes.ts";
import type { LaneClaim } from "../store/claim.ts";
import type { Lane, LaneBook } from "./lane-book.ts";
import { createNextRuns } from "./next-runs.ts";
import { createPacing } from "./pacing.ts";
import type { Texts } from "./texts.ts";
import { createUnproven } from "./unproven.ts";
import type { Upstreams } from "./upstreams.ts";

/** The most runs to claim in a turn. More would block the event loop for long; the next turn follows at once. */
export const MOST_CLAIMED = 256;

type PlanningOptions = { book: LaneBook; upstreams: Upstreams; texts: Texts; nudge: () => void };

/** Decides how many runs of each lane to claim: by free slots, by what limits allow, and by what is known of costs. */
export function createPlanning(ctx: Context, { book, upstreams, texts, nudge }: PlanningOptions) {
  const nextRuns = createNextRuns(ctx);
  const pacing = createPacing(ctx, upstreams, texts, nextRuns);
  const unproven = createUnproven(nextRuns);

  async function fit([lane, wanted]: [Lane, number]): Promise<[Lane, number]> {
    const limit = await unproven.fit(lane, wanted);
    // Other lanes may use the slots.
    if (limit < wanted) nudge();
    return [lane, limit];
  }

  return {
    pacing,
    async claims(now: number): Promise<LaneClaim[]> {
      const lanes = book.loads();
      pacing.open(lanes, now);
      unproven.open(lanes);
      const starts = shareSlots(lanes, ctx.config.maxConcurrency, MOST_CLAIMED);
      return pacing.fit(new Map(await Promise.all([...starts].map(fit))), lanes);
    },
    /** Learns costs from committed outcomes. Returns whether more calls may start together. */
    learn: unproven.learn,
  };
}
