import type { Cancel, Clock } from "../lib/clock.ts";

/** How long reports wait for others at most, and for the next one. */
export type Window = { mostMs: number; quietMs: number };

const ON_A_FILE: Window = { mostMs: 16, quietMs: 2 };
/** On a server a commit of one task costs some ten times what its share of a larger one does. */
const LONGEST_MS = 60;
/** Of the time that a call takes: its slot is idle while its report waits. */
const SHARE = 1 / 16;
/** Of the time that a commit takes, which is longer where others commit, too: so each leaves room for them. */
const COMMITS = 1;

/** The window on a shared database, by how long calls and commits take. */
export function sharedWindow(callMs: number, commitMs: number): Window {
  const wanted = Math.max(ON_A_FILE.mostMs, callMs * SHARE, commitMs * COMMITS);
  const mostMs = Math.min(LONGEST_MS, wanted);
  return { mostMs, quietMs: mostMs };
}

/**
 * Reports wait for others to be committed with them while most calls are still under way: until none
 * came for a moment, but never long.
 */
export function createLinger(
  onDue: () => void,
  clock: Pick<Clock, "monotonic" | "setTimeout">,
  windowNow: () => Window = () => ON_A_FILE,
) {
  let since: number | undefined;
  let cancel: Cancel | undefined;
  return {
    /** Waits from now on, if it does not wait already, and at least for another moment. */
    on(): void {
      const now = clock.monotonic();
      const { mostMs, quietMs } = windowNow();
      since ??= now;
      cancel?.();
      const left = mostMs - (now - since);
      if (left <= 0) onDue();
      else cancel = clock.setTimeout(onDue, Math.min(quietMs, left));
    },
    /** The wait is over. */
    end(): void {
      cancel?.();
      since = undefined;
    },
  };
}
