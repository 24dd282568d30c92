import { getLogger } from "@logtape/logtape";

import { guessSize, type RequestSize, type TokenCounter } from "../domain/token-counter.ts";
import type { Cancel, Clock } from "../lib/clock.ts";
import type { StartThread, Thread } from "../lib/thread.ts";
import type { Measured, ToMeasure } from "../providers/token-measure.ts";

/** The most requests that wait for the thread. Beyond that the answer would be too late. */
const MOST_WAITING = 100;
/** How long to wait before a dead thread is restarted. */
const RESTART_MS = 1000;

type Waiting = { answer: (sizes: RequestSize[] | undefined) => void; cancel: Cancel };

/*
 * The thread starts with the first request. Alive: it answers in order; a request that has waited too long gets an
 * estimate, and the thread's later answer is ignored. Dead: all waiting requests, and those of the next second, get
 * estimates; the request after that starts a new thread.
 */
export function createTokenCounter({
  clock,
  startThread,
}: {
  clock: Pick<Clock, "monotonic" | "setTimeout">;
  startThread: StartThread;
}): TokenCounter {
  const log = getLogger(["gptrunner", "tokens"]);
  const waiting = new Map<number, Waiting>();
  /** Requests that the thread has not answered, including those that are no longer awaited. */
  let behind = 0;
  let thread: Thread<ToMeasure> | undefined;
  let startableAt = 0;
  let nextId = 1;

  function start(): Thread<ToMeasure> {
    const started: Thread<ToMeasure> = startThread<ToMeasure, Measured>({
      onMessage({ id, sizes }) {
        if (thread !== started) return;
        behind--;
        waiting.get(id)?.answer(sizes);
      },
      onDeath(why) {
        if (thread !== started) return;
        log.error("The thread that counts tokens died: {why}", { why });
        drop(clock.monotonic() + RESTART_MS);
      },
    });
    return started;
  }

  function drop(until: number): void {
    thread?.end();
    thread = undefined;
    behind = 0;
    startableAt = until;
    for (const { answer } of waiting.values()) answer(undefined);
  }

  function ask(requests: ToMeasure["requests"], withinMs: number) {
    if (withinMs <= 0 || behind >= MOST_WAITING) return undefined;
    if (!thread && clock.monotonic() < startableAt) return undefined;
    thread ??= start();
    const to = thread;
    const id = nextId++;
    return new Promise<RequestSize[] | undefined>((resolve) => {
      const answer: Waiting["answer"] = (sizes) => {
        waiting.get(id)?.cancel();
        waiting.delete(id);
        resolve(sizes);
      };
      waiting.set(id, { answer, cancel: clock.setTimeout(() => answer(undefined), withinMs) });
      behind++;
      to.post({ id, requests });
    });
  }

  return {
    async measure(requests, withinMs) {
      if (requests.length === 0) return [];
      return (await ask(requests, withinMs)) ?? requests.map(guessSize);
    },
    stop: () => drop(Infinity),
  };
}
