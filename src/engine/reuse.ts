import type { Context } from "../context.ts";
import { readAnswer } from "../domain/answer.ts";
import { CAUSES, isHalt } from "../domain/failure.ts";
import type { Endpoint } from "../domain/request.ts";
import { parseJson } from "../lib/json.ts";
import type { Claimed } from "../store/queue.ts";
import type { Final, Retry } from "../store/settle.ts";
import type { Outcome } from "./protocol.ts";

/** A claimed run that is given another one's answer, or waits for it. */
type Follower = { task: number; claim: number; key: string; endpoint: Endpoint; streams: boolean };

/** What an answer is to somebody else. */
type Known = Pick<Final, "provider" | "model" | "fallbackFrom" | "requestId" | "response">;

type Group = {
  leader: { task: number; claim: number };
  followers: Follower[];
  /** What the leader was answered, from its report to the commit that stores it. */
  answer: Known | null;
};

const STREAMS = /"stream"\s*:\s*true/;
/** Requests remembered as hopeless; a few are enough, since each is tried for itself then. */
const MOST_HOPELESS = 1000;

/*
 * Runs whose answers may be reused (`cache: true`), by the key of their request. Of those that this
 * process has claimed with the same key,
 *
 *   leading    the first is sent, like any other, until its end is committed.
 *   following  the others hold their claims and slots, which the call that they spare would hold,
 *              too, but have no place at the pacer. They end with the leader's answer, or go back
 *              into the queue, as if they had not been claimed, where the leader's attempt fails or
 *              is cancelled, or they are: the next claim then sends the first of them, as the pacer
 *              and the state of their batch allow.
 *   answered   one that comes with a stored answer, or between its leader's report and the commit
 *              that stores it, has ended at once.
 *
 * A request that was refused for good is hopeless: lest a thousand like it be refused one after the
 * other, each is sent for itself until one is answered.
 */
export function createReuse({
  config,
  meters,
  signals,
  clock,
}: Pick<Context, "config" | "meters" | "signals" | "clock">) {
  const groups = new Map<string, Group>();
  const hopeless = new Set<string>();

  function groupLedBy({ task, claim, final: { cacheKey }, instead }: Outcome): Group | undefined {
    const group = cacheKey === null || instead ? undefined : groups.get(cacheKey);
    return group?.leader.task === task && group.leader.claim === claim ? group : undefined;
  }

  /** An answer of the simulator is one only as long as there is nothing better. */
  function storedFor(row: Claimed): Known | null {
    const { answer: response, answeredBy, answerModel: model, answerRequestId: requestId } = row;
    if (response === null || answeredBy === null || model === null) return null;
    const isSimulated = answeredBy === config.simulator.name;
    if (isSimulated && config.providers.some(({ kind }) => kind !== "simulator")) return null;
    return { provider: answeredBy, model, fallbackFrom: null, requestId, response };
  }

  function give(follower: Follower, known: Known): Outcome {
    const { task, endpoint, streams } = follower;
    const text = streams && readAnswer(endpoint, parseJson(known.response ?? ""))?.content;
    if (text) signals.emit("deltas", [{ task, offset: 0, text }]);
    return toOutcome(follower, "reused", known, clock.now());
  }

  function putBack(followers: Follower[]): Outcome[] {
    return followers.map((follower) => toOutcome(follower, "put_back", NOTHING, clock.now()));
  }

  function dissolve(group: Group, key: string): Outcome[] {
    groups.delete(key);
    return putBack(group.followers);
  }

  function follow(outcome: Outcome): Outcome[] {
    const { failure, final } = outcome;
    const key = final.cacheKey;
    if (key === null) return [];
    const group = groupLedBy(outcome);
    if (failure) {
      if (!CAUSES[failure.cause].retryable && !isHalt(failure.cause)) {
        if (hopeless.size >= MOST_HOPELESS) hopeless.clear();
        hopeless.add(key);
      }
      return group ? dissolve(group, key) : [];
    }
    hopeless.delete(key);
    if (!group) return [];
    group.answer = final;
    return group.followers.splice(0).map((follower) => give(follower, final));
  }

  return {
    /** What becomes of a run that was just claimed: a call, the wait for one, or an end at once. */
    begin(row: Claimed, claim: number): "call" | "wait" | Outcome {
      const { task, cacheKey: key, endpoint, body } = row;
      if (key === null) return "call";
      const follower = { task, claim, key, endpoint, streams: STREAMS.test(body) };
      const group = groups.get(key);
      const known = storedFor(row) ?? group?.answer;
      if (known) return give(follower, known);
      if (!group) {
        if (!hopeless.has(key))
          groups.set(key, { leader: { task, claim }, followers: [], answer: null });
        return "call";
      }
      group.followers.push(follower);
      return "wait";
    },

    /** Calls that ended, and after each what that means to those that wait for it. */
    withFollowers(outcomes: Outcome[]): Outcome[] {
      return outcomes.flatMap((outcome) => [outcome, ...follow(outcome)]);
    },

    /** What is to be put back because these tasks have lost their queue rows: they themselves, and who waits for them. */
    abandon(tasks: number[]): Outcome[] {
      const lost = new Set(tasks);
      return [...groups].flatMap(([key, group]) => {
        if (lost.has(group.leader.task)) return dissolve(group, key);
        const gone = group.followers.filter(({ task }) => lost.has(task));
        group.followers = group.followers.filter(({ task }) => !lost.has(task));
        return putBack(gone);
      });
    },

    /** The ends of these runs are committed, so that their answers are stored. */
    settled(outcomes: Outcome[]): void {
      let reused = 0;
      for (const outcome of outcomes) {
        const { cacheKey } = outcome.final;
        if (outcome.instead === "reused") reused++;
        else if (cacheKey !== null && groupLedBy(outcome)) groups.delete(cacheKey);
      }
      if (reused > 0) meters.add("cached_answers_total", "", reused);
    },

    /** Gives up everything that waits, to be put back. */
    handBack(): Retry[] {
      const followers = [...groups.values()].flatMap((group) => group.followers);
      groups.clear();
      return followers.map(({ task, claim }) => ({ t: task, c: claim, f: 0, at: null }));
    },
  };
}

const NOTHING: Known = {
  provider: "",
  model: "",
  fallbackFrom: null,
  requestId: null,
  response: null,
};

function toOutcome(
  { task, claim, key }: Follower,
  instead: "reused" | "put_back",
  { provider, model, fallbackFrom, requestId, response }: Known,
  at: number,
): Outcome {
  return {
    task,
    claim,
    failure: null,
    signals: null,
    account: provider,
    isAbandoned: false,
    instead,
    final: {
      task,
      claim,
      status: "completed",
      at,
      provider,
      model,
      fallbackFrom,
      requestId,
      // Nothing was bought, so that nothing is counted; what the answer took stands in the answer.
      promptTokens: null,
      completionTokens: null,
      cachedTokens: null,
      reasoningTokens: null,
      costUsd: 0,
      response,
      error: null,
      isCached: true,
      cacheKey: key,
    },
  };
}
