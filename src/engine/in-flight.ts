import type { Config } from "../config.ts";
import { isSingle } from "../domain/batch.ts";
import { afterFailure, type Halt, isHalt, isWaiting, MOST_REFUSALS } from "../domain/failure.ts";
import type { Claimed } from "../store/claim.ts";
import type { Retry } from "../store/postpone.ts";
import type { Tally } from "../store/rollups.ts";
import type { Final } from "../store/settle.ts";
import type { Ended } from "./announce.ts";
import { calledModel, type ClaimedRun, isFlex, isPastFlex } from "./claimed-run.ts";
import type { Lane } from "./lane-book.ts";
import { askAgain, laneAfter, logEntry, spentBy } from "./next-call.ts";
import type { Called, Outcome } from "./outcome.ts";
import type { Paced } from "./pacing.ts";
import { type CallCount, createTally } from "./tally.ts";

/** The decisions about a set of outcomes, for the store to write. */
export type Decisions = {
  finals: Final[];
  tallies: Tally[];
  calls: CallCount[];
  ended: Ended[];
  retries: Retry[];
  batches: Set<number>;
  /** Batches that cannot go on, with the cause. */
  halts: Map<number, Halt>;
};

const PAUSES_REMEMBERED = 1000;

/**
 * The claimed runs of this process, from the claim to the committed settlement. A run frees its slot when its end is
 * reported; its data are kept until its settlement is committed.
 */
export function createInFlight(
  config: Pick<Config, "maxRetries" | "retryBaseMs" | "retryMaxMs">,
  random: () => number,
) {
  const runs = createRuns();
  let newestClaim = 0;
  /** The newest claim of each batch when it was last paused: after a resume, a refusal of an earlier call says nothing new. */
  const pausedAt = new Map<number, number>();
  /** Runs that hold a slot. */
  let calls = 0;

  return {
    /** Adds a claimed run. */
    begin(row: Claimed, claim: number, lane: Lane): ClaimedRun {
      const policy = {
        maxRetries: row.maxRetries ?? config.maxRetries,
        baseMs: config.retryBaseMs,
        maxMs: config.retryMaxMs,
      };
      const run: ClaimedRun = { row, claim, lane, policy, paced: null, hasEnded: false };
      lane.inFlight++;
      newestClaim = Math.max(newestClaim, claim);
      calls++;
      runs.add(run);
      return run;
    },

    find: runs.get,
    has: runs.has,

    /** Whether this is the newest claim of the task. */
    isNewest(task: number, claim: number): boolean {
      const run = runs.get(task, claim);
      return run !== undefined && runs.isNewest(run);
    },

    /** Frees the slots of ended runs, and calls `settle` for their pacers. */
    end(outcomes: Outcome[], settle: (paced: Paced, called: Called) => void): void {
      for (const outcome of outcomes) {
        const { run } = outcome;
        if (!runs.has(run) || run.hasEnded) continue;
        run.hasEnded = true;
        run.lane.inFlight--;
        calls--;
        if (outcome.kind === "called" && run.paced) settle(run.paced, outcome);
      }
    },

    /**
     * Decides what follows each outcome. Outcomes of runs that this process no longer owns, or whose task was claimed
     * again, are ignored. `hasOther` says whether calls for a model can go to another provider.
     */
    decide(outcomes: Outcome[], hasOther: (model: string) => boolean, now: number): Decisions {
      const decisions: Omit<Decisions, "tallies" | "calls"> = {
        finals: [],
        ended: [],
        retries: [],
        batches: new Set(),
        halts: new Map(),
      };
      const tally = createTally();
      for (const outcome of outcomes) {
        const { run } = outcome;
        if (!runs.isNewest(run)) continue;
        if (outcome.kind === "putBack") {
          decisions.retries.push({ ...putOff(run), ...(outcome.leavesFlex && { x: 1 }) });
          continue;
        }
        decisions.batches.add(run.row.batch);
        if (outcome.kind === "called") tally.addCall(outcome, calledModel(run));
        const retry =
          outcome.kind === "called"
            ? (retryOf(outcome, decisions.halts, hasOther, now) ?? askAgain(outcome))
            : null;
        decisions.ended.push({ outcome, isFinal: retry === null });
        if (retry) decisions.retries.push(retry);
        else {
          decisions.finals.push(outcome.final);
          tally.add(outcome.final, run.row);
        }
      }
      return { ...decisions, tallies: tally.tallies(), calls: tally.calls() };
    },

    /**
     * Removes these runs after their settlement was committed; announces the requeued ones, which are ready again.
     */
    forget(
      outcomes: Outcome[],
      retries: Retry[],
      onReady: (lane: number, laneName: string) => void,
    ): void {
      for (const retry of retries) {
        const run = runs.get(retry.t, retry.c);
        if (run && retry.f === 0) onReady(run.lane.lane, laneAfter(run, retry));
      }
      for (const { run } of outcomes) runs.delete(run);
    },

    /** Notes that the pause of these batches is committed. */
    paused(batches: Iterable<number>): void {
      for (const seq of batches) {
        pausedAt.delete(seq);
        pausedAt.set(seq, newestClaim);
      }
      const [oldest] = pausedAt.keys();
      if (pausedAt.size > PAUSES_REMEMBERED && oldest !== undefined) pausedAt.delete(oldest);
    },

    /** The claims of which this process knows. */
    claims: runs.claims,
    clear: runs.clear,
    size: runs.size,
    /** Runs that hold a slot: their end was not reported yet. */
    calls: () => calls,
  };

  /**
   * The retry after a failed call, or `null` if the run ends. If the provider refuses all calls and there is no other
   * provider, the batch is added to `halts`.
   */
  function retryOf(
    called: Called,
    halts: Map<number, Halt>,
    hasOther: (model: string) => boolean,
    now: number,
  ): Retry | null {
    const { run, failure } = called;
    if (!failure) return null;
    const { lane } = run.lane;
    if (isHalt(failure.cause)) {
      const goesElsewhere = hasOther(run.row.model);
      const isNews = run.claim > (pausedAt.get(lane) ?? 0);
      if (!goesElsewhere && !isSingle(lane) && isNews) halts.set(lane, failure.cause);
      if (goesElsewhere || !isSingle(lane))
        return putOff(run, logEntry(called, failure, "throttled"));
    }
    const { row, policy, paced } = run;
    if (isFlex(run) && isWaiting(failure.cause) && !waitsForFlex(row, now))
      return { ...putOff(run, logEntry(called, failure, "throttled")), x: 1 };
    const next = afterFailure(failure, row.failures + 1, policy, now, random, {
      earlier: row.earlier,
      trial: !paced?.isTrial ? "none" : hasOther(row.model) ? "beside others" : "only way",
    });
    if (next.kind === "fail") return null;
    const entry = logEntry(called, failure, next.kind === "wait" ? "throttled" : "failed");
    // A failed call may still have used tokens.
    const spent = spentBy(called);
    if (next.kind === "wait") return { ...putOff(run, entry), ...spent };
    return { t: row.task, c: run.claim, f: 1, at: next.at, entry, ...spent };
  }
}

