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
    meters.set("calls_in_flight", "", engine()?.inFlight ?? 0);
    meters.set("connections_open", "", connections);
    meters.set("event_loop_lag_seconds", "", load.lagMs() / 1000);
    meters.set("process_cpu_ratio", "", load.cpu());
    meters.set("process_memory_ratio", "", load.memory());
    meters.set("process_uptime_seconds", "", process.uptime());
    return meters.render();
  };
}
