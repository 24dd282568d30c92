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

/** A clock of its own, on which time passes and timers go off only in `pass`. */
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
    /** In how many ms the next timer goes off; `Infinity` where there is none. */
    next: () => Math.min(...[...timers].map((timer) => timer.at)) - now,
    /** Lets `ms` pass, and all that follows from what goes off meanwhile happen. */
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

/** Lets everything happen that waits for no timer. */
async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}
