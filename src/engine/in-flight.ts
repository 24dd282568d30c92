import type { Config } from "../config.ts";
import { SINGLE_TASKS } from "../domain/batch.ts";
import {
  afterFailure,
  CAUSES,
  type Failure,
  type Halt,
  isHalt,
  type RetryPolicy,
} from "../domain/failure.ts";
import { withModel } from "../domain/request.ts";
import type { Claimed } from "../store/queue.ts";
import type { Tally } from "../store/rollups.ts";
import type { Final, Retry } from "../store/settle.ts";
import type { Lane } from "./lane-book.ts";
import type { Paced } from "./pacing.ts";
import type { Call, Outcome } from "./protocol.ts";
import { type CallCount, createTally, type RunFacts } from "./tally.ts";
import type { Ended } from "./tell.ts";

type InFlight = {
  lane: Lane;
  paced: Paced | null;
  batch: number;
  failures: number;
  earlier: number;
  /** The model that is called. */
  called: string;
  policy: RetryPolicy;
  run: RunFacts;
  hasEnded: boolean;
};

/** What follows a set of reported calls, for the store to write. */
export type Decisions = {
  finals: Final[];
  tallies: Tally[];
  calls: CallCount[];
  ended: Ended[];
  retries: Retry[];
  batches: Set<number>;
  /** Batches that can go on no more, with the cause. */
  halts: Map<number, Halt>;
};

/**
 * The calls of this process, from claim to committed settlement. A call frees its slot when it is
 * reported; what is known of it is kept until its settlement is committed.
 */
export function createInFlight(
  config: Pick<Config, "maxRetries" | "retryBaseMs" | "retryMaxMs" | "requestTimeoutMs">,
  random: () => number,
) {
  const calls = createCalls();

  return {
    /** Takes a claimed run on and returns the call to be made for it. */
    begin(row: Claimed, claim: number, lane: Lane, paced: Paced | null): Call {
      const upstream = paced?.upstream;
      const called = upstream?.model ?? row.model;
      lane.inFlight++;
      calls.set(row.task, claim, {
        lane,
        paced,
        batch: row.batch,
        failures: row.failures,
        earlier: row.earlier,
        called,
        policy: {
          maxRetries: row.maxRetries ?? config.maxRetries,
          baseMs: config.retryBaseMs,
          maxMs: config.retryMaxMs,
        },
        run: {
          model: row.model,
          apiKey: row.apiKey,
          isDryRun: row.isDryRun === 1,
          queuedAt: row.queuedAt,
          startedAt: row.startedAt,
          attempt: row.attempt,
          run: row.run,
          claimedAt: row.claimedAt,
          endpoint: row.endpoint,
          trace: row.trace,
        },
        hasEnded: false,
      });
      return {
        task: row.task,
        claim,
        model: called,
        fallbackFrom: called === row.model ? null : row.model,
        provider: upstream?.site.index ?? 0,
        key: upstream?.account.key ?? 0,
        endpoint: row.endpoint,
        body: called === row.model ? row.body : withModel(row.body, called),
        timeoutMs: row.timeoutMs ?? config.requestTimeoutMs,
        isDryRun: row.isDryRun === 1,
        isUrgent: row.lane === SINGLE_TASKS,
        cacheKey: row.cacheKey,
      };
    },

    /** Frees the slots of calls that ended, and tells `settle` what their pacers should know. */
    end(outcomes: Outcome[], settle: (paced: Paced, outcome: Outcome) => void): void {
      for (const outcome of outcomes) {
        const call = calls.get(outcome.task, outcome.claim);
        if (!call || call.hasEnded) continue;
        call.hasEnded = true;
        call.lane.inFlight--;
        if (call.paced) settle(call.paced, outcome);
      }
    },

    /**
     * Decides what follows each call; reports of calls that are not ours count for nothing. `hasOther`
     * tells whether calls for a model can be made elsewhere.
     */
    decide(outcomes: Outcome[], hasOther: (model: string) => boolean, now: number): Decisions {
      const decisions: Omit<Decisions, "tallies" | "calls" | "ended"> = {
        finals: [],
        retries: [],
        batches: new Set(),
        halts: new Map(),
      };
      const tally = createTally();
      const ended: Ended[] = [];
      for (const outcome of outcomes) {
        const call = calls.get(outcome.task, outcome.claim);
        if (!call) continue;
        const { failure, task: t, claim: c } = outcome;
        if (outcome.instead === "put_back") {
          decisions.retries.push({ t, c, f: 0, at: null });
          continue;
        }
        decisions.batches.add(call.batch);
        if (!outcome.instead) tally.addCall(outcome, call.called);
        const goesElsewhere = isHalt(failure?.cause) && hasOther(call.run.model);
        if (isHalt(failure?.cause) && (goesElsewhere || call.lane.lane !== SINGLE_TASKS)) {
          if (!goesElsewhere) decisions.halts.set(call.lane.lane, failure.cause);
          decisions.retries.push({ t, c, f: 0, at: null, entry: logEntry(outcome, "throttled") });
          ended.push({ outcome, run: call.run, isFinal: false });
          continue;
        }
        const next = failure && whatFollows(call, failure, now, random);
        const isFinal = next === null || next.kind === "fail";
        ended.push({ outcome, run: call.run, isFinal });
        if (next?.kind === "retry")
          decisions.retries.push({ t, c, f: 1, at: next.at, entry: logEntry(outcome, "failed") });
        else if (next?.kind === "wait")
          decisions.retries.push({ t, c, f: 0, at: null, entry: logEntry(outcome, "throttled") });
        else {
          decisions.finals.push(outcome.final);
          tally.add(outcome.final, call.run);
        }
      }
      return { ...decisions, tallies: tally.tallies(), calls: tally.calls(), ended };
    },

    /** The settlement of these calls is committed; tells of those that were put off, which are ready again. */
    forget(outcomes: Outcome[], retries: Retry[], onReady: (lane: Lane) => void): void {
      for (const { t: task, c: claim, f } of retries) {
        const call = calls.get(task, claim);
        if (call && f === 0) onReady(call.lane);
      }
      for (const { task, claim } of outcomes) calls.delete(task, claim);
    },

    clear: calls.clear,
    size: calls.size,
  };
}

