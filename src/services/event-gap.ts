/** Why a reader cannot continue after the last event that it knows. */
export type Gap = {
  /**
   * `restored`: the log has no event with that number, because the database was restored. `expired`: later events
   * were removed, because they are older than RETENTION_DAYS.
   */
  reason: "restored" | "expired";
  after: number;
  /** The first and the last event in the log; the stream continues with the first. */
  oldest: number;
  newest: number;
};

/** The gap between the event `after` and the log; `undefined` if nothing is missing. */
export function findGap(
  after: number | undefined,
  log: { oldest: number; newest: number; brokenAfter: number; continuedAfter: number },
): Gap | undefined {
  const { oldest, newest, brokenAfter, continuedAfter } = log;
  // 0 stands for the start of the log.
  if (after === undefined || after === 0) return undefined;
  if (after > newest || (after > brokenAfter && after < continuedAfter))
    return { reason: "restored", after, oldest, newest };
  return after < oldest - 1 ? { reason: "expired", after, oldest, newest } : undefined;
}

/** The frame has no id, so a reader that reconnects after it sends the previous id, and gets the frame again. */
export function toGapFrame(gap: Gap, at: Date): string {
  const body = { type: "gap", timestamp: at.toISOString(), data: gap };
  return `event: gap\ndata: ${JSON.stringify(body)}\n\n`;
}
