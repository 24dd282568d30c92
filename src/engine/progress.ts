import type { Plan, Statement } from "../db/unit.ts";
import { reportProgress } from "../store/settle.ts";

const EVERY_MS = 500;

/** Reports the progress of batches, of each at most every half second. */
export function createProgress() {
  const toldAt = new Map<number, number>();
  return {
    /** The event that reports the progress of these batches. */
    plan(
      batches: ReadonlySet<number>,
      now: number,
      steadyNow: number,
    ): Plan<{ told: Statement | undefined }> {
      const due = [...batches].filter((seq) => steadyNow - (toldAt.get(seq) ?? 0) >= EVERY_MS);
      return {
        unit: { told: due.length > 0 ? reportProgress(due, now) : undefined },
        committed() {
          for (const seq of due) toldAt.set(seq, steadyNow);
        },
      };
    },
    /** Forgets the batches that do not run any more. */
    keepOnly(running: ReadonlySet<number>): void {
      for (const seq of toldAt.keys()) if (!running.has(seq)) toldAt.delete(seq);
    },
  };
}
