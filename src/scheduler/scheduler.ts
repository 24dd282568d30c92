import { getLogger } from "@logtape/logtape";

import type { Context } from "../context.ts";
import { background } from "../lib/background.ts";
import { type Clock, endsWithin } from "../lib/clock.ts";
import { createLoop } from "../lib/loop.ts";
import { discardBatchOf } from "../services/discard-run.ts";
import { commonSteadyTime, commonTime } from "../services/time.ts";
import { readRows } from "../store/rows.ts";
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
import { cancelRun, endFinishedRun, startRun } from "./runs.ts";
import { announceStuck } from "./stuck.ts";

export type Scheduler = {
  /** Resolves after the first check for due schedules. */
  start(): Promise<void>;
  /** Checks at once for due schedules, begins and ends runs; resolves when that is done. */
  look(): Promise<void>;
  /** Stops firing; runs that are being started get `graceMs`. Batches continue by themselves. */
  stop(graceMs: number): Promise<void>;
};

export type SchedulerOptions = {
  /** The number of this process among those that share the database. */
  node: () => number;
  setTimer?: Clock["setTimeout"];
};

/**
 * The longest sleep of a loop. A change of the clock takes effect within that time, and on a shared database also
 * schedules that other processes have changed, if a hint was lost.
 */
const MAX_SLEEP_MS = { exclusive: 15_000, shared: 5000 };
/** Backstop for lost hints while runs are under way. */
const FOLLOW_MS = 1000;
/** The least time between two reactions to hints that a batch may have ended, which come by the hundred a second. */
const HINT_MS = 100;
/** Runs whose input is being read at the same time. */
const STARTS_AT_ONCE = 16;

/*
 * Three loops. The first fires: its timer is armed for the earliest `next_run`. The second begins runs
 * and the third ends them and moves them on. Runs are, as their rows say:
 *
 *   pending    fired. Left when a process has claimed it and made and started its batch (running), or
 *              could not (failed). A claim ends with its process; the next process begins again.
 *   queued     an earlier run of its schedule has not ended. Left when none is (pending), or when it
 *              is cancelled.
 *   running    its batch is running, which needs no process here. Left when the batch has ended and its
 *              results file is written: completed, failed, cancelled.
 *   skipped, missed, completed, failed, cancelled: the end.
 *
 * Every move is guarded by the state that it leaves, so any process may make it, and repeat it.
 */
export function createScheduler(ctx: Context, options: SchedulerOptions): Scheduler {
  const log = getLogger(["gptrunner", "scheduler"]);
  const { node, setTimer = ctx.clock.setTimeout } = options;
  const maxSleepMs = ctx.isExclusive ? MAX_SLEEP_MS.exclusive : MAX_SLEEP_MS.shared;
  /** Runs that this process begins or cancels. */
  const busy = new Set<string>();
  const underWay = new Set<Promise<void>>();
  const unsubscribe: (() => void)[] = [];
  let lastNow = Infinity;
  let isFollowing = false;

  const common = {
    log,
    clock: { monotonic: ctx.clock.monotonic, setTimeout: setTimer },
    backstopMs: maxSleepMs,
  };

  const fires = createLoop({
    ...common,
    complaint: "Schedules could not be fired",
    async work() {
      const now = await commonTime(ctx);
      // At the start, and after the clock was put back.
      if (now < lastNow) await realign(ctx, now);
      lastNow = now;
      if ((await fireDue(ctx, now)) > 0) {
        runs.nudge();
        starts.nudge();
      }
      const [next] = await readRows(ctx.client, NEXT_FIRE);
      return { inMs: (next?.at ?? Infinity) - (await commonTime(ctx)) };
    },
  });

  const starts = createLoop({
    ...common,
    complaint: "Runs of schedules could not be begun",
    async work() {
      const free = STARTS_AT_ONCE - busy.size;
      const mine = [...busy];
      if (free <= 0 || (await readRows(ctx.client, findIdleRun(mine))).length === 0) return;
      const now = await commonSteadyTime(ctx);
      const owner = node();
      const { claimed } = await ctx.writer.write({
        released: releaseRuns(owner, mine),
        claimed: claimRuns(owner, free, now),
      });
      for (const { id } of claimed.rows) workOn(id, startRun(ctx, id, owner));
      return { inMs: FOLLOW_MS };
    },
  });

  const runs = createLoop({
    ...common,
    complaint: "Runs of schedules could not be followed",
    async work() {
      const open = await countOpen(ctx);
      await announceStuck(ctx);
      isFollowing = open.pending + open.queued + open.running > 0;
      if (!isFollowing) return;
      await cancelAsked();
      if (open.running > 0) await endFinished(ctx);
      if (open.pending + open.queued > 0) {
        await ctx.writer.write({ promoted: promoteQueued });
        starts.nudge();
      }
      return { inMs: FOLLOW_MS };
    },
  });
  const loops = [fires, starts, runs];

  async function cancelAsked(): Promise<void> {
    for (const { id, status, batch } of await readRows(ctx.client, RUNS_TO_CANCEL))
      if (status !== "running") {
        const { ended } = await ctx.writer.write({ ended: endUnbegunRun(id, ctx.clock.now()) });
        if (ended.changed > 0) await discardBatchOf(ctx, id);
      } else if (batch !== null && !busy.has(id)) workOn(id, cancelRun(ctx, batch));
  }

  /** Works in the background, and frees its place when it is done. */
  function workOn(id: string, work: Promise<void>): void {
    busy.add(id);
    const done = work.finally(() => {
      busy.delete(id);
      starts.nudge();
      hint();
    });
    background(log, "Beginning or cancelling a run of a schedule", done, underWay);
  }

  function hint(): void {
    if (isFollowing) runs.nudge(HINT_MS);
  }

  async function look(): Promise<void> {
    await fires.look();
    await runs.look();
    await starts.look();
  }

  return {
    async start() {
      unsubscribe.push(
        ctx.signals.on("schedules", () => background(log, "A look at the schedules", look())),
        ctx.signals.on("events", hint),
        ctx.signals.on("elsewhere", hint),
      );
      for (const loop of loops) loop.start();
      await look();
    },
    look,
    async stop(graceMs) {
      for (const end of unsubscribe) end();
      await Promise.all(loops.map((loop) => loop.stop()));
      await endsWithin(ctx.clock, Promise.all(underWay), graceMs);
    },
  };
}

async function endFinished(ctx: Context): Promise<void> {
  const ended = await readRows(ctx.client, ENDED_RUNS);
  await Promise.all(ended.map(({ id }) => endFinishedRun(ctx, id)));
}

async function countOpen(ctx: Context) {
  const counts = { pending: 0, queued: 0, running: 0 };
  for (const { status, runs } of await readRows(ctx.client, OPEN_RUNS)) counts[status] = runs;
  return counts;
}
