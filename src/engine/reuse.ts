import type { Context } from "../context.ts";
import { readAnswer } from "../domain/answer.ts";
import { nextAsk } from "../domain/ask-again.ts";
import { CAUSES, isHalt } from "../domain/failure.ts";
import { standInOf } from "../domain/provider.ts";
import { parseJson } from "../lib/json.ts";
import type { Claimed } from "../store/claim.ts";
import type { Retry } from "../store/postpone.ts";
import type { Final } from "../store/settle.ts";
import { type ClaimedRun, escalatedFrom } from "./claimed-run.ts";
import { asksAgain } from "./next-call.ts";
import type { Called, Outcome, PutBack, Reused } from "./outcome.ts";

/** The parts of an answer that others can reuse. */
type Known = Pick<
  Final,
  "provider" | "model" | "fallbackFrom" | "escalatedFrom" | "requestId" | "response" | "isTruncated"
>;

type Group = {
  leader: ClaimedRun;
  /** Runs that wait for the leader's answer. */
  followers: ClaimedRun[];
  /** The leader's answer, from its report until the commit that stores it. */
  answer: Known | null;
};

const STREAMS = /"stream"\s*:\s*true/;
/** How many requests are remembered as hopeless. */
const MOST_HOPELESS = 1000;

/*
 * Runs whose answers may be reused (`cache: true`), by the key of their request. Of those that this
 * process has claimed with the same key,
 *
 *   leading    the first is sent, like any other, until its end is committed.
 *   following  the others hold their claims and slots, as their own calls would, but are not counted by the pacer.
 *              They end with the leader's answer, or go back into the queue, as if they had not been claimed, if the
 *              leader's attempt fails or is cancelled, or they are. The next claim then sends the first of them, as
 *              the pacer and the state of their batch allow. Those that are claimed between the report of a failure
 *              and its commit wait for the commit, because it may pause their batch.
 *   answered   one that comes with a stored answer, or between its leader's report and the commit
 *              that stores it, has ended at once.
 *
 * A run whose batch names a `baseBatch` that had answered its request ends at once with that answer, whether it has a key or not.
 *
 * A request that was refused permanently is hopeless: so that a thousand equal ones are not refused one after the
 * other, each is sent by itself until one is answered.
 */
