import { getLogger } from "@logtape/logtape";

import type { Context } from "../../context.ts";
import type { Failure } from "../../domain/failure.ts";
import { AppError } from "../../errors.ts";
import { nextRound } from "../../lib/clock.ts";
import { createLoop } from "../../lib/loop.ts";
import { requireBudget } from "../../services/budgets.ts";
import {
  endForsaken,
  endReservations,
  forgetSettlements,
  isSettled,
  listReservations,
  reserveLive,
  settleLive,
} from "../../store/live-calls.ts";
import { readRows } from "../../store/rows.ts";
import { meterTurn } from "../meter.ts";
import { createTally, NOTHING_EARLIER } from "../tally.ts";

/** The end of a live call. */
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

/**
 * Calls that end within this time are stored together, because a commit blocks all other requests for a millisecond.
 */
const LINGER_MS = 250;
/** A shorter time if a reservation ends, because other calls may need the money. */
const RELEASE_MS = 20;
/** The least time to store the last results, however short the grace period, and the pause between two attempts. */
const STORING_MS = 2000;
const STORE_AGAIN_MS = 200;
/** The growing pause between two attempts to reserve money while other calls have reserved all of it. */
const AGAIN_MS = { first: 20, most: 500 };

/*
 * The money of live calls. If the key that pays has a budget, the possible cost of a call is reserved before it is
 * sent, by the same rule as for batches. The results of calls are added up and stored a few times a second, together
 * with the end of their reservations, so a killed process loses at most the results of that time. Its reservations end
 * when its node is declared dead; if it goes on after all, it reserves anew. A reservation whose commit took effect
 * although its answer was lost belongs to no call. It is recognised if it is unknown at two looks, between which every
 * answer has arrived or was given up.
 */
export function createLiveBooks(ctx: Context, isAlive: (since: number) => boolean) {
  let tally = createTally();
  let reservations: number[] = [];
  let ends = 0;
  /** The payers that have a budget. */
  let budgeted = new Set<number>();
  /** The settlement that is being stored, or could not be stored yet. */
  let unsettled: ReturnType<typeof takeEnds> | undefined;
  let settlements = 0;
  /** Why calls that wait for money are refused from now on. */
  let closed: AppError | undefined;
  /**
   * The reservations whose end is not stored yet, with the times at which they were requested, and those in the table that
   * were unknown at the last look.
   */
  const held = new Map<number, number>();
  let strays = new Set<number>();

  const comparing = createLoop({
    log: getLogger(["gptrunner", "live"]),
    complaint: "The reservations of live calls could not be compared",
    clock: ctx.clock,
    work: endStrays,
    backstopMs: ctx.config.leaseMs,
  });

  async function endStrays(): Promise<void> {
    const rows = await readRows(ctx.client, listReservations(ctx.live.node));
    const unknown = rows.map(({ seq }) => seq).filter((seq) => !held.has(seq));
    const lost = unknown.filter((seq) => strays.has(seq));
    strays = new Set(unknown);
    if (lost.length > 0) await ctx.writer.write({ ended: endReservations(lost) });
  }

  const loop = createLoop({
    log: getLogger(["gptrunner", "live"]),
    complaint: "The results of live calls could not be saved",
    clock: ctx.clock,
    work: flush,
  });

  const isStored = () => !unsettled && ends === 0;

  async function flush(): Promise<void> {
    if (isStored()) return;
    const settling = (unsettled ??= takeEnds());
    const { tallies, freed, spenders, number } = settling;
    const money = { reservations: freed, budgeted: [...spenders] };
    const which = { node: ctx.live.node, number };
    try {
      await ctx.writer.write(settleLive(tallies, money, which, settling.at));
    } catch (error) {
      // The same settlement is tried again, unless it is stored already.
      if (!isSettled(error)) throw error;
    }
    unsettled = undefined;
    for (const seq of freed) held.delete(seq);
    if (spenders.size > 0) ctx.signals.emit("events", undefined);
    meterTurn(ctx.meters, settling.calls, tallies);
    if (ends > 0) loop.nudge(LINGER_MS);
  }

  function takeEnds() {
    const [ended, freed, spenders] = [tally, reservations, budgeted];
    [tally, reservations, ends, budgeted] = [createTally(), [], 0, new Set()];
    const [tallies, calls] = [ended.tallies(), ended.calls()];
    return { tallies, calls, freed, spenders, number: ++settlements, at: ctx.clock.now() };
  }

  return {
    /**
     * Reserves the possible cost of a call of a key with a budget, at least `usd`. Throws `QUOTA_EXCEEDED` if nothing is
     * left.
     */
    async reserve(payer: number, usd: number, signal: AbortSignal): Promise<number> {
      const until = ctx.clock.monotonic() + ctx.config.liveMaxWaitMs;
      for (let attempt = 0; ; attempt++) {
        await requireBudget(ctx, payer);
        const sentAt = ctx.clock.monotonic();
        const wanted = { payer, node: ctx.live.node, usd };
        const { made } = await ctx.writer.write({ made: reserveLive(wanted, ctx.clock.now()) });
        const [row] = made.rows;
        if (row && isAlive(sentAt)) {
          held.set(row.seq, sentAt);
          return row.seq;
        }
        if (row) await this.giveUp(row.seq);
        else if (attempt === 0)
          // A dead process may hold the reservations.
          await ctx.writer.write({ ended: endForsaken() });
        if (ctx.clock.monotonic() > until)
          throw new AppError(
            "RATE_LIMIT_EXCEEDED",
            "Calls in progress may use up the rest of the budget of the API key; try again when they have ended",
            { retryAfter: 1 },
          );
        await new Promise<void>((resolve) =>
          ctx.clock.setTimeout(resolve, Math.min(AGAIN_MS.most, AGAIN_MS.first * 2 ** attempt)),
        );
        signal.throwIfAborted();
        if (closed) throw closed;
      }
    },

    /** Whether a reservation exists: others end those of a process that stood still. Calls without one need none. */
    isHeld(reservation: number | null): boolean {
      return reservation === null || isAlive(held.get(reservation) ?? -Infinity);
    },

    /** Ends a reservation that others may have ended. What the calls of this process have cost is stored first. */
    async giveUp(reservation: number | null): Promise<void> {
      this.release(reservation);
      await loop.look();
    },

    /** Adds an ended call. */
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

    /** Ends a reservation without a call. */
    release(reservation: number | null): void {
      if (reservation === null) return;
      reservations.push(reservation);
      ends++;
      loop.nudge(RELEASE_MS);
    },

    async start(): Promise<void> {
      const { node } = ctx.live;
      await ctx.writer.write({ ended: endForsaken(node), forgotten: forgetSettlements(node) });
      loop.start();
      comparing.start();
    },

    /** Refuses the calls that wait for money. */
    refuseWaiting(why: AppError): void {
      closed = why;
    },

    /** Stores the remaining ended calls. If that fails, it is tried again for `graceMs`. */
    async stop(graceMs: number): Promise<void> {
      const until = ctx.clock.monotonic() + Math.max(STORING_MS, graceMs);
      await comparing.stop();
      await nextRound(ctx.clock);
      await loop.look();
      while (!isStored()) {
        if (loop.trouble()) {
          if (ctx.clock.monotonic() >= until) break;
          await ctx.clock.sleep(STORE_AGAIN_MS);
        }
        await loop.look();
      }
      await loop.stop();
    },
  };
}
