import { type Clock, nextRound } from "./clock.ts";

export type Courtesy = {
  /** A stretch of work begins, whatever was before. */
  begin(): void;
  /** Called between two things: lets others work where this has gone on for some ms. */
  pause(): Promise<void>;
};

/** The longest stretch, while nobody asks for anything and while somebody does all the time. */
const STRETCH_MS = { alone: 5, asked: 2 };
/** While somebody asks all the time, work that can wait rests so many times as long as it has worked. */
const RESTS = 3;
const SHORTEST_REST_MS = 1;
/** Much of a long stretch was spent waiting for others, which keeps nobody from working. */
const LONGEST_REST_MS = 20;

/**
 * For work that can wait, on the thread that answers requests. Giving others one round of the event loop
 * between two stretches is little to a request, which needs several rounds: so while requests come,
 * it rests for up to three times as long as it works, and they find the loop free. `pressure` (0-1) is how
 * much of the time somebody waits for an answer.
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

/** What lies between two figures, by how much of the time somebody asks. */
export function between({ alone, asked }: { alone: number; asked: number }, share: number): number {
  return alone + (asked - alone) * share;
}
