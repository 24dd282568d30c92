import process from "node:process";

import { getLogger } from "@logtape/logtape";

import type { Context, ProviderLive } from "../context.ts";
import { ALERT_CODES } from "../domain/alert.ts";
import { TASK_STATUSES } from "../domain/task.ts";
import { type Clock, endsWithin } from "../lib/clock.ts";
import { logError } from "../lib/logged-error.ts";
import { label } from "../lib/meters.ts";
import { COUNT_ALERTS } from "../store/alerts.ts";
import { DATABASE_SIZE } from "../store/free-pages.ts";
import { countLiving } from "../store/nodes.ts";
import { readRows } from "../store/rows.ts";
import { readStock, tasksOf, WAITING } from "../store/stock.ts";
import type { EngineProbe } from "./status.ts";

/** How long values from the database are cached, because metrics may be requested often. */
const KEEP_MS = 1000;
/** The same for values that change slowly. */
const KEEP_STATE_MS = 10_000;
/** The longest wait for the database before it is reported as unavailable. Prometheus waits for ten seconds. */
const DATABASE_WAIT_MS = 3000;
/** Metrics that come from the database. They are left out without it, because old values would look current. */
const OF_DATABASE = [
  "queue_depth",
  "queue_oldest_age_seconds",
  "stored_tasks",
  "open_alerts",
  "database_size_bytes",
  "nodes_living",
] as const;

/** All metrics as Prometheus text; without the database, those of the process. */
export function createExposition(
  ctx: Context,
  engine: EngineProbe,
): (connections: number, version: string) => Promise<string> {
  const { meters, load } = ctx;
  const readQueue = atMostEvery(ctx.clock, KEEP_MS, () => setQueue(ctx));
  const readState = atMostEvery(ctx.clock, KEEP_STATE_MS, () => setState(ctx));
  const readDisk = atMostEvery(ctx.clock, KEEP_STATE_MS, () => setDisk(ctx));
  // Initialised with 0, so that the first event counts as a change.
  for (const status of ["completed", "failed", "cancelled"])
    meters.add("tasks_total", label("status", status), 0);
  for (const outcome of ["delivered", "retried", "failed"])
    meters.add("webhook_deliveries_total", label("outcome", outcome), 0);
  for (const outcome of ["completed", "failed", "cancelled", "skipped", "missed"])
    meters.add("schedule_fires_total", label("outcome", outcome), 0);
  for (const name of ["invariant_violations_total", "cached_answers_total"] as const)
    meters.add(name, "", 0);

  function setProvider(provider: string, { breaker, models }: ProviderLive): void {
    meters.set("provider_available", provider, breaker === "closed" ? 1 : 0);
    // Of several keys the one that is ready first counts.
    const waits = new Map<string, number>();
    for (const { model, waitMs } of models)
      waits.set(model, Math.min(waitMs, waits.get(model) ?? Infinity));
    for (const [model, waitMs] of waits)
      meters.set(
        "provider_throttle_wait_seconds",
        `${provider},${label("model", model)}`,
        waitMs / 1000,
      );
  }

  async function setStored(): Promise<void> {
    const log = getLogger(["gptrunner", "prometheus"]);
    const answers = await endsWithin(
      ctx.clock,
      Promise.all([readQueue(), readState()]),
      DATABASE_WAIT_MS,
    ).catch((error: unknown) => {
      logError(log, "The metrics of the database are left out: {error}", { error });
      return false;
    });
    meters.set("database_available", "", answers ? 1 : 0);
    if (!answers) for (const name of OF_DATABASE) meters.clear(name);
  }

  return async (connections, version) => {
    await Promise.all([setStored(), readDisk()]);
    meters.set("build_info", label("version", version), 1);
    const state = engine();
    meters.set("calls_in_flight", "", state?.inFlight ?? 0);
    meters.clear("provider_throttle_wait_seconds");
    for (const [i, live] of ctx.live.providers().entries())
      setProvider(label("provider", ctx.config.providers[i]?.name ?? ""), live);
    meters.set("connections_open", "", connections);
    meters.set("event_loop_lag_seconds", "", load.lagMs() / 1000);
    meters.set("process_cpu_ratio", "", load.cpu());
    meters.set("process_memory_ratio", "", load.memory());
    meters.set("process_uptime_seconds", "", process.uptime());
    return meters.render();
  };
}

/** Repeats work if the last time was more than `ms` ago, or failed. Concurrent callers share one run. */
function atMostEvery(
  clock: Pick<Clock, "monotonic">,
  ms: number,
  work: () => Promise<void>,
): () => Promise<void> {
  let doneAt = -Infinity;
  let underWay: Promise<void> | undefined;
  async function again(): Promise<void> {
    const begun = clock.monotonic();
    try {
      await work();
      doneAt = begun;
    } catch (error) {
      doneAt = -Infinity;
      throw error;
    } finally {
      underWay = undefined;
    }
  }
  return async () => {
    if (underWay === undefined && clock.monotonic() - doneAt < ms) return;
    await (underWay ??= again());
  };
}

/** Sets the numbers of stored and of waiting tasks. */
async function setQueue(ctx: Context): Promise<void> {
  const { meters } = ctx;
  const [stock, [queue]] = await Promise.all([readStock(ctx), readRows(ctx.reads.client, WAITING)]);
  if (!queue) return;
  for (const status of TASK_STATUSES)
    meters.set("stored_tasks", label("status", status), tasksOf(stock, status));
  meters.set("queue_depth", "", queue.depth);
  const age = queue.oldestAt === null ? 0 : Math.max(0, ctx.clock.now() - queue.oldestAt) / 1000;
  meters.set("queue_oldest_age_seconds", "", age);
}

async function setDisk({ files, config, meters }: Context): Promise<void> {
  const space = await files.space(config.dataDir).catch(() => undefined);
  if (space) meters.set("disk_free_bytes", "", space.free);
}

/** Sets the gauges for operators: alerts, size, processes. None of them reads a table that grows. */
async function setState(ctx: Context): Promise<void> {
  const { meters, reads, config } = ctx;
  const [alerts, [size], [living]] = await Promise.all([
    readRows(reads.client, COUNT_ALERTS),
    readRows(reads.client, DATABASE_SIZE),
    readRows(reads.client, countLiving(config.leaseMs)),
  ]);
  for (const code of ALERT_CODES)
    meters.set(
      "open_alerts",
      label("code", code),
      alerts.find((one) => one.code === code)?.open ?? 0,
    );
  if (size) meters.set("database_size_bytes", "", size.bytes);
  if (living) meters.set("nodes_living", "", living.nodes);
}
