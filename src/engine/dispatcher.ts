import type { ResultSet } from "@libsql/client";
import { getLogger } from "@logtape/logtape";

import type { Context, Waiting } from "../context.ts";
import type { Statement } from "../db/writer.ts";
import { shareSlots } from "../domain/lanes.ts";
import { RUNNING_BATCHES, type RunningBatch } from "../store/batches.ts";
import {
  claim,
  type Claimed,
  type LaneClaim,
  type LaneReady,
  NEXT_WAITING,
  READY_LANES,
  releaseClaims,
  wakeWaiting,
} from "../store/queue.ts";
import { rowsOf } from "../store/rows.ts";
import { postpone, reportProgress, settle } from "../store/settle.ts";
import { createFeeder } from "./feeder.ts";
import { createHalts } from "./halts.ts";
import { createInFlight } from "./in-flight.ts";
import { createLaneBook } from "./lane-book.ts";
import { meterTurn } from "./meter.ts";
import { createPacing } from "./pacing.ts";
import type { Call, Outcome } from "./protocol.ts";
import { tellEnded } from "./tell.ts";

export type Dispatcher = {
  /** Begins to claim work. */
  start(): Promise<void>;
  /** Claims no more; resolves when nothing is in flight and everything reported is committed. */
  drain(): Promise<void>;
  /** Takes the reports of worker threads. */
  report(outcomes: Outcome[]): void;
  /** Gives back what is still claimed, so that it runs elsewhere or after a restart. */
  handBack(): Promise<void>;
  inFlight(): number;
  /** Why a batch waits, as far as this process knows. */
  waitingOf(batch: number): Waiting | null;
  /** How long the pacers make the next call of each model wait. */
  waits(): { model: string; waitMs: number }[];
};

export type DispatcherOptions = {
  owner: number;
  run: (calls: Call[]) => void;
  random: () => number;
};

/** Backstop for lost hints, and on a shared database the way to hear of others' work. */
const SYNC_MS = { exclusive: 2000, shared: 300 };
const PROGRESS_EVERY_MS = 500;
const RETRY_COMMIT_MS = 250;
/**
 * Reports wait for others to be committed with them while most calls are still under way: until none
 * came for a moment, but never long.
 */
const QUIET_MS = 2;
const LINGER_MS = 8;
const LONGEST_TIMER_MS = 60_000;

/*
 * The dispatcher works in turns; one runs at a time. A turn settles what has been reported, feeds
 * batches that run low, gives the free slots to lanes, and claims for them, all in one commit; then
 * it sends the claimed calls to the worker threads.
 *
 *   idle     nothing reported, no slot that could be used. Left by `nudge`: a report, a hint that
 *            work was queued, a retry that comes due, the sync timer.
 *   turning  a commit is under way. Nudges that come meanwhile lead to another turn.
 *   failing  the commit failed; the reports are kept and the turn is tried again. Whether its claims
 *            were made is unknown, so the next turn gives them back first.
 *   draining as before, but no claims; ends when nothing is in flight.
 */
