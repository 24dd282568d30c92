// Gives zod schemas their `openapi` method, those of the domain too, so it must come before them.
import "@hono/zod-openapi";
import type { Config } from "./config.ts";
import type { Context, Topics } from "./context.ts";
import { type Courier, createCourier } from "./courier/courier.ts";
import type { Database } from "./db/client.ts";
import type { EngineState } from "./domain/health.ts";
import { BUCKET_BOUNDS_MS } from "./domain/latency.ts";
import { METERS } from "./domain/meters.ts";
import { type Engine, startEngine } from "./engine/engine.ts";
import type { Cancel } from "./lib/clock.ts";
import { createMeters } from "./lib/meters.ts";
import { createSecretBox } from "./lib/secret-box.ts";
import { createSignals } from "./lib/signals.ts";
import { type Scheduler, startScheduler } from "./scheduler/scheduler.ts";
import { sweepAll } from "./services/batch-sweeps.ts";
import { createEventHub, type EventHub } from "./services/event-hub.ts";
import { removeAbandonedDrafts } from "./services/ingest.ts";
import { pruneMetrics } from "./services/metrics.ts";
import { createUpkeep } from "./upkeep/upkeep.ts";

/** A delivery that is cut short is sent again after the next start. */
const COURIER_GRACE_MS = 5000;
const PRUNE_EVERY_MS = 3_600_000;

/** What of the world a process touches besides its database. */
export type World = Pick<
  Context,
  "clock" | "random" | "files" | "startThread" | "postWebhook" | "resolveHost"
>;

/** The context of a process, from its database, its world, and what knows its providers and its load. */
export function createContext(
  config: Config,
  world: World,
  { db, client, writer, isExclusive }: Pick<Database, "db" | "client" | "writer" | "isExclusive">,
  others: Pick<Context, "tracing" | "load" | "probeProvider" | "isModelSupported">,
): Context {
  return {
    config,
    db,
    client,
    writer,
    isExclusive,
    ...world,
    ...others,
    signals: createSignals<Topics>(),
    meters: createMeters(
      METERS,
      "gptrunner_",
      BUCKET_BOUNDS_MS.map((ms) => ms / 1000),
    ),
    live: { waitingOf: () => null, providers: () => [], nodes: 1 },
    secrets: createSecretBox(config.encryptionKeys),
  };
}

/** The long-lived parts of a process: all of it but the HTTP face. */
export type Parts = {
  hub: EventHub;
  /** `undefined` while no tasks are executed. */
  engineState(): EngineState | undefined;
  /** Begins to execute tasks, unless this process only answers requests. */
  start(): Promise<void>;
  /** Executes no more; calls in flight get `graceMs` to finish. Requests are still answered. */
  stop(graceMs: number): Promise<void>;
};

export function createParts(ctx: Context): Parts {
  let engine: Engine | undefined;
  let courier: Courier | undefined;
  let scheduler: Scheduler | undefined;
  let cancelPruning: Cancel | undefined;
  const upkeep = createUpkeep(ctx);
  const hub = createEventHub(ctx);
  return {
    hub,
    engineState: () => engine?.state(),
    async start() {
      if (ctx.isExclusive) await removeAbandonedDrafts(ctx);
      upkeep.start();
      void pruneMetrics(ctx);
      cancelPruning = ctx.clock.setInterval(() => void pruneMetrics(ctx), PRUNE_EVERY_MS);
      if (ctx.config.role === "api") return;
      engine = await startEngine(ctx);
      courier = createCourier(ctx);
      await courier.start();
      scheduler = await startScheduler(ctx, { node: engine.node });
      void sweepAll(ctx);
    },
    async stop(graceMs) {
      const stopping = engine;
      engine = undefined;
      cancelPruning?.();
      ctx.load.stop();
      await scheduler?.stop(graceMs);
      await stopping?.stop(graceMs);
      await courier?.stop(Math.min(graceMs, COURIER_GRACE_MS));
      await upkeep.stop();
      // Only now, so that readers hear how the last calls ended.
      await hub.stop();
    },
  };
}
