import { type Clock, nextRound } from "./clock.ts";

export type Courtesy = {
  /** Begins a new stretch of work. */
  begin(): void;
  /** Called between two items: yields if this stretch has lasted for some ms. */
  pause(): Promise<void>;
};

/** The longest stretch: without requests, and with requests all the time. */
const STRETCH_MS = { alone: 5, asked: 2 };
/** With requests all the time, background work rests this many times as long as it has worked. */
const RESTS = 3;
const SHORTEST_REST_MS = 1;
/** The longest rest. Much of a long stretch was spent waiting, which blocks nothing. */
const LONGEST_REST_MS = 20;

/**
 * For background work on the thread that answers requests. One round of the event loop between two stretches helps a
 * request little, because it needs several rounds. So while requests come, background work rests for up to three
 * times as long as it works. `pressure` (0-1) is the share of the time in which a client waits for an answer.
 */
export function createCourtesy(
  clock: Pick<Clock, "monotonic" | "setImmediate" | "sleep">,
  pressure: () => number,
): Courtesy {
  let since = clock.monotonic();
  const begin = () => {
    since = clock.monotonic();
  };
  return {
    begin,
    async pause() {
      const workedMs = clock.monotonic() - since;
      const share = pressure();
      if (workedMs < between(STRETCH_MS, share)) return;
      const restMs = Math.min(LONGEST_REST_MS, RESTS * share * workedMs);
      if (restMs < SHORTEST_REST_MS) await nextRound(clock);
      else await clock.sleep(restMs);
      begin();
    },
  };
}

/** Interpolates between the two figures, by the share of the time with requests. */
export function between({ alone, asked }: { alone: number; asked: number }, share: number): number {
  return alone + (asked - alone) * share;
}
