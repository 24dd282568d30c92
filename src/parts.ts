// Gives zod schemas their `openapi` method, also those of the domain, so it must be imported first.
import "@hono/zod-openapi";
import type { Config } from "./config.ts";
import type { Context, Topics } from "./context.ts";
import { createCourier } from "./courier/courier.ts";
import type { Database } from "./db/client.ts";
import type { Patiently } from "./db/patience.ts";
import type { EngineState } from "./domain/health.ts";
import { BUCKET_BOUNDS_MS } from "./domain/latency.ts";
import { METERS } from "./domain/meters.ts";
import { createEngine } from "./engine/engine.ts";
import { createLive, type LiveOptions } from "./engine/live/live.ts";
import { createMembership } from "./engine/recovery.ts";
import type { FileStore } from "./lib/file-store.ts";
import { createLocalStore } from "./lib/local-store.ts";
import { createMeters } from "./lib/meters.ts";
import { createS3Store } from "./lib/s3/s3-store.ts";
import { createSecretBox } from "./lib/secret-box.ts";
import { createSignals } from "./lib/signals.ts";
import { createTables } from "./lib/tables/tables.ts";
import { createScheduler } from "./scheduler/scheduler.ts";
import { createAnswerChecker } from "./services/answer-checker.ts";
import { createEventHub, type EventHub } from "./services/event-hub.ts";
import { createKeyWatch, type KeyWatch } from "./services/key-watch.ts";
import { createLiveHub, type LiveHub } from "./services/live-hub.ts";
import type { LiveCalls } from "./services/live.ts";
import { createNodeSignals } from "./services/node-signals.ts";
import { createTokenCounter } from "./services/token-counter.ts";
import { createWaits } from "./services/waits.ts";
import { writtenBy } from "./services/written-by.ts";
import { createUpkeep } from "./upkeep/upkeep.ts";

/** The time for deliveries to finish; an interrupted one is sent again after the next start. */
const COURIER_GRACE_MS = 2000;

/** The parts of the outside world that a process uses besides its database. */
export type World = Pick<
  Context,
  | "clock"
  | "random"
  | "files"
  | "chunks"
  | "startThread"
  | "startTokenThread"
  | "startCheckThread"
  | "startTableThread"
  | "postWebhook"
  | "getInput"
  | "resolveHost"
>;

/**
 * Creates the context of a process from its database, its world, and the parts that know its providers and its load.
 */
export function createContext(
  config: Config,
  world: World,
  database: Omit<Database, "close" | "damage" | "patiently">,
  others: Pick<Context, "tracing" | "load" | "probeProvider" | "models">,
): Context {
  const signals = createSignals<Topics>();
  const unfinished = new Set<string>();
  return {
    config,
    ...database,
    ...world,
    ...others,
    signals,
    waits: createWaits({ client: database.client, clock: world.clock, signals }),
    meters: createMeters(
      METERS,
      "gptrunner_",
      BUCKET_BOUNDS_MS.map((ms) => ms / 1000),
      "model",
    ),
    drafts: new Set(),
    creating: new Map(),
    uploads: new Set(),
    unfinished,
    fileStore: createFileStore(config, world, unfinished),
    tokens: createTokenCounter({ clock: world.clock, startThread: world.startTokenThread }),
    answers: createAnswerChecker({ clock: world.clock, startThread: world.startCheckThread }),
    tables: createTables({ clock: world.clock, startThread: world.startTableThread }),
    live: {
      waitingOf: () => null,
      providers: () => [],
      aheadMs: 0,
      node: 0,
      nodes: 1,
      filesId: null,
      filesTrouble: null,
    },
    secrets: createSecretBox(config.encryptionKeys),
  };
}