export function createReuse({
  config,
  meters,
  signals,
  clock,
}: Pick<Context, "config" | "meters" | "signals" | "clock">) {
  const groups = new Map<string, Group>();
  const hopeless = new Set<string>();

  function groupLedBy(run: ClaimedRun): Group | undefined {
    const { cacheKey } = run.row;
    const group = cacheKey === null ? undefined : groups.get(cacheKey);
    return group?.leader === run ? group : undefined;
  }

  /** A stored answer of the simulator counts only while no provider is configured. */
  function storedFor(row: Claimed): Known | null {
    const { answer: response, answeredBy, answerModel: model, answerRequestId: requestId } = row;
    if (response === null || answeredBy === null || model === null) return null;
    if (answeredBy === standInOf(config)) return null;
    return {
      provider: answeredBy,
      model,
      fallbackFrom: null,
      escalatedFrom: row.answerEscalatedFrom,
      requestId,
      response,
      // Answers that were cut off are not cached.
      isTruncated: false,
    };
  }

  function give(run: ClaimedRun, known: Known): Reused {
    const { task, endpoint, body } = run.row;
    const text =
      STREAMS.test(body) && readAnswer(endpoint, parseJson(known.response ?? ""))?.content;
    if (text) signals.emit("deltas", [{ task, offset: 0, text }]);
    return toReused(run, known, clock.now());
  }

  function putBack(runs: ClaimedRun[]): PutBack[] {
    return runs.map((run) => ({ kind: "putBack", run }));
  }

  function dissolve(group: Group, key: string): PutBack[] {
    groups.delete(key);
    return putBack(group.followers);
  }

  function follow(called: Called): (Reused | PutBack)[] {
    const { run, failure, final } = called;
    const key = run.row.cacheKey;
    if (key === null) return [];
    const group = groupLedBy(run);
    const isFinal = failure !== null && !CAUSES[failure.cause].retryable && !isHalt(failure.cause);
    const isAskedAgain = asksAgain(called) !== null;
    if (isFinal && !isAskedAgain) {
      if (hopeless.size >= MOST_HOPELESS) hopeless.clear();
      hopeless.add(key);
      return group ? dissolve(group, key) : [];
    }
    // The group stays until this commits, because that may pause the batch of runs that are claimed before it does.
    if (failure || isAskedAgain) return group ? putBack(group.followers.splice(0)) : [];
    hopeless.delete(key);
    if (!group) return [];
    const { provider, model, fallbackFrom, requestId, response, isTruncated } = final;
    const known = {
      provider,
      model,
      fallbackFrom,
      escalatedFrom: final.escalatedFrom,
      requestId,
      response,
      isTruncated,
    };
    group.answer = known;
    return group.followers
      .splice(0)
      .map((follower) =>
        isEnough(known, follower) ? give(follower, known) : { kind: "putBack", run: follower },
      );
  }

  return {
    /** Decides what happens to a run that was just claimed: a call, a wait for another call, or an end at once. */
    begin(run: ClaimedRun): "call" | "wait" | Reused | PutBack {
      const { cacheKey: key, answer, answerBytes } = run.row;
      // The stored answer was deleted before it was read. Because of it, the claim has reserved nothing for a call.
      if (answer === null && answerBytes !== null) return { kind: "putBack", run };
      const group = key === null ? undefined : groups.get(key);
      const known = storedFor(run.row) ?? group?.answer;
      if (known) return isEnough(known, run) ? give(run, known) : "call";
      if (key === null) return "call";
      if (!group) {
        if (!hopeless.has(key)) groups.set(key, { leader: run, followers: [], answer: null });
        return "call";
      }
      group.followers.push(run);
      return "wait";
    },

    /** Ended calls, each followed by the outcomes of the runs that wait for it. */
    withFollowers(calls: Called[]): Outcome[] {
      return calls.flatMap((called) => [called, ...follow(called)]);
    },

    /**
     * The runs to requeue because these tasks have lost their queue rows: the tasks themselves, and their followers.
     */
    abandon(tasks: number[]): PutBack[] {
      const lost = new Set(tasks);
      return [...groups].flatMap(([key, group]) => {
        if (lost.has(group.leader.row.task)) return dissolve(group, key);
        const gone = group.followers.filter(({ row }) => lost.has(row.task));
        group.followers = group.followers.filter(({ row }) => !lost.has(row.task));
        return putBack(gone);
      });
    },

    /**
     * Notes that the ends of these runs are committed, so their answers are stored. Returns the runs that wait for
     * one of them although it failed.
     */
    settled(outcomes: Outcome[]): PutBack[] {
      let reused = 0;
      const waiting: PutBack[] = [];
      for (const outcome of outcomes) {
        const { run, kind } = outcome;
        const { cacheKey } = run.row;
        const group = groupLedBy(run);
        if (kind === "reused") reused++;
        else if (cacheKey !== null && group) waiting.push(...dissolve(group, cacheKey));
      }
      if (reused > 0) meters.add("cached_answers_total", "", reused);
      return waiting;
    },

    /** The number of requests with a leader in flight. */
    size: () => groups.size,

    /** Returns all followers, to be requeued. */
    handBack(): Retry[] {
      const followers = [...groups.values()].flatMap((group) => group.followers);
      groups.clear();
      return followers.map(({ row, claim }) => ({ t: row.task, c: claim, f: 0, at: null }));
    },
  };
}

/** Whether an answer is good enough for a run, which would not escalate because it was cut off. */
function isEnough({ isTruncated }: Known, { row }: ClaimedRun): boolean {
  return nextAsk({ failure: null, isTruncated, mayRepair: false }, row) === null;
}

function toReused(run: ClaimedRun, known: Known, at: number): Reused {
  const { task, cacheKey } = run.row;
  return {
    kind: "reused",
    run,
    final: {
      ...known,
      task,
      claim: run.claim,
      status: "completed",
      at,
      // No call was made, so no usage is counted. The answer itself shows the original usage.
      promptTokens: null,
      completionTokens: null,
      cachedTokens: null,
      reasoningTokens: null,
      costUsd: 0,
      error: null,
      isCached: true,
      isEstimated: false,
      adjusted: [],
      isRepaired: false,
      escalatedFrom: known.escalatedFrom ?? escalatedFrom(run),
      cacheKey,
    },
  };
}