/** Whether a run that was refused may go on waiting for the flex tier. */
function waitsForFlex(row: Claimed, now: number): boolean {
  return !isPastFlex(row, now) && row.earlier + 1 < MOST_REFUSALS;
}

/** Requeues a run at once, as if it had not been tried. */
function putOff({ row, claim }: ClaimedRun, entry?: Record<string, unknown>): Retry {
  return { t: row.task, c: claim, f: 0, at: null, ...(entry && { entry }) };
}

/**
 * Runs by claim, then task: a task may be claimed again before its cancelled call has ended. Two lookups by number
 * take an eighth of the time of one by a combined string.
 */
function createRuns() {
  const byClaim = new Map<number, Map<number, ClaimedRun>>();
  const newest = new Map<number, ClaimedRun>();
  let size = 0;
  const get = (task: number, claim: number) => byClaim.get(claim)?.get(task);
  return {
    get,
    has: (run: ClaimedRun) => get(run.row.task, run.claim) === run,
    isNewest: (run: ClaimedRun) => newest.get(run.row.task) === run,
    add(run: ClaimedRun): void {
      let tasks = byClaim.get(run.claim);
      if (!tasks) byClaim.set(run.claim, (tasks = new Map()));
      tasks.set(run.row.task, run);
      newest.set(run.row.task, run);
      size++;
    },
    delete(run: ClaimedRun): void {
      const { row, claim } = run;
      const tasks = byClaim.get(claim);
      if (!tasks?.delete(row.task)) return;
      if (newest.get(row.task) === run) newest.delete(row.task);
      size--;
      if (tasks.size === 0) byClaim.delete(claim);
    },
    claims: (): [task: number, claim: number][] =>
      [...byClaim].flatMap(([claim, tasks]) =>
        [...tasks.keys()].map((task): [number, number] => [task, claim]),
      ),
    clear(): void {
      byClaim.clear();
      newest.clear();
      size = 0;
    },
    size: () => size,
  };
}
