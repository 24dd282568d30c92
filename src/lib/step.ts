import type { Clock } from "./clock.ts";

export type Step = {
  /** How many items to do next. */
  size(): number;
  /** Does them, and adjusts the size by how long that took. */
  time<T>(work: (size: number) => Promise<T>): Promise<T>;
};

/**
 * Decides how many items of a long work to do at a time, so that other work waits no longer than about `targetMs`:
 * rows of two megabytes take a thousand times as long as short ones. It begins with `most`.
 */
export function createStep(
  clock: Pick<Clock, "monotonic">,
  { most, targetMs }: { most: number; targetMs: number },
): Step {
  let size = most;
  return {
    size: () => size,
    async time(work) {
      const begun = clock.monotonic();
      const done = await work(size);
      const ms = clock.monotonic() - begun;
      if (ms > targetMs) size = Math.max(1, Math.floor(size / 2));
      else if (ms < targetMs / 4) size = Math.min(most, size * 2);
      return done;
    },
  };
}
