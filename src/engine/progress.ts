import type { Plan, Statement } from "../db/unit.ts";
import { reportProgress } from "../store/settle.ts";

const EVERY_MS = 500;

/** Reports the progress of batches, of each at most every half second. */
export function createProgress() {
  const reportedAt = new Map<number, number>();
  return {
    /** The event that reports the progress of these batches. */
    plan(
      batches: ReadonlySet<number>,
      now: number,
      steadyNow: number,
    ): Plan<{ reported: Statement | undefined }> {
      const due = [...batches].filter((seq) => steadyNow - (reportedAt.get(seq) ?? 0) >= EVERY_MS);
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
