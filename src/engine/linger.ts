import type { Cancel, Clock } from "../lib/clock.ts";

const QUIET_MS = 2;
const LINGER_MS = 16;

/**
 * Reports wait for others to be committed with them while most calls are still under way: until none
 * came for a moment, but never long.
 */
export function createLinger(onDue: () => void, clock: Pick<Clock, "monotonic" | "setTimeout">) {
  let since: number | undefined;
  let cancel: Cancel | undefined;
  return {
    /** Waits from now on, if it does not wait already, and at least for another moment. */
    on(): void {
      const now = clock.monotonic();
      since ??= now;
      cancel?.();
      const left = LINGER_MS - (now - since);
      if (left <= 0) onDue();
      else cancel = clock.setTimeout(onDue, Math.min(QUIET_MS, left));
    },
    /** The wait is over. */
    end(): void {
      cancel?.();
      since = undefined;
    },
  };
}
