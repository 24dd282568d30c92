import { getLogger } from "@logtape/logtape";

import type { Context } from "../context.ts";
import { endsWithin } from "../lib/clock.ts";
import { databaseNow } from "../store/nodes.ts";
import { rowsOf } from "../store/rows.ts";
import {
  claimRuns,
  ENDED_RUNS,
  endUnbegunRun,
  findIdleRun,
  OPEN_RUNS,
  promoteQueued,
  releaseRuns,
  RUNS_TO_CANCEL,
} from "../store/schedule-runs.ts";
import { NEXT_FIRE } from "../store/schedules.ts";
import { fireDue, realign } from "./fires.ts";
import { createLoop, type SetTimer } from "./loop.ts";
import { cancelRun, endFinishedRun, startRun } from "./runs.ts";

export type Scheduler = {
  /** Looks at once for what is due, begins and ends runs; resolves when that is done. */
  nudge(): Promise<void>;
  /** Fires no more; runs that are being started get `graceMs` for that. Batches go on by themselves. */
  stop(graceMs: number): Promise<void>;
};

export type SchedulerOptions = {
  /** The number of this process among those that share the database. */
  node: number;
  setTimer?: SetTimer;
};

/**
 * How long a loop sleeps at most. A clock that was changed is noticed within that time; on a shared
 * database so are schedules that other processes changed.
 */
const MAX_SLEEP_MS = { exclusive: 15_000, shared: 1000 };
/** Backstop for lost hints while runs are under way. */
const FOLLOW_MS = 1000;
/** Hints that a batch may have ended come by the hundred a second while a large one runs. */
const HINT_MS = 100;
/** Runs whose input is being read at the same time. */
const STARTS_AT_ONCE = 16;

/*
 * Three loops. The first fires: its timer is armed for the earliest `next_run`. The second begins runs
 * and the third ends them and moves them on. Runs are, as their rows say:
 *
 *   pending    fired. Left when a process has claimed it and made and started its batch (running), or
 *              could not (failed). A claim ends with its process; who comes next begins anew.
 *   queued     an earlier run of its schedule has not ended. Left when none is (pending), or when it
 *              is cancelled.
 *   running    its batch is under way, which needs nobody. Left when the batch has ended and its
 *              results file is written: completed, failed, cancelled.
 *   skipped, missed, completed, failed, cancelled: the end.
 *
 * Every move is guarded by the state it leaves, so that any process may make it, and again.
 */
export async function startScheduler(ctx: Context, options: SchedulerOptions): Promise<Scheduler> {
  const log = getLogger(["gptrunner", "scheduler"]);
  const { node, setTimer = ctx.clock.setTimeout } = options;
  const maxSleepMs = ctx.isExclusive ? MAX_SLEEP_MS.exclusive : MAX_SLEEP_MS.shared;
  const onError = (error: unknown) =>
    log.error("The scheduler could not do its work; trying again: {error}", { error });
  const working = new Map<string, Promise<void>>();
  let lastNow = Infinity;
  let isFollowing = false;
  let disarmHint: (() => void) | undefined;

  const fires = createLoop({
    setTimer,
    onError,
    async work() {
      const now = await readClock(ctx);
      // At the start, and when the clock was put back.
      if (now < lastNow) await realign(ctx, now);
      lastNow = now;
      if ((await fireDue(ctx, now)) > 0) void nudgeRuns();
      const [next] = rowsOf<{ at: number | null }>(await ctx.client.execute(NEXT_FIRE));
      return Math.min((next?.at ?? Infinity) - (await readClock(ctx)), maxSleepMs);
    },
  });

  const starts = createLoop({
    setTimer,
    onError,
    async work() {
      const free = STARTS_AT_ONCE - working.size;
      const busy = [...working.keys()];
      if (free <= 0 || (await ctx.client.execute(findIdleRun(busy))).rows.length === 0)
        return maxSleepMs;
      const [, claimed] = await ctx.writer.write([
        releaseRuns(node, busy),
        claimRuns(node, free, ctx.clock.now()),
      ]);
      for (const { id } of rowsOf<{ id: string }>(claimed)) workOn(id, startRun(ctx, id));
      return FOLLOW_MS;
    },
  });

  const runs = createLoop({
    setTimer,
    onError,
    async work() {
      const open = await countOpen(ctx);
      isFollowing = open.pending + open.queued + open.running > 0;
      if (!isFollowing) return maxSleepMs;
      await cancelAsked();
      if (open.running > 0) await endFinished(ctx);
      if (open.pending + open.queued > 0) {
        await ctx.writer.write([promoteQueued]);
        void starts.nudge();
      }
      return FOLLOW_MS;
    },
  });

  async function cancelAsked(): Promise<void> {
    type Row = { id: string; status: string; batch: string | null };
    for (const { id, status, batch } of rowsOf<Row>(await ctx.client.execute(RUNS_TO_CANCEL)))
      if (status !== "running") await ctx.writer.write([endUnbegunRun(id, ctx.clock.now())]);
      else if (batch !== null && !working.has(id)) workOn(id, cancelRun(ctx, batch));
  }

  /** Goes on in the background, and makes room for another when it is done. */
  function workOn(id: string, work: Promise<void>): void {
    const done = work.catch(onError).finally(() => {
      working.delete(id);
      void starts.nudge();
      hint();
    });
    working.set(id, done);
  }

  function hint(): void {
    if (!isFollowing || disarmHint) return;
    disarmHint = setTimer(() => {
      disarmHint = undefined;
      void runs.nudge();
    }, HINT_MS);
  }

  async function nudgeRuns(): Promise<void> {
    await runs.nudge();
    await starts.nudge();
  }

  async function nudge(): Promise<void> {
    await fires.nudge();
    await nudgeRuns();
  }

  const unsubscribe = [
    ctx.signals.on("schedules", () => void nudge()),
    ctx.signals.on("events", hint),
  ];
  await nudge();

  return {
    nudge,
    async stop(graceMs) {
      for (const end of unsubscribe) end();
      disarmHint?.();
      await Promise.all([fires.stop(), starts.stop(), runs.stop()]);
      await endsWithin(ctx.clock, Promise.all(working.values()), graceMs);
    },
  };
}

async function endFinished(ctx: Context): Promise<void> {
  const ended = rowsOf<{ id: string }>(await ctx.client.execute(ENDED_RUNS));
  await Promise.all(ended.map(({ id }) => endFinishedRun(ctx, id)));
}

async function countOpen(ctx: Context) {
  const counts = { pending: 0, queued: 0, running: 0 };
  type Row = { status: keyof typeof counts; runs: number };
  for (const { status, runs } of rowsOf<Row>(await ctx.client.execute(OPEN_RUNS)))
    counts[status] = runs;
  return counts;
}

/** The time that decides what is due: on a shared database its own, as its nodes need not agree. */
async function readClock(ctx: Context): Promise<number> {
  return ctx.isExclusive ? ctx.clock.now() : databaseNow(ctx.client);
}
