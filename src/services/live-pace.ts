import type { Clock } from "../lib/clock.ts";
import type { LiveBatch } from "../store/live.ts";

/** The period over which a batch's pace is measured. */
const PACE_MS = 15_000;

/** Stands for all tasks instead of the row number of a batch. */
const ALL = -1;

type Counted = Pick<LiveBatch, "completed" | "failed" | "cancelled">;

/** Measures how many tasks of each batch end per minute, from successive reads of the counters. */
export function createPaces(clock: Pick<Clock, "monotonic">) {
  let samples = new Map<number, { at: number; ended: number }[]>();

  return {
    note(batches: LiveBatch[], stock: Counted): void {
      const at = clock.monotonic();
      const next: typeof samples = new Map();
      const running = batches.filter(({ status }) => status === "running");
      for (const { seq, completed, failed, cancelled } of [{ ...stock, seq: ALL }, ...running]) {
        const kept = samples.get(seq) ?? [];
        kept.push({ at, ended: completed + failed + cancelled });
        while (kept.length > 2 && at - (kept[0]?.at ?? at) > PACE_MS) kept.shift();
        next.set(seq, kept);
      }
      samples = next;
    },
    /** Tasks per minute of a batch or of all; 0 before the second read. */
    of(batch: number = ALL): number {
      const kept = samples.get(batch);
      const first = kept?.[0];
      const last = kept?.at(-1);
      if (!first || !last || last.at === first.at) return 0;
      return Math.max(0, ((last.ended - first.ended) / (last.at - first.at)) * 60_000);
    },
    forget(): void {
      samples.clear();
    },
  };
}
