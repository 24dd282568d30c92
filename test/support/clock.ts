import { type Cancel, type Clock, createSystemClock } from "../../src/lib/clock.ts";

/** The machine's clock, except that the test sets the time. */
export function toldTime(start = 0) {
  const reported = { now: start };
  const clock: Clock = {
    ...createSystemClock(),
    now: () => reported.now,
    monotonic: () => reported.now,
    steady: () => reported.now,
  };
  return { reported, clock };
}

/** A virtual clock: time passes and timers fire only in `pass`. */
export function virtualTime() {
  let now = 0;
  const timers = new Set<{ at: number; callback: () => void }>();
  const at = (callback: () => void, ms: number): Cancel => {
    const timer = { at: now + ms, callback };
    timers.add(timer);
    return () => timers.delete(timer);
  };
  const clock: Pick<Clock, "now" | "monotonic" | "setTimeout"> = {
    now: () => now,
    monotonic: () => now,
    setTimeout: at,
  };
  return {
    clock,
    /** The ms until the next timer fires; `Infinity` if there is none. */
    next: () => Math.min(...[...timers].map((timer) => timer.at)) - now,
    /** Advances the clock by `ms`, fires the timers that are due, and waits for what they start. */
    async pass(ms: number): Promise<void> {
      const end = now + ms;
      await settle();
      for (;;) {
        const [first] = [...timers].toSorted((a, b) => a.at - b.at);
        if (!first || first.at > end) break;
        timers.delete(first);
        now = Math.max(now, first.at);
        first.callback();
        await settle();
      }
      now = end;
    },
  };
}

/** Runs all pending work that does not wait for a timer. */
async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}
