import type { Context } from "../context.ts";
import { findLogBounds, neighboursOf } from "../store/events.ts";
import { readRows } from "../store/rows.ts";
import { LEAP, readTimeline } from "./timeline.ts";

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

/** What the log has around the last event of a reader. */
type LogAround = {
  oldest: number;
  /** The highest number that an event was given. */
  given: number;
  brokenAfter: number;
  continuedAfter: number;
  /** The last event up to the reader's, and the first after it. */
  before: number | null;
  next: number | null;
};

/** The gap between the event `after` and the log; `undefined` if nothing is missing. */
export async function readGap(
  { client }: { client: Pick<Context["client"], "execute"> },
  after: number | undefined,
): Promise<Gap | undefined> {
  // 0 stands for the start of the log.
  if (after === undefined || after === 0) return undefined;
  const { first, last } = await findLogBounds(client);
  const [around] = await readRows(client, neighboursOf(after));
  const { last: given, brokenAfter, continuedAfter } = await readTimeline({ client });
  const { before = null, next = null } = around ?? {};
  const oldest = first === 0 ? given + 1 : first;
  const log = { oldest, given, brokenAfter, continuedAfter, before, next };
  const reason = whyBroken(after, log);
  return reason && { reason, after, oldest, newest: last };
}

/** Why the log does not continue after the event `after`. */
function whyBroken(after: number, log: LogAround): Gap["reason"] | undefined {
  const { oldest, given, brokenAfter, continuedAfter, before, next } = log;
  if (after > given || (after > brokenAfter && after < continuedAfter)) return "restored";
  if (after < oldest - 1) return "expired";
  if (before === null || next === null || next === after + 1) return undefined;
  // An earlier restore left a hole of this size. A smaller one is left by removed events around some that are kept
  // longer, because the clock was ahead when they were written.
  if (next - before > LEAP) return before === after ? undefined : "restored";
  return "expired";
}

/**
 * The frame has no id, so a reader that reconnects after it sends the previous id, and gets the frame again. If nothing
 * may follow, it has the id before the oldest event, so that the reader can learn that the stream is over.
 */
export function toGapFrame(gap: Gap, at: Date, isOver: boolean): string {
  const body = { type: "gap", timestamp: at.toISOString(), data: gap };
  const id = isOver ? `id: ${gap.oldest - 1}\n` : "";
  return `${id}event: gap\ndata: ${JSON.stringify(body)}\n\n`;
}
