type Report = {
  remaining: number;
  resetMs: number;
  /** When the request was sent, and when its answer came. */
  sentAt: number;
  heardAt: number;
};

/** Reset times may be rounded to whole seconds. */
const ROUNDING_MS = 1000;

/**
 * Finds out from successive reports whether a limit is one of a fixed window. The reset time of a token bucket moves
 * with each call. That of a fixed window stays where it is, and nothing flows in before it.
 */
export function createFixedWindow() {
  let endsAt: number | null = null;
  let last: Report | null = null;

  return {
    /** When the window ends; `null` if the limit is not known to be one of a window. */
    endsAt: () => endsAt,
    /** The window has ended, and another begins that ends at this time. */
    moveTo(end: number): void {
      endsAt = end;
    },
    /**
     * Takes in a report. A reset that is reported as a duration counts from some time between the request and its
     * answer, so a move of the reset shows only if it is clearly larger than the difference in how long calls take.
     */
    observe(report: Report, perMs: number): void {
      const { remaining, resetMs, sentAt, heardAt } = report;
      if (last && sentAt < last.sentAt) return;
      const dropped = last ? last.remaining - remaining : 0;
      const sinceAnswer = last ? heardAt + resetMs - (last.heardAt + last.resetMs) : 0;
      const sinceRequest = last ? sentAt + resetMs - (last.sentAt + last.resetMs) : 0;
      const moved = Math.abs(sinceRequest) < Math.abs(sinceAnswer) ? sinceRequest : sinceAnswer;
      const expected = dropped / perMs;
      const isClear = expected > 4 * Math.max(ROUNDING_MS, Math.abs(sinceAnswer - sinceRequest));
      const resetAt = heardAt + resetMs;
      if (isClear) endsAt = moved < expected / 4 && moved > -2 * ROUNDING_MS ? resetAt : null;
      else if (dropped <= 0 && endsAt !== null && sentAt + resetMs > endsAt + 2 * ROUNDING_MS)
        endsAt = resetAt;
      if (!last || isClear || dropped < 0) last = report;
    },
  };
}
