/** Why a reader does not get what follows the last event that it knows. */
export type Gap = {
  /**
   * `restored`: the log has no event of that number, because the database was restored. `expired`:
   * events after it were removed, because they are older than RETENTION_DAYS.
   */
  reason: "restored" | "expired";
  after: number;
  /** The first and the last event that there are; it goes on with the first. */
  oldest: number;
  newest: number;
};

/** The gap between the event `after` and what the log still has; `undefined` where nothing is missing. */
export function findGap(
  after: number | undefined,
  log: { oldest: number; newest: number; brokenAfter: number; continuedAfter: number },
): Gap | undefined {
  const { oldest, newest, brokenAfter, continuedAfter } = log;
  // 0 stands for the oldest event, whichever that is.
  if (after === undefined || after === 0) return undefined;
  if (after > newest || (after > brokenAfter && after < continuedAfter))
    return { reason: "restored", after, oldest, newest };
  return after < oldest - 1 ? { reason: "expired", after, oldest, newest } : undefined;
}

/** It has no id, so that a reader which reconnects after it sends the id before it, and gets it again. */
export function toGapFrame(gap: Gap, at: Date): string {
  const body = { type: "gap", timestamp: at.toISOString(), data: gap };
  return `event: gap\ndata: ${JSON.stringify(body)}\n\n`;
}
