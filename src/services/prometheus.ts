import process from "node:process";

import type { Context } from "../context.ts";
import { TASK_STATUSES } from "../domain/task.ts";
import { label } from "../lib/meters.ts";
import { rowsOf } from "../store/rows.ts";
import { readStock, tasksOf, WAITING, type Waiting } from "../store/stock.ts";
import type { EngineProbe } from "./status.ts";

/** What the database is asked for is kept this long, because anybody may ask for it. */
const KEEP_MS = 1000;

/** Tells everything that is measured, as Prometheus text. */
export function createExposition(
  ctx: Context,
  engine: EngineProbe,
): (connections: number, version: string) => Promise<string> {
  const { meters, load } = ctx;
  let readAt = -Infinity;
  // From the start, so that the first one counts as a change.
  for (const status of ["completed", "failed", "cancelled"])
    meters.add("tasks_total", label("status", status), 0);
  for (const outcome of ["delivered", "retried", "failed"])
    meters.add("webhook_deliveries_total", label("outcome", outcome), 0);
  for (const outcome of ["completed", "failed", "cancelled", "skipped", "missed"])
    meters.add("schedule_fires_total", label("outcome", outcome), 0);
  meters.add("invariant_violations_total", "", 0);

  async function readDatabase(): Promise<void> {
    if (ctx.now() - readAt < KEEP_MS) return;
    readAt = ctx.now();
    const [stock, waiting] = await Promise.all([
      readStock(ctx.client),
      ctx.client.execute(WAITING),
    ]);
    const [queue] = rowsOf<Waiting>(waiting);
    if (!queue) return;
    for (const status of TASK_STATUSES)
      meters.set("stored_tasks", label("status", status), tasksOf(stock, status));
    meters.set("queue_depth", "", queue.depth);
    const age = queue.oldestAt === null ? 0 : Math.max(0, ctx.now() - queue.oldestAt) / 1000;
    meters.set("queue_oldest_age_seconds", "", age);
  }

  return async (connections, version) => {
    await readDatabase();
    meters.set("build_info", label("version", version), 1);
    const state = engine();
    meters.set("calls_in_flight", "", state?.inFlight ?? 0);
    for (const { model, waitMs } of state?.waits ?? [])
      meters.set(
        "provider_throttle_wait_seconds",
        `${label("provider", ctx.config.provider.name)},${label("model", model)}`,
        waitMs / 1000,
      );
    meters.set("connections_open", "", connections);
    meters.set("event_loop_lag_seconds", "", load.lagMs() / 1000);
    meters.set("process_cpu_ratio", "", load.cpu());
    meters.set("process_memory_ratio", "", load.memory());
    meters.set("process_uptime_seconds", "", process.uptime());
    return meters.render();
  };
}
