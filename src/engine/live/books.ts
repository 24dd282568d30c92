import { getLogger } from "@logtape/logtape";

import type { Context } from "../../context.ts";
import type { Failure } from "../../domain/failure.ts";
import { AppError } from "../../errors.ts";
import { nextRound } from "../../lib/clock.ts";
import { createLoop } from "../../lib/loop.ts";
import { requireBudget } from "../../services/budgets.ts";
import { endForsaken, reserveLive, settleLive } from "../../store/live-calls.ts";
import { meterTurn } from "../meter.ts";
import { createTally, NOTHING_EARLIER } from "../tally.ts";

/** What a live call came to. */
export type LiveEnd = {
  payer: number;
  model: string;
  provider: string;
  failure: Failure | null;
  startedAt: number;
  at: number;
  promptTokens: number | null;
  completionTokens: number | null;
  cachedTokens: number | null;
  reasoningTokens: number | null;
  costUsd: number | null;
  reservation: number | null;
};

/** What ends within this time is stored together; a commit keeps all other requests waiting for a millisecond. */
const LINGER_MS = 250;
/** What was set aside is needed by others. */
const RELEASE_MS = 20;
/** Between two attempts to set money aside, while other calls have set all of it aside: more and more. */
const AGAIN_MS = { first: 20, most: 500 };
const NO_NODE = -1;

/*
 * The money of live calls. Where the key that pays has a budget, what a call may cost is set aside before it is sent, by
 * the rule that batches keep to. What calls came to is added up and stored a few times a second, with the end
 * of what was set aside for them, so that a killed process loses what was not stored in that time at most; what it had set
 * aside is free again when its node is gone.
 */
export function createLiveBooks(ctx: Context) {
  let tally = createTally();
  let reservations: number[] = [];
  let ends = 0;
  /** Those of the payers that have a budget. */
  let budgeted = new Set<number>();

  const loop = createLoop({
    log: getLogger(["gptrunner", "live"]),
    complaint: "What live calls came to could not be saved",
    clock: ctx.clock,
    work: flush,
  });

  async function flush(): Promise<void> {
    if (ends === 0) return;
    const [ended, freed, count, spenders] = [tally, reservations, ends, budgeted];
    [tally, reservations, ends, budgeted] = [createTally(), [], 0, new Set()];
    const tallies = ended.tallies();
    try {
      const money = { reservations: freed, budgeted: [...spenders] };
      const { spent } = await ctx.writer.write(settleLive(tallies, money, ctx.clock.now()));
      if (spent) ctx.signals.emit("events", undefined);
    } catch (error) {
      tally.merge(ended);
      for (const payer of spenders) budgeted.add(payer);
      reservations.push(...freed);
      ends += count;
      throw error;
    }
    meterTurn(ctx.meters, ended.calls(), tallies);
  }

  return {
    /** Sets aside what a call of a key with a budget may cost. Throws `QUOTA_EXCEEDED` where there is nothing left. */
    async reserve(payer: number, signal: AbortSignal): Promise<number> {
      const until = ctx.clock.monotonic() + ctx.config.liveMaxWaitMs;
      for (let attempt = 0; ; attempt++) {
        await requireBudget(ctx, payer);
        const now = ctx.clock.now();
        const { made } = await ctx.writer.write({ made: reserveLive(payer, ctx.live.node, now) });
        const [row] = made.rows;
        if (row) return row.seq;
        // A process that is gone may have set it aside.
        if (attempt === 0) await ctx.writer.write({ ended: endForsaken(NO_NODE) });
        if (ctx.clock.monotonic() > until)
          throw new AppError(
            "RATE_LIMIT_EXCEEDED",
            "Calls under way may use up what is left of the budget of the API key; try again when they have ended",
            { retryAfter: 1 },
          );
        await new Promise<void>((resolve) =>
          ctx.clock.setTimeout(resolve, Math.min(AGAIN_MS.most, AGAIN_MS.first * 2 ** attempt)),
        );
        signal.throwIfAborted();
      }
    },

    /** Takes a call that has ended. */
    end(end: LiveEnd): void {
      const { failure, model, payer, startedAt } = end;
      tally.addCall({ failure, final: end }, model);
      const run = { ...NOTHING_EARLIER, payer, model, startedAt, queuedAt: startedAt };
      const status = failure ? ("failed" as const) : ("completed" as const);
      tally.add({ ...end, status }, { ...run, attempt: 1, isDryRun: 0 });
      if (end.reservation !== null) budgeted.add(payer);
      this.release(end.reservation);
      ends++;
      loop.nudge(LINGER_MS);
    },

    /** Ends a reservation for which nothing was called. */
    release(reservation: number | null): void {
      if (reservation === null) return;
      reservations.push(reservation);
      ends++;
      loop.nudge(RELEASE_MS);
    },

    async start(): Promise<void> {
      await ctx.writer.write({ ended: endForsaken(ctx.live.node) });
      loop.start();
    },

    /** Stores what has ended. */
    async stop(): Promise<void> {
      await nextRound(ctx.clock);
      await loop.look();
      await loop.stop();
    },
  };
}
