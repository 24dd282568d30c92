import type { Plan, Statement } from "../db/unit.ts";
import { reportProgress } from "../store/settle.ts";

const EVERY_MS = 500;
/** Each running batch adds this to the interval. Otherwise two thousand batches would send an event for nearly every task. */
const MS_PER_BATCH = 10;

/** Reports the progress of batches: of each at most every half second, of all together at most a hundred times a second. */
export function createProgress() {
  const reportedAt = new Map<number, number>();
  return {
    /** The event that reports the progress of these batches. */
    plan(
      batches: ReadonlySet<number>,
      now: number,
      steadyNow: number,
    ): Plan<{ reported: Statement | undefined }> {
      const everyMs = Math.max(EVERY_MS, reportedAt.size * MS_PER_BATCH);
      const due = [...batches].filter((seq) => steadyNow - (reportedAt.get(seq) ?? 0) >= everyMs);
      return {
        unit: { reported: due.length > 0 ? reportProgress(due, now) : undefined },
        committed() {
          for (const seq of due) reportedAt.set(seq, steadyNow);
        },
      };
    },
    /** Forgets batches that are no longer running. */
    keepOnly(running: ReadonlySet<number>): void {
      for (const seq of reportedAt.keys()) if (!running.has(seq)) reportedAt.delete(seq);
    },
  };
}