function createFileStore(
  config: Config,
  { clock, random, files }: World,
  unfinished: Set<string>,
): FileStore {
  const local = { files, unfinished };
  const { bucket, filesDir: root, maxFileBytes } = config;
  if (!bucket) return createLocalStore(local, root);
  const machine = { clock, random, fetch: globalThis.fetch };
  const by = () => writtenBy({ config, random }, "upload");
  return createS3Store({ bucket, root, maxFileBytes, machine, local, by });
}

/** The long-lived parts of a process, without the HTTP interface. */
export type Parts = {
  hub: EventHub;
  liveHub: LiveHub;
  keyWatch: KeyWatch;
  liveCalls: LiveCalls;
  /** `undefined` while this process executes no tasks. */
  engineState(): EngineState | undefined;
  /** Starts executing tasks, unless this process only answers requests. */
  start(patiently?: Patiently): Promise<void>;
  /** Stops executing tasks; calls in flight get `graceMs` to finish. Requests are still answered. */
  stop(graceMs: number): Promise<void>;
};

/** A part that lives as long as the process. */
type Part = {
  start(): void | Promise<void>;
  stop(graceMs: number): void | Promise<void>;
};

/** `fetch` sends live calls; the calls of tasks are sent by worker threads. */
export function createParts(
  ctx: Context,
  fetch: LiveOptions["outside"]["fetch"] = globalThis.fetch,
): Parts {
  const hub = createEventHub(ctx);
  const keyWatch = createKeyWatch(ctx);
  const courier = createCourier(ctx);
  const membership = createMembership(ctx);
  const engine = createEngine(ctx, membership);
  const { clock, random } = ctx;
  const live = createLive(ctx, {
    upstreams: engine.upstreams,
    isAlive: membership.isAlive,
    onFreed: engine.nudge,
    outside: { clock, random, fetch },
  });
  const scheduler = createScheduler(ctx, { node: membership.node });
  let isExecuting = false;
  const engineState = () => (isExecuting ? engine.state() : undefined);
  const liveHub = createLiveHub(ctx, engineState);
  const elsewhere = createNodeSignals(ctx, {
    node: membership.node,
    isWaitedFor: () => hub.size() + liveHub.size() + ctx.waits.size() > 0,
    followers: hub,
  });
  const executesTasks = ctx.config.role !== "api";
  /** They stop together, before the others, because each may need the whole grace period. */
  const callers = new Set<Part>([engine, scheduler, live]);
  /** In the order of their start. The others stop in the reverse order. */
  const parts: Part[] = [
    keyWatch,
    // Stops last, so that readers see how the last calls ended.
    hub,
    liveHub,
    ctx.waits,
    createUpkeep(ctx),
    // It releases the claims that the process still holds.
    ...(executesTasks || !ctx.isExclusive ? [membership] : []),
    ...(ctx.isExclusive ? [] : [elsewhere]),
    ...(executesTasks
      ? [
          // Stops after the engine, so that the last events are delivered, too.
          {
            start: courier.start,
            stop: (ms: number) => courier.stop(Math.min(ms, COURIER_GRACE_MS)),
          },
          engine,
          scheduler,
        ]
      : []),
    { start: () => {}, stop: ctx.load.stop },
    ...(ctx.config.role === "runner" ? [] : [live]),
  ];
  const started: Part[] = [];
  return {
    hub,
    liveHub,
    keyWatch,
    liveCalls: live.call,
    engineState,
    async start(patiently = (work) => work()) {
      for (const part of parts) {
        started.push(part);
        await patiently(async () => part.start());
      }
      if (!executesTasks) return;
      isExecuting = true;
    },
    async stop(graceMs) {
      isExecuting = false;
      // Parts that did not start need no stop, and a part must not be stopped twice.
      const ending = started.splice(0).toReversed();
      const calling = ending.filter((part) => callers.has(part));
      const ends = await Promise.allSettled(calling.map(async (part) => part.stop(graceMs)));
      for (const end of ends) if (end.status === "rejected") throw end.reason;
      for (const part of ending) if (!callers.has(part)) await part.stop(graceMs);
    },
  };
}
