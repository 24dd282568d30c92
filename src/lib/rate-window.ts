/** How much of a limit is left in the current window, and when (Unix ms) the next one begins. */
export type Allowance = { isAllowed: boolean; limit: number; remaining: number; resetAt: number };

export type RateWindow = {
  /** Counts one use, if there is one left. */
  take(subject: string | number, limit: number): Allowance;
  /** What `take` would return, without taking. */
  look(subject: string | number, limit: number): Allowance;
};

export const WINDOW_MS = 60_000;

/** Subjects beyond this number are counted as one, so that invented subjects use no memory. */
const MOST_SUBJECTS = 100_000;
const ALL_OTHERS = "all others";

/** Counts uses by minute of the clock, in memory. */
export function createRateWindow(now: () => number): RateWindow {
  const used = new Map<string | number, number>();
  let window = 0;

  function look(subject: string | number, limit: number): Allowance {
    const current = Math.floor(now() / WINDOW_MS);
    if (current !== window) {
      window = current;
      used.clear();
    }
    const count = used.get(nameOf(subject)) ?? 0;
    return {
      isAllowed: count < limit,
      limit,
      remaining: Math.max(0, limit - count),
      resetAt: (window + 1) * WINDOW_MS,
    };
  }

  function nameOf(subject: string | number): string | number {
    return used.size < MOST_SUBJECTS || used.has(subject) ? subject : ALL_OTHERS;
  }

  return {
    look,
    take(subject, limit) {
      const allowance = look(subject, limit);
      if (!allowance.isAllowed) return allowance;
      allowance.remaining--;
      used.set(nameOf(subject), limit - allowance.remaining);
      return allowance;
    },
  };
}