export function createDispatcher(ctx: Context, options: DispatcherOptions): Dispatcher {
  const log = getLogger(["gptrunner", "dispatcher"]);
  const { config, writer, signals } = ctx;
  const book = createLaneBook(config.maxConcurrency);
  const feeder = createFeeder(book);
  const inFlight = createInFlight(config, options.random);
  const pacing = createPacing(ctx);
  const halts = createHalts();
  const lastProgress = new Map<number, number>();
  const unsubscribe: (() => void)[] = [];
  let reported: Outcome[] = [];
  let doubtful: number[] = [];
  let claimNo = 0;
  let isTurning = false;
  let isNudged = false;
  let isDraining = true;
  let onIdle: (() => void) | undefined;
  let syncTimer: ReturnType<typeof setInterval> | undefined;
  let lingersSince: number | undefined;
  let lingerTimer: ReturnType<typeof setTimeout> | undefined;
  let retryTimer: ReturnType<typeof setTimeout> | undefined;
  let paceTimer: ReturnType<typeof setTimeout> | undefined;

  function nudge(): void {
    clearTimeout(lingerTimer);
    lingersSince = undefined;
    isNudged = true;
    if (!isTurning) void turn();
  }

  async function turn(): Promise<void> {
    isTurning = true;
    while (isNudged) {
      isNudged = false;
      try {
        await commitTurn();
      } catch (error) {
        log.error("The state of running tasks could not be saved; trying again: {error}", {
          error,
        });
        await new Promise((resolve) => setTimeout(resolve, RETRY_COMMIT_MS));
        isNudged = true;
      }
    }
    isTurning = false;
    armPaceTimer();
    if (isDraining && inFlight.size() === 0) onIdle?.();
  }

  async function commitTurn(): Promise<void> {
    const now = ctx.now();
    const claims = isDraining ? [] : await planClaims(now);
    const outcomes = reported;
    reported = [];
    const {
      finals,
      tallies,
      calls,
      ended,
      retries,
      batches,
      halts: halted,
    } = inFlight.decide(outcomes, now);
    const feeds = isDraining ? [] : feeder.plan(now);
    const claimNow = ++claimNo;
    const parts: Statement[][] = [
      doubtful.flatMap((number) => releaseClaims(claimedAs(options.owner, number), now)),
      finals.length > 0 ? settle(finals, [...batches], tallies, options.owner, now) : [],
      retries.length > 0 ? postpone(retries, options.owner) : [],
      [...progressOf(batches, now), ...halts.write(outcomes, halted, now)],
      ...feeds.map(({ statements }) => statements),
      claims.length > 0 ? claim(claims, options.owner, claimNow, now) : [],
    ];
    const statements = parts.flat();
    if (statements.length === 0) return;
    let results: ResultSet[];
    try {
      results = await writer.write(statements);
    } catch (error) {
      reported = [...outcomes, ...reported];
      if (claims.length > 0) doubtful.push(claimNow);
      throw error;
    }
    doubtful = [];
    inFlight.forget(outcomes, retries, ({ lane, model }) => book.add(lane, model));
    meterTurn(ctx.meters, calls, tallies);
    tellEnded(ctx, ended);
    if (finals.length > 0) signals.emit("settled", { tasks: outcomes.map(({ task }) => task) });
    for (const { at: due } of retries)
      if (due === null) isNudged = true;
      else armRetryTimer(due);
    let at = parts.slice(0, 4).flat().length;
    for (const { statements: part, commit } of feeds)
      commit(results.slice(at, (at += part.length)));
    if (claims.length > 0) begin(rowsOf<Claimed>(results.at(-1)), claims, claimNow);
    if (halted.size > 0) signals.emit("batch", undefined);
    if (outcomes.length > 0 || claims.length > 0) signals.emit("events", undefined);
    // What was fed can be claimed; where reports wait, with them.
    if (feeds.length > 0 && reported.length === 0) isNudged = true;
  }

  function planClaims(now: number): Promise<LaneClaim[]> {
    const lanes = book.loads();
    pacing.open(lanes, now);
    return pacing.fit(shareSlots(lanes, config.maxConcurrency), lanes);
  }

  /** Comes back when a pacer lets the next call start. */
  function armPaceTimer(): void {
    clearTimeout(paceTimer);
    const now = ctx.now();
    const at = isDraining ? Infinity : pacing.wakeAt(book.all(), now);
    if (at < Infinity) paceTimer = setTimeout(nudge, Math.min(at - now, LONGEST_TIMER_MS));
  }

  function begin(rows: Claimed[], claims: LaneClaim[], turnNo: number): void {
    const calls = rows.map((row) =>
      inFlight.begin(row, turnNo, book.laneOf(row.lane, row.model), pacing.begin(row)),
    );
    for (const { lane: batch, model, limit } of claims) {
      const lane = book.laneOf(batch, model);
      const got = rows.filter((row) => row.lane === batch && row.model === model).length;
      lane.lastServed = turnNo;
      lane.ready = got < limit && !lane.hasCap ? 0 : Math.max(0, lane.ready - got);
    }
    if (calls.length > 0) options.run(calls);
  }

  /** Tells of the batches' progress, of each at most every half second. */
  function progressOf(batches: Set<number>, now: number): Statement[] {
    const due = [...batches].filter(
      (seq) => now - (lastProgress.get(seq) ?? 0) >= PROGRESS_EVERY_MS,
    );
    for (const seq of due) lastProgress.set(seq, now);
    return due.length > 0 ? [reportProgress(due, now)] : [];
  }

  /** Reads what can be read about lanes: which batches run, what is ready, when the next retry is due. */
  async function sync(): Promise<void> {
    const results = await writer.write([
      wakeWaiting(ctx.now()),
      RUNNING_BATCHES,
      READY_LANES,
      NEXT_WAITING,
    ]);
    const running = rowsOf<RunningBatch>(results[1]);
    book.setLimits(running);
    book.learn(rowsOf<LaneReady>(results[2]), () => true);
    feeder.setBatches(running);
    const isRunning = new Set(running.map(({ seq }) => seq));
    for (const seq of lastProgress.keys()) if (!isRunning.has(seq)) lastProgress.delete(seq);
    const next = rowsOf<{ at: number | null }>(results[3])[0]?.at;
    if (next !== null && next !== undefined) armRetryTimer(next);
    nudge();
  }

  function syncSafely(): void {
    if (isDraining) return;
    sync().catch((error: unknown) => log.error("The queue could not be read: {error}", { error }));
  }

  let armedFor = Infinity;
  function armRetryTimer(at: number): void {
    if (at >= armedFor && armedFor > ctx.now()) return;
    clearTimeout(retryTimer);
    armedFor = at;
    retryTimer = setTimeout(
      () => {
        armedFor = Infinity;
        syncSafely();
      },
      Math.max(0, at - ctx.now()),
    );
  }

  return {
    async start() {
      isDraining = false;
      unsubscribe.push(
        signals.on("queued", ({ lane, model }) => {
          book.add(lane, model);
          nudge();
        }),
        signals.on("batch", syncSafely),
      );
      await sync();
      syncTimer = setInterval(syncSafely, ctx.isExclusive ? SYNC_MS.exclusive : SYNC_MS.shared);
    },
    async drain() {
      isDraining = true;
      clearInterval(syncTimer);
      clearTimeout(retryTimer);
      clearTimeout(paceTimer);
      for (const stop of unsubscribe) stop();
      if (isTurning || inFlight.size() > 0)
        await new Promise<void>((resolve) => (onIdle = resolve));
    },
    report(outcomes) {
      inFlight.end(outcomes, pacing.end);
      reported.push(...outcomes);
      const now = performance.now();
      lingersSince ??= now;
      clearTimeout(lingerTimer);
      const left = LINGER_MS - (now - lingersSince);
      if (reported.length >= book.inFlight() || left <= 0) nudge();
      else lingerTimer = setTimeout(nudge, Math.min(QUIET_MS, left));
    },
    async handBack() {
      await writer.write(releaseClaims({ where: "q.owner = ?", args: [options.owner] }, ctx.now()));
      inFlight.clear();
    },
    inFlight: inFlight.size,
    waitingOf: (batch) => pacing.waitingOf(book.all(), batch, ctx.now()),
    waits: () => pacing.waits(ctx.now()),
  };
}

function claimedAs(owner: number, number: number) {
  return { where: "q.owner = ? AND q.claim = ?", args: [owner, number] };
}
