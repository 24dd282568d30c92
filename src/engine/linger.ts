import type { Cancel, Clock } from "../lib/clock.ts";

/** How long reports wait at most, and how long for the next one. */
export type Window = { mostMs: number; quietMs: number };

const ON_A_FILE: Window = { mostMs: 16, quietMs: 2 };
/** On a server a commit of one task costs about ten times its share of a larger commit. */
const LONGEST_MS = 60;
/** Share of the duration of a call, because its slot is idle while its report waits. */
const SHARE = 1 / 16;
/**
 * Multiple of the duration of a commit. A commit takes longer while other nodes commit, so each leaves room for them.
 */
const COMMITS = 1;

/** The window on a shared database, from the durations of calls and commits. */
export function sharedWindow(callMs: number, commitMs: number): Window {
  const wanted = Math.max(ON_A_FILE.mostMs, callMs * SHARE, commitMs * COMMITS);
  const mostMs = Math.min(LONGEST_MS, wanted);
  return { mostMs, quietMs: mostMs };
}

/**
 * Delays reports so that others share their commit while most calls are still in flight: until none comes for a
 * moment, but never long.
 */
export function createLinger(
  onDue: () => void,
  clock: Pick<Clock, "monotonic" | "setTimeout">,
  windowNow: () => Window = () => ON_A_FILE,
) {
  let since: number | undefined;
  let cancel: Cancel | undefined;
  return {
    /** Starts waiting, or waits for another moment. */
    on(): void {
      const now = clock.monotonic();
      const { mostMs, quietMs } = windowNow();
      since ??= now;
      cancel?.();
      const left = mostMs - (now - since);
      if (left <= 0) onDue();
      else cancel = clock.setTimeout(onDue, Math.min(quietMs, left));
    },
    /** Ends the wait. */
    end(): void {
      cancel?.();
      since = undefined;
    },
  };
}
