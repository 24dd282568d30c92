import { type Clock, createSystemClock } from "../../src/lib/clock.ts";

/** The machine's clock, but for the time, which the test tells. */
export function toldTime(start = 0) {
  const told = { now: start };
  const clock: Clock = {
    ...createSystemClock(),
    now: () => told.now,
    monotonic: () => told.now,
  };
  return { told, clock };
}
