import type { Clock } from "../../src/lib/clock.ts";

/**
 * Counts how often other work has its turn while `work` goes on. On the clock that it gets, a millisecond passes from one
 * look to the next, so that the count is the same on every machine.
 */
export async function turnsDuring<T>(
  work: (clock: Pick<Clock, "monotonic" | "setImmediate">) => Promise<T>,
): Promise<{ result: T; turns: number }> {
  let turns = 0;
  let now = 0;
  const result = await work({
    monotonic: () => now++,
    setImmediate(callback) {
      turns++;
      setImmediate(callback);
    },
  });
  return { result, turns };
}
