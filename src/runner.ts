// Gives zod schemas their `openapi` method, those of the domain too, so it must come before them.
import "@hono/zod-openapi";
import { mkdirSync } from "node:fs";

import type { Config } from "./config.ts";
import type { Context, Topics } from "./context.ts";
import { type Courier, createCourier } from "./courier/courier.ts";
import { openDatabase } from "./db/client.ts";
import { BUCKET_BOUNDS_MS } from "./domain/latency.ts";
import { METERS } from "./domain/meters.ts";
import { type Engine, startEngine } from "./engine/engine.ts";
import { createApp } from "./http/app.ts";
import { resolveHost } from "./lib/guarded-post.ts";
import { createMeters } from "./lib/meters.ts";
import { measureLoad } from "./lib/process-load.ts";
import { createSecretBox } from "./lib/secret-box.ts";
import { createSignals } from "./lib/signals.ts";
import { StartError } from "./lib/start-error.ts";
import { NO_TRACING } from "./lib/tracing.ts";
import { createModelCatalogue } from "./providers/model-catalogue.ts";
import { createProbes } from "./providers/probe.ts";
import { type Scheduler, startScheduler } from "./scheduler/scheduler.ts";
import { createAuditLog } from "./services/audit.ts";
import { sweepAll } from "./services/batch-sweeps.ts";
import { createEventHub, type EventHub } from "./services/event-hub.ts";
import { ensureKeys } from "./services/first-keys.ts";
import { removeAbandonedDrafts } from "./services/ingest.ts";
import { pruneMetrics } from "./services/metrics.ts";
import { createUpkeep } from "./upkeep/upkeep.ts";

/** A delivery that is cut short is sent again after the next start. */
const COURIER_GRACE_MS = 5000;
const PRUNE_EVERY_MS = 3_600_000;

export type Runner = {
  ctx: Context;
  /** Answers a request; `address` tells where it comes from. */
  fetch: (
    request: Request,
    connection: { address: () => string | undefined },
  ) => Response | Promise<Response>;
  hub: EventHub;
  /** The first admin key, if this start made it: the only time that it can be read. */
  firstKey: string | undefined;
  /** Begins to execute tasks, unless this process only answers requests. */
  start(): Promise<void>;
  /** Executes no more; calls in flight get `graceMs` to finish. Requests are still answered. */
  stop(graceMs: number): Promise<void>;
  /** Closes the database; no request may come any more. */
  close(): Promise<void>;
};

/** Everything of one process but its HTTP server and its signals. Throws `StartError`. */
export async function createRunner(
  config: Config,
  outside: Pick<Context, "resolveHost"> = { resolveHost },
): Promise<Runner> {
  try {
    mkdirSync(config.filesDir, { recursive: true });
  } catch (error) {
    throw new StartError(`Cannot create the files folder ${config.filesDir}: ${String(error)}`);
  }
  const database = await openDatabase(config.databaseUrl, config.databaseAuthToken);
  const { db, client, writer, isExclusive } = database;
  const now = Date.now;
  const load = measureLoad();
  const tracing =
    config.otlpEndpoint === undefined
      ? NO_TRACING
      : (await import("./tracing.ts")).startTracing(config.otlpEndpoint, config.providers);
  const ctx: Context = {
    config,
    db,
    client,
    writer,
    isExclusive,
    signals: createSignals<Topics>(),
    load,
    tracing,
    meters: createMeters(
      METERS,
      "gptrunner_",
      BUCKET_BOUNDS_MS.map((ms) => ms / 1000),
    ),
    live: { waitingOf: () => null, providers: () => [], nodes: 1 },
    secrets: createSecretBox(config.encryptionKeys),
    now,
    probeProvider: createProbes(config.providers, now),
    ...outside,
    isModelSupported: createModelCatalogue(config, now),
  };
  const firstKey = await ensureKeys(ctx).catch(async (error: unknown) => {
    await database.close();
    throw error;
  });
  let engine: Engine | undefined;
  let courier: Courier | undefined;
  const upkeep = createUpkeep(ctx);
  let pruning: ReturnType<typeof setInterval> | undefined;
  const hub = createEventHub(ctx);
  const auditLog = createAuditLog(ctx);
  const app = createApp(ctx, { hub, auditLog, engine: () => engine?.state() });
  let scheduler: Scheduler | undefined;
  return {
    ctx,
    hub,
    fetch: app.fetch,
    firstKey,
    async start() {
      if (isExclusive) await removeAbandonedDrafts(ctx);
      upkeep.start();
      void pruneMetrics(ctx);
      pruning = setInterval(pruneMetrics, PRUNE_EVERY_MS, ctx);
      if (config.role === "api") return;
      engine = await startEngine(ctx);
      courier = createCourier(ctx);
      await courier.start();
      scheduler = await startScheduler(ctx, { node: engine.node });
      void sweepAll(ctx);
    },
    async stop(graceMs) {
      const stopping = engine;
      engine = undefined;
      clearInterval(pruning);
      load.stop();
      await scheduler?.stop(graceMs);
      await stopping?.stop(graceMs);
      await courier?.stop(Math.min(graceMs, COURIER_GRACE_MS));
      await upkeep.stop();
      // Only now, so that readers hear how the last calls ended.
      await hub.stop();
    },
    async close() {
      await auditLog.flush();
      await tracing.stop();
      await database.close();
    },
  };
}
