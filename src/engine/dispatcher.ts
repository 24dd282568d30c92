import { getLogger } from "@logtape/logtape";

import type { Context, ProviderLive, Waiting } from "../context.ts";
import { createLoop, type More, type Trouble } from "../lib/loop.ts";
import { sharedSteadyNow } from "../services/time.ts";
import type { Claimed, ClaimedRow, LaneClaim } from "../store/claim.ts";
import { postpone } from "../store/postpone.ts";
import type { QueueState } from "../store/queue-state.ts";
import { handBack } from "../store/release.ts";
import { announceEnded } from "./announce.ts";
import { createChecking } from "./checking.ts";
import { isPastFlex, leavingFlex, toCall, toCalled } from "./claimed-run.ts";
import { createClaiming } from "./claiming.ts";
import { createFeeder } from "./feeder.ts";
import { createInFlight } from "./in-flight.ts";
import { createLaneBook } from "./lane-book.ts";
import { createLinger, sharedWindow } from "./linger.ts";
import { createLostWatch } from "./lost.ts";
import { meterTurn } from "./meter.ts";
import type { Called, Outcome } from "./outcome.ts";
import { createPlanning, MOST_CLAIMED } from "./planning.ts";
import type { Call, Report } from "./protocol.ts";
import { createQueueWatch, RETRY } from "./queue-watch.ts";
import { createReuse } from "./reuse.ts";
import { createSettlement, type Settled } from "./settlement.ts";
import { createTexts } from "./texts.ts";
import { createUpstreams, type Upstreams } from "./upstreams.ts";

export type Dispatcher = {
  /** Starts claiming work. */
  start(): Promise<void>;
  /** Stops claiming; resolves when nothing is in flight and everything reported is committed. */
  drain(): Promise<void>;
  /** Takes the reports of worker threads. */
  report(reports: Report[]): void;
  /** Releases what is still claimed, so that it runs elsewhere or after a restart. */
  handBack(): Promise<void>;
  inFlight(): number;
  /** What keeps it from its work, if anything does. */
  trouble(): Trouble | null;
  /** How many runs it holds, including those that wait for the answer of another run. */
  remembered(): number;
  /** Why a batch waits, as far as this process knows. */
  waitingOf(batch: number): Waiting | null;
  /** The providers as this process sees them, in the order of the configuration. */
  providers(): ProviderLive[];
  /** The routes to providers, which live calls use, too. */
  upstreams: Upstreams;
  /** There may be room for more calls. */
  nudge(): void;
};

export type DispatcherOptions = {
  /** The number of this process, once it is started. */
  owner: () => number;
  /** Whether other nodes consider this process alive, and have done so since a monotonic time. */
  isAlive: (since?: number) => boolean;
  run: (calls: Call[]) => void;
  /** Aborts the calls of tasks that were cancelled or deleted. */
  abort: (tasks: number[]) => void;
  /** Called with the results of calls, including those of cancelled tasks. */
  onCalled: (calls: Called[]) => void;
  /** Called when a provider whose calls failed does not answer a probe either. */
  onProbeFailed: (provider: string, why: string) => void;
};

/** The weight of the latest call or commit in the moving averages of their durations. */
const LEARNING = 1 / 32;

/*
 * The dispatcher works in turns; one runs at a time. A turn settles what has been reported
 * (`settlement.ts`), feeds batches that run low, gives the free slots to lanes, and claims for them;
 * then it sends the claimed calls to the worker threads. Settling and claiming are two units that
 * share a commit, so that each continues if the database refuses the other.
 *
 *   idle     nothing is reported, and no slot can be used. Left by `nudge`: a report, a hint that
 *            work was queued, a read of the queue; and when a pacer lets the next call start.
 *   turning  a commit is in progress. Nudges that come meanwhile lead to another turn.
 *   failing  something could not be committed; those outcomes are kept and the turn is tried again.
 *            If it is unknown whether claims were made, the next turn releases those that this process
 *            does not know; so does a turn every few seconds on a shared database, where a claim may
 *            take effect late.
 *   draining as before, but no claims; ends when nothing is in flight.
 *
 * Beside it `queue-watch.ts` reads the queue.
 */
