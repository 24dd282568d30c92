import type { Cancel, Clock } from "../lib/clock.ts";
import { createFifo } from "../lib/fifo.ts";

/**
 * How many calls of a thread may be young at a time, and how long a call counts as young. If answers come at once,
 * more than some dozens of connections cost more than they gain: a call to a provider without latency takes 75 µs of
 * all threads with 64 at a time, and 100 µs with 256.
 */
const YOUNG_CALLS = 64;
const YOUNG_MS = 20;

/** A call to start; only the starter uses `isYoung`. */
export type Startable = { call: { isUrgent: boolean }; startedAt: number; isYoung: boolean };

/*
 * Starts the calls of a worker thread, urgent ones first. A call is young until it ends or has been in flight for 20
 * ms. One more starts while fewer than 64 are young, and in place of each call that was no longer young when it
 * ended. So long calls start at up to 3,200 a second until all of them are in flight, and calls that are answered at
 * once use few connections.
 */
export function createStarter<One extends Startable>(
  start: (one: One) => void,
  clock: Pick<Clock, "monotonic" | "setTimeout">,
): { add(calls: One[]): void; end(one: One): void } {
  const urgent = createFifo<One>();
  const others = createFifo<One>();
  /** In the order of their start, so that calls that are no longer young are at the head. */
  const started = createFifo<One>();
  let young = 0;
  let cancel: Cancel | undefined;

  function age(at: number): void {
    for (let first = started.first(); first; first = started.first()) {
      if (first.isYoung && at - first.startedAt < YOUNG_MS) return;
      if (first.isYoung) young--;
      first.isYoung = false;
      started.shift();
    }
  }

  function startMore(inPlaceOfOld: number): void {
    const at = clock.monotonic();
    age(at);
    for (let extra = inPlaceOfOld; extra > 0 || young < YOUNG_CALLS; extra--) {
      const one = urgent.shift() ?? others.shift();
      if (!one) return;
      one.startedAt = at;
      one.isYoung = true;
      young++;
      started.push(one);
      start(one);
    }
    if (urgent.size() + others.size() > 0) cancel ??= clock.setTimeout(comeBack, YOUNG_MS / 4);
  }

  function comeBack(): void {
    cancel = undefined;
    startMore(0);
  }

  return {
    add(calls) {
      for (const one of calls) (one.call.isUrgent ? urgent : others).push(one);
      startMore(0);
    },
    /** Notes that a started call has ended. */
    end(one) {
      age(clock.monotonic());
      const wasYoung = one.isYoung;
      if (wasYoung) young--;
      one.isYoung = false;
      startMore(wasYoung ? 0 : 1);
    },
  };
}