function whatFollows(call: InFlight, failure: Failure, now: number, random: () => number) {
  const { failures, earlier, policy, paced } = call;
  const isTrial = paced?.isTrial === true;
  return afterFailure(failure, failures + 1, policy, now, random, { earlier, isTrial });
}

/**
 * Calls by claim, then task: a task may be claimed again while its cancelled call has not ended. Two
 * numbers are looked up in an eighth of the time that one text made of them takes.
 */
function createCalls() {
  const byClaim = new Map<number, Map<number, InFlight>>();
  let size = 0;
  return {
    get: (task: number, claim: number) => byClaim.get(claim)?.get(task),
    set(task: number, claim: number, call: InFlight): void {
      let tasks = byClaim.get(claim);
      if (!tasks) byClaim.set(claim, (tasks = new Map()));
      tasks.set(task, call);
      size++;
    },
    delete(task: number, claim: number): void {
      const tasks = byClaim.get(claim);
      if (!tasks?.delete(task)) return;
      size--;
      if (tasks.size === 0) byClaim.delete(claim);
    },
    clear(): void {
      byClaim.clear();
      size = 0;
    },
    size: () => size,
  };
}

/** How a failed attempt is kept in its run's log; the store adds its number and start. */
function logEntry(
  { failure, final }: Outcome,
  outcome: "failed" | "throttled",
): Record<string, unknown> {
  if (!failure) return { outcome: "completed", endedAt: final.at };
  const { cause, message, providerStatus, requestId } = failure;
  return {
    outcome,
    endedAt: final.at,
    cause,
    code: CAUSES[cause].code,
    message,
    providerStatus,
    requestId,
    provider: final.provider,
    model: final.model,
  };
}
