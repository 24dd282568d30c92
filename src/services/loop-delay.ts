import type { Context } from "../context.ts";
import { bucketOf } from "../domain/latency.ts";
import type { Cancel } from "../lib/clock.ts";

const EVERY_MS = 20;

/** Measures fifty times a second how late a timer fires, for Prometheus. */
export function createDelayMeter({ clock, meters }: Pick<Context, "clock" | "meters">) {
  let cancel: Cancel | undefined;
  return {
    start(): void {
      let at = clock.monotonic();
      cancel = clock.setInterval(() => {
        const now = clock.monotonic();
        const delayMs = Math.max(0, now - at - EVERY_MS);
        at = now;
        const counts: number[] = [];
        counts[bucketOf(delayMs)] = 1;
        meters.observe(
          "event_loop_delay_seconds",
          Array.from(counts, (n) => n ?? 0),
          delayMs / 1000,
        );
      }, EVERY_MS);
    },
    stop(): void {
      cancel?.();
    },
  };
}
