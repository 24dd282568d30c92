/** How many failures in a row open a breaker. */
export type BreakerOptions = {
  /** Failed calls of any kind, if calls can go to another provider instead. */
  calls: number;
  /**
   * If there is no other provider: different tasks whose calls did not reach it. A single task that a provider cannot
   * handle does not mean that the provider is down, and to test that one call at a time would take too long.
   */
  tasks: number;
  /** How long it stays open at first; doubled each time that it opens again. */
  baseMs: number;
  maxMs: number;
};

/**
 * What the end of a call shows: the provider answered; nothing; or the call failed, and whether it reached the
 * provider.
 */
export type Verdict = "answered" | "nothing" | { task: number; isUnreachable: boolean };

export const BREAKER_STATES = ["closed", "open", "half_open"] as const;
export type BreakerState = (typeof BREAKER_STATES)[number];

export type Breaker = ReturnType<typeof createBreaker>;

/*
 * Holds calls back from a provider that cannot be reached. A pure object: the time is passed in, and it never waits.
 *
 *   closed     calls start. Left when a number of them in a row failed as if the provider were down.
 *   open       no call starts until a time; then it is due for a probe, a request that costs nothing.
 *              A probe that fails keeps it open, for twice as long.
 *   half open  the probe was answered: one call starts. If it fails the breaker is open again, for
 *              twice as long; whatever call is answered closes it.
 */
export function createBreaker({ calls, tasks, baseMs, maxMs }: BreakerOptions) {
  /** Failures since the last answer, and the tasks whose calls did not reach the provider since then. */
  let failures = 0;
  const unreached = new Set<number>();
  let until = 0;
  let waitMs = baseMs;
  let isProbed = false;
  let isProbing = false;
  let trials = 0;

  const isShut = (hasOther: boolean) => (hasOther ? failures >= calls : unreached.size >= tasks);
  const isTripped = () => isShut(true) || isShut(false);

  function open(now: number): void {
    until = now + waitMs;
    waitMs = Math.min(maxMs, waitMs * 2);
    isProbed = false;
  }

  return {
    /** How many calls may start now. `hasOther`: calls that cannot start here can go to another provider. */
    room(now: number, hasOther: boolean): number {
      if (!isShut(hasOther)) return Infinity;
      return now >= until && isProbed ? Math.max(0, 1 - trials) : 0;
    },
    /** Whether a probe is to be made now; answered by `probed`. */
    isProbeDue: (now: number) => isTripped() && now >= until && !isProbed && !isProbing,
    probing: () => (isProbing = true),
    probed(isThere: boolean, now: number): void {
      isProbing = false;
      if (isThere) isProbed = true;
      else open(now);
    },
    /** A call starts. Returns whether it is a trial, which is passed to `end`. */
    start(): boolean {
      if (!isTripped()) return false;
      trials++;
      return true;
    },
    end(verdict: Verdict, isTrial: boolean, now: number): void {
      if (isTrial) trials--;
      if (verdict === "nothing") return;
      if (verdict === "answered") {
        failures = 0;
        unreached.clear();
        waitMs = baseMs;
        isProbed = false;
        return;
      }
      const wasTripped = isTripped();
      failures++;
      if (!verdict.isUnreachable) unreached.clear();
      else if (unreached.size < tasks) unreached.add(verdict.task);
      // Calls that were under way when it opened say nothing new.
      if (isTripped() && (!wasTripped || (isTrial && now >= until))) open(now);
    },
    state(now: number): BreakerState {
      if (!isTripped()) return "closed";
      return now >= until && isProbed ? "half_open" : "open";
    },
    /** When it may be probed, or its next call may start, at the soonest. */
    until: () => until,
  };
}
