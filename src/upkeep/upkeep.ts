import { getLogger } from "@logtape/logtape";

import type { Context } from "../context.ts";
import type { Cancel } from "../lib/clock.ts";
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
  const cancels: Cancel[] = [];
  const underWay = new Set<Promise<void>>();
  let watchedAt = ctx.clock.now();

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
    watchedAt = ctx.clock.now();
    run("The watch on the queue", () => watchQueue(ctx));
    run("The watch on the disk", () => watchDisk(ctx));
    run("The watch on the budgets", () => watchBudgets(ctx));
    run("The watch on the counters", () => watchBooks(ctx, since));
  }

  const prune = () => run("The removal of old events", () => pruneHistory(ctx));

  return {
    start() {
      prune();
      cancels.push(
        ctx.clock.setInterval(watch, WATCH_EVERY_MS),
        ctx.clock.setInterval(prune, PRUNE_EVERY_MS),
      );
    },
    async stop() {
      for (const cancel of cancels) cancel();
      await Promise.all(underWay);
    },
  };
}
