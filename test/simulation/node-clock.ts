import type { Cancel, Clock } from "../../src/lib/clock.ts";
import type { Timeline } from "./timeline.ts";

/** The clock of one node. It also controls the node's life, because timers start everything that a node does. */
export type NodeClock = Clock & {
  /** Changes the wall clock, as an operator or NTP would. */
  jump(ms: number): void;
  /** Suspends the node for `ms`: timers and messages of that time wait. */
  pause(ms: number): void;
  isPaused(): boolean;
  /** Ends the node: no timer fires any more, and no message arrives. */
  kill(): void;
  isDead(): boolean;
  /** Delivers something from outside (an answer, a message) after `ms` of true time. */
  arrive(ms: number, happen: () => void): Cancel;
};

export type ClockFaults = {
  /** Wall time minus true time at the start, ms. */
  offsetMs: number;
  /** How much faster the clock runs, as a share: 0.001 gains a second in 1,000. */
  drift: number;
};

/** The shortest timer of a real machine. */
const SHORTEST_MS = 1;

export function createNodeClock(
  timeline: Timeline,
  epoch: number,
  { offsetMs, drift }: ClockFaults,
): NodeClock {
  let offset = offsetMs;
  let pausedUntil = 0;
  let isDead = false;
  const rate = 1 + drift;
  const startedAt = epoch + offsetMs;

  function arrive(ms: number, happen: () => void): Cancel {
    let cancel = timeline.at(timeline.now() + ms, function come() {
      if (isDead) return;
      if (timeline.now() < pausedUntil) cancel = timeline.at(pausedUntil, come);
      else happen();
    });
    return () => cancel();
  }

  return {
    now: () => Math.floor(epoch + timeline.now() * rate + offset),
    monotonic: () => timeline.now() * rate,
    steady: () => Math.floor(startedAt + timeline.now() * rate),
    setTimeout: (callback, ms) => arrive(Math.max(SHORTEST_MS, ms) / rate, callback),
    setInterval(callback, ms) {
      const period = Math.max(SHORTEST_MS, ms) / rate;
      let cancel = arrive(period, function ring() {
        cancel = arrive(period, ring);
        callback();
      });
      return () => cancel();
    },
    setImmediate: (callback) => void arrive(0, callback),
    sleep: (ms) => new Promise((resolve) => void arrive(Math.max(SHORTEST_MS, ms) / rate, resolve)),
    jump: (ms) => (offset += ms),
    pause: (ms) => (pausedUntil = Math.max(pausedUntil, timeline.now() + ms)),
    isPaused: () => timeline.now() < pausedUntil,
    kill: () => (isDead = true),
    isDead: () => isDead,
    arrive,
  };
}
