import { getLogger } from "@logtape/logtape";

import type { Context } from "../context.ts";
import { watchBudgets } from "../services/budgets.ts";
import { pruneHistory } from "../services/retention.ts";
import { watchBooks, watchDisk, watchQueue } from "../services/watch.ts";

const WATCH_EVERY_MS = 15_000;
const PRUNE_EVERY_MS = 3_600_000;

export type Upkeep = { start(): void; stop(): Promise<void> };

/**
 * What every process does beside its work: it looks for what is wrong, and removes what is old. On a
 * shared database all do; an alert is told once all the same, and what is removed is gone.
 */
export function createUpkeep(ctx: Context): Upkeep {
  const log = getLogger(["gptrunner", "upkeep"]);
  const timers: ReturnType<typeof setInterval>[] = [];
  const underWay = new Set<Promise<void>>();
  let watchedAt = ctx.now();

  function run(name: string, work: () => Promise<unknown>): void {
    const promise = work()
      .then(
        () => undefined,
        (error: unknown) => log.error("{name} failed: {error}", { name, error }),
      )
      .finally(() => underWay.delete(promise));
    underWay.add(promise);
  }

  function watch(): void {
    const since = watchedAt - WATCH_EVERY_MS;
    watchedAt = ctx.now();
    run("The watch on the queue", () => watchQueue(ctx));
    run("The watch on the disk", () => watchDisk(ctx));
    run("The watch on the budgets", () => watchBudgets(ctx));
    run("The watch on the counters", () => watchBooks(ctx, since));
  }

  const prune = () => run("The removal of old events", () => pruneHistory(ctx));

  return {
    start() {
      prune();
      timers.push(setInterval(watch, WATCH_EVERY_MS), setInterval(prune, PRUNE_EVERY_MS));
    },
    async stop() {
      for (const timer of timers) clearInterval(timer);
      await Promise.all(underWay);
    },
  };
}