export function createDispatcher(ctx: Context, options: DispatcherOptions): Dispatcher {
  const log = getLogger(["gptrunner", "dispatcher"]);
  const { config, writer, signals } = ctx;
  const book = createLaneBook(config.maxConcurrency);
  const feeder = createFeeder(book, ctx.chunks.feed);
  const inFlight = createInFlight(config, ctx.random);
  const upstreams = createUpstreams(ctx, (unreachable) => {
    if (unreachable) options.onProbeFailed(unreachable.provider, unreachable.why);
    nudge();
  });
  const texts = createTexts(ctx);
  const planning = createPlanning(ctx, { book, upstreams, texts, nudge });
  const { pacing } = planning;
  const reuse = createReuse(ctx);
  const linger = createLinger(
    nudge,
    ctx.clock,
    ctx.isExclusive ? undefined : () => sharedWindow(callMs, commitMs),
  );
  const takeAnswers = createChecking(ctx, { known: inFlight.has, end });
  const settlement = createSettlement(ctx, {
    owner: options.owner,
    decide(outcomes) {
      const now = ctx.clock.steady();
      return inFlight.decide(outcomes, (model) => upstreams.hasOther(model, now), queueTime());
    },
    mayBeLimited: book.mayBeLimited,
    onSettled,
  });
  const claiming = createClaiming(ctx, {
    owner: options.owner,
    isAlive: options.isAlive,
    texts,
    known: inFlight.claims,
    hints: () => hints,
    onClaimed: noteClaimed,
    begin,
  });
  const turns = createLoop({
    log,
    complaint: "The results of running tasks could not be saved, or no task could be claimed",
    clock: ctx.clock,
    work: turn,
    ...RETRY,
  });
  const looks = createQueueWatch(ctx, { now: queueTime, onRead: learn });
  const lost = createLostWatch(ctx, {
    owner: options.owner,
    known: inFlight.claims,
    onLost(claims) {
      // A task that this process has claimed again meanwhile keeps its call.
      const pointless = claims.filter(({ task, claim }) => inFlight.isNewest(task, claim));
      const tasks = pointless.map(({ task }) => task);
      options.abort(tasks);
      take(reuse.abandon(tasks));
    },
  });
  const unsubscribe: (() => void)[] = [];
  let reported: Outcome[] = [];
  let isDraining = true;
  /** How many hints have come that claims were ended, here or at other processes. */
  let hints = 0;
  /** Moving averages of the durations of calls and of commits. */
  let callMs = 0;
  let commitMs = 0;
  let onTurn: (() => void) | undefined;

  function nudge(): void {
    turns.nudge();
  }

  /** The steady clock by which retries come due; on a shared database the same for all its nodes. */
  function queueTime(): number {
    return sharedSteadyNow(ctx);
  }

  async function turn(): Promise<More | void> {
    // This turn commits everything that is reported by now.
    linger.end();
    const begun = ctx.clock.monotonic();
    await commitTurn();
    commitMs += (ctx.clock.monotonic() - begun - commitMs) * LEARNING;
    onTurn?.();
    if (isDraining) return;
    const now = ctx.clock.steady();
    return { inMs: pacing.wakeAt(book.all(), now) - now };
  }

  async function commitTurn(): Promise<void> {
    const errors: unknown[] = [];
    const note = (error: unknown): [] => {
      errors.push(error);
      return [];
    };
    const claims =
      isDraining || !options.isAlive() ? [] : await planning.claims(ctx.clock.steady()).catch(note);
    const wanted = claims.reduce((sum, { limit }) => sum + limit, 0);
    if (wanted >= MOST_CLAIMED) nudge();
    const outcomes = reported;
    reported = [];
    // Written in the same round of the event loop, so that both share a commit, unless the database refuses one of
    // them.
    const settling = settlement.commit(outcomes);
    const feeding = isDraining
      ? undefined
      : feeder.plan({ now: ctx.clock.now(), steadyNow: queueTime() });
    const heard = hints;
    const claimed = claiming.claim(claims, feeding).catch(note);
    const unsettled = await settling;
    reported = [...unsettled.flatMap((left) => left.outcomes), ...reported];
    await claimed;
    // A hint finds no claim whose answer is still on its way.
    if (hints > heard) lost.nudge();
    // Fed tasks can be claimed; if reports wait, together with them.
    if (feeding && reported.length === 0) turns.nudge();
    if (outcomes.length > 0 || claims.length > 0) signals.emit("events", undefined);
    const [error] = [...unsettled.map((left) => left.error), ...errors];
    if (error !== undefined) throw error;
  }

  /** Handles the commit of a part of the reported outcomes. */
  function onSettled({ outcomes, finals, tallies, calls, ended, retries, halts }: Settled): void {
    const waiting = reuse.settled(outcomes);
    inFlight.forget(outcomes, retries, book.add);
    if (planning.learn(outcomes)) nudge();
    meterTurn(ctx.meters, calls, tallies);
    announceEnded(ctx, ended);
    if (finals.length > 0)
      signals.emit("settled", { tasks: outcomes.map(({ run }) => run.row.task) });
    for (const { at: due } of retries)
      if (due === null) turns.nudge();
      else looks.nudge(Math.max(0, due - queueTime()));
    inFlight.paused(halts.keys());
    if (halts.size > 0) signals.emit("batch", undefined);
    take(waiting);
  }

  function noteClaimed(rows: ClaimedRow[], claims: LaneClaim[], claimNo: number): void {
    const got = Map.groupBy(rows, ({ lane, laneName }) => book.laneOf(lane, laneName));
    for (const wanted of claims) {
      const { length } = got.get(book.laneOf(wanted.lane, wanted.model)) ?? [];
      if (book.served(wanted, length, claimNo)) nudge();
    }
  }

  function begin(rows: Claimed[], number: number): void {
    const now = queueTime();
    const reused: Outcome[] = [];
    const calls = rows.flatMap((row) => {
      const lane = book.laneOf(row.lane, row.laneName);
      const run = inFlight.begin(row, number, lane);
      const found = isPastFlex(row, now) ? leavingFlex(run) : reuse.begin(run);
      if (typeof found === "object") reused.push(found);
      run.paced = found === "call" ? pacing.begin(row, lane) : pacing.pass(row);
      return found === "call" ? toCall(run, config) : [];
    });
    if (calls.length > 0) options.run(calls);
    take(reused);
  }

  /** Handles reports. Those of calls that this process has handed back are ignored. */
  function report(reports: Report[]): void {
    takeAnswers(
      reports.flatMap((report) => {
        const run = inFlight.find(report.task, report.claim);
        return run ? { called: toCalled(run, report, config), text: report.text } : [];
      }),
    );
  }

  function end(calls: Called[]): void {
    if (calls.length === 0) return;
    for (const { run, final } of calls)
      callMs += (final.at - run.row.claimedAt - callMs) * LEARNING;
    options.onCalled(calls);
    take(reuse.withFollowers(calls));
  }

  /** Collects outcomes, which are committed soon, together with others. */
  function take(outcomes: Outcome[]): void {
    if (outcomes.length === 0) return;
    inFlight.end(outcomes, pacing.end);
    reported.push(...outcomes);
    if (reported.length >= inFlight.calls()) nudge();
    else linger.on();
  }

  function learn({ running, ready }: QueueState): void {
    book.setLimits(running);
    book.learn(ready);
    feeder.setBatches(running);
    settlement.keepOnly(new Set(running.map(({ seq }) => seq)));
    nudge();
  }

  /** Whether all that was claimed is settled or handed back. */
  const isSettled = () => inFlight.size() === 0 && !claiming.isDoubtful();

  return {
    async start() {
      isDraining = false;
      turns.start();
      looks.start();
      lost.start();
      unsubscribe.push(
        signals.on("queued", ({ lane, model }) => {
          book.add(lane, model);
          nudge();
        }),
        signals.on("batch", () => looks.nudge()),
        signals.on("abandoned", ({ tasks }) => {
          hints++;
          take(reuse.abandon(tasks));
        }),
        signals.on("lost", () => {
          hints++;
          lost.nudge();
        }),
      );
      await looks.look();
    },
    async drain() {
      isDraining = true;
      for (const stop of unsubscribe) stop();
      await Promise.all([looks.stop(), lost.stop()]);
      // The current turn may still claim.
      await turns.look();
      while (!isSettled()) await new Promise<void>((resolve) => (onTurn = resolve));
      await turns.stop();
    },
    report,
    async handBack() {
      await turns.stop();
      // Outcomes that were reported since the last turn need no second call.
      const unsettled = await settlement.commit(reported);
      reported = unsettled.flatMap((left) => left.outcomes);
      const mine = { where: "q.owner = ?", args: [options.owner()] };
      await writer.write({
        postponed: postpone(reuse.handBack(), options.owner(), ctx.clock.now()),
        released: handBack(mine, ctx.clock.now()),
      });
      inFlight.clear();
    },
    inFlight: inFlight.size,
    trouble: () => turns.trouble() ?? looks.trouble(),
    remembered: () => inFlight.size() + reuse.size() + reported.length,
    upstreams,
    nudge,
    providers: () => upstreams.live(ctx.clock.steady()),
    waitingOf: (batch) => pacing.waitingOf(book.of(batch), ctx.clock.steady()),
  };
}
