import type { ResultSet } from "@libsql/client";
import { getLogger } from "@logtape/logtape";

import type { Context, ProviderLive, Waiting } from "../context.ts";
import type { Statement } from "../db/writer.ts";
import { shareSlots } from "../domain/lanes.ts";
import { createAlarm } from "../lib/alarm.ts";
import type { Cancel } from "../lib/clock.ts";
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
import { postpone, settle } from "../store/settle.ts";
import { createFeeder } from "./feeder.ts";
import { createHalts } from "./halts.ts";
import { createInFlight } from "./in-flight.ts";
import { createLaneBook } from "./lane-book.ts";
import { createLinger } from "./linger.ts";
import { meterTurn } from "./meter.ts";
import { createPacing } from "./pacing.ts";
import { createProgress } from "./progress.ts";
import type { Call, Outcome } from "./protocol.ts";
import { createReuse } from "./reuse.ts";
import { tellEnded } from "./tell.ts";
import { createUpstreams } from "./upstreams.ts";

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
  /** The providers as this process sees them, in the order of the configuration. */
  providers(): ProviderLive[];
};

export type DispatcherOptions = {
  owner: number;
  run: (calls: Call[]) => void;
  /** A provider whose calls failed did not answer a probe either. */
  onProbeFailed: (provider: string, why: string) => void;
};

/** Backstop for lost hints, and on a shared database the way to hear of others' work. */
const SYNC_MS = { exclusive: 2000, shared: 300 };
const RETRY_COMMIT_MS = 250;

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
  const inFlight = createInFlight(config, ctx.random);
  const upstreams = createUpstreams(ctx, (unreachable) => {
    if (unreachable) options.onProbeFailed(unreachable.provider, unreachable.why);
    nudge();
  });
  const pacing = createPacing(ctx, upstreams);
  const reuse = createReuse(ctx);
  const halts = createHalts();
  const linger = createLinger(nudge, ctx.clock);
  const progress = createProgress();
  /** Wake the dispatcher when a retry comes due, and when a pacer lets the next call start. */
  const retryAlarm = createAlarm(syncSafely, ctx.clock);
  const paceAlarm = createAlarm(nudge, ctx.clock);
  const unsubscribe: (() => void)[] = [];
  let reported: Outcome[] = [];
  let doubtful: number[] = [];
  let claimNo = 0;
  let isTurning = false;
  let isNudged = false;
  let isDraining = true;
  let onIdle: (() => void) | undefined;
  let cancelSync: Cancel | undefined;

  function nudge(): void {
    linger.end();
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
        await ctx.clock.sleep(RETRY_COMMIT_MS);
        isNudged = true;
      }
    }
    isTurning = false;
    if (!isDraining) paceAlarm.set(pacing.wakeAt(book.all(), ctx.clock.now()));
    if (isDraining && inFlight.size() === 0) onIdle?.();
  }

  async function commitTurn(): Promise<void> {
    const now = ctx.clock.now();
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
    } = inFlight.decide(outcomes, (model) => upstreams.hasOther(model, now), now);
    const feeds = isDraining ? [] : feeder.plan(now);
    const claimNow = ++claimNo;
    const parts: Statement[][] = [
      doubtful.flatMap((number) => releaseClaims(claimedAs(options.owner, number), now)),
      finals.length > 0 ? settle(finals, [...batches], tallies, options.owner, now) : [],
      retries.length > 0 ? postpone(retries, options.owner) : [],
      [...progress.of(batches, now), ...halts.write(outcomes, halted, now)],
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
    reuse.settled(outcomes);
    inFlight.forget(outcomes, retries, ({ lane, model }) => book.add(lane, model));
    meterTurn(ctx.meters, calls, tallies);
    tellEnded(ctx, ended);
    if (finals.length > 0) signals.emit("settled", { tasks: outcomes.map(({ task }) => task) });
    for (const { at: due } of retries)
      if (due === null) isNudged = true;
      else retryAlarm.noLaterThan(due);
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

  function begin(rows: Claimed[], claims: LaneClaim[], turnNo: number): void {
    const reused: Outcome[] = [];
    const calls = rows.flatMap((row) => {
      const lane = book.laneOf(row.lane, row.model);
      const found = reuse.begin(row, turnNo);
      const paced = found === "call" ? pacing.begin(row, lane) : pacing.pass(row);
      const call = inFlight.begin(row, turnNo, lane, paced);
      if (typeof found === "object") reused.push(found);
      return found === "call" ? call : [];
    });
    for (const { lane: batch, model, limit } of claims) {
      const lane = book.laneOf(batch, model);
      const got = rows.filter((row) => row.lane === batch && row.model === model).length;
      lane.lastServed = turnNo;
      lane.ready = got < limit && !lane.hasCap ? 0 : Math.max(0, lane.ready - got);
    }
    if (calls.length > 0) options.run(calls);
    report(reused);
  }

  /** Takes what ended or was put back; soon it is committed, with what else is by then. */
  function report(outcomes: Outcome[]): void {
    if (outcomes.length === 0) return;
    inFlight.end(outcomes, pacing.end);
    reported.push(...outcomes);
    if (reported.length >= book.inFlight()) nudge();
    else linger.on();
  }

  /** Reads what can be read about lanes: which batches run, what is ready, when the next retry is due. */
  async function sync(): Promise<void> {
    const results = await writer.write([
      wakeWaiting(ctx.clock.now()),
      RUNNING_BATCHES,
      READY_LANES,
      NEXT_WAITING,
    ]);
    const running = rowsOf<RunningBatch>(results[1]);
    book.setLimits(running);
    book.learn(rowsOf<LaneReady>(results[2]), () => true);
    feeder.setBatches(running);
    progress.keepOnly(new Set(running.map(({ seq }) => seq)));
    const next = rowsOf<{ at: number | null }>(results[3])[0]?.at;
    if (next !== null && next !== undefined) retryAlarm.noLaterThan(next);
    nudge();
  }

  function syncSafely(): void {
    if (isDraining) return;
    sync().catch((error: unknown) => log.error("The queue could not be read: {error}", { error }));
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
        signals.on("abandoned", ({ tasks }) => report(reuse.abandon(tasks))),
      );
      await sync();
      cancelSync = ctx.clock.setInterval(
        syncSafely,
        ctx.isExclusive ? SYNC_MS.exclusive : SYNC_MS.shared,
      );
    },
    async drain() {
      isDraining = true;
      cancelSync?.();
      retryAlarm.clear();
      paceAlarm.clear();
      for (const stop of unsubscribe) stop();
      if (isTurning || inFlight.size() > 0)
        await new Promise<void>((resolve) => (onIdle = resolve));
    },
    report: (outcomes) => report(reuse.withFollowers(outcomes)),
    async handBack() {
      await writer.write([
        ...postpone(reuse.handBack(), options.owner),
        ...releaseClaims({ where: "q.owner = ?", args: [options.owner] }, ctx.clock.now()),
      ]);
      inFlight.clear();
    },
    inFlight: inFlight.size,
    providers: () => upstreams.live(ctx.clock.now()),
    waitingOf: (batch) => pacing.waitingOf(book.all(), batch, ctx.clock.now()),
  };
}

function claimedAs(owner: number, number: number) {
  return { where: "q.owner = ? AND q.claim = ?", args: [owner, number] };
}
