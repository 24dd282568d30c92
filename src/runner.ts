import { join } from "node:path";

import type { Config } from "./config.ts";
import type { Context } from "./context.ts";
import { openDatabase } from "./db/client.ts";
import { startCommitThread, startReadThread } from "./db/threads.ts";
import { CHUNKS, SERVER_CHUNKS } from "./domain/chunks.ts";
import { startWorkerThread } from "./engine/worker-thread.ts";
import { withAbsoluteUrl } from "./http/absolute-url.ts";
import { createApp } from "./http/app.ts";
import { asGet } from "./http/head.ts";
import { createFirstLogin } from "./http/monitor/login.ts";
import { createSystemClock } from "./lib/clock.ts";
import { systemFiles } from "./lib/file-system.ts";
import { getGuarded } from "./lib/guarded-get.ts";
import { postGuarded } from "./lib/guarded-post.ts";
import { resolveHost } from "./lib/guarded-target.ts";
import { newId } from "./lib/ids.ts";
import { measureLoad } from "./lib/process-load.ts";
import { createSystemRandom } from "./lib/random.ts";
import { startTableThread } from "./lib/tables/table-thread.ts";
import type { StartThread } from "./lib/thread.ts";
import { NO_TRACING } from "./lib/tracing.ts";
import { ensureWritable } from "./lib/writable.ts";
import { removeUnfinished } from "./lib/write-whole.ts";
import { createContext, createParts, type Parts, type World } from "./parts.ts";
import { createModelCatalogue } from "./providers/model-catalogue.ts";
import { createProbes } from "./providers/probe.ts";
import { startTokenThread } from "./providers/token-thread.ts";
import { startCheckThread } from "./services/answer-check-thread.ts";
import { createAuditLog } from "./services/audit.ts";
import { reportDamage } from "./services/damage.ts";
import { ensureKeys } from "./services/first-keys.ts";
import { createFirstRepair } from "./services/first-repair.ts";
import { createDelayMeter } from "./services/loop-delay.ts";
import { clearForsaken } from "./services/provider-alerts.ts";
import { requireFiles } from "./services/shared-files.ts";
import { keepTimeline } from "./services/timeline.ts";

export type Runner = Pick<Parts, "hub" | "liveHub" | "start" | "stop"> & {
  ctx: Context;
  /** Answers a request; `address` says where it comes from. */
  fetch: (
    request: Request,
    connection: { address: () => string | undefined; stayOpen?: () => void },
  ) => Response | Promise<Response>;
  /** The first admin key, if this start made it: the only time that it can be read. */
  firstKey: string | undefined;
  /** The token after the `#` of the first start's login link, if this start made a key. */
  loginToken: string | undefined;
  /** Closes the database; no request may follow. */
  close(): Promise<void>;
};

export type Outside = Partial<World> & {
  /** Starts a thread that reads the database; `null`: the main thread reads it. */
  startReader?: StartThread | null;
  /** Starts the thread that writes a local file; `null`: the main thread writes it. */
  startCommitter?: StartThread | null;
};

/**
 * Checks the file store, then, before anything is numbered, whether the database was restored, clears alerts that concern
 * nothing any more, and ensures that the required keys exist.
 */
async function ensureTruth(ctx: Context): Promise<string | undefined> {
  await requireFiles(ctx);
  await keepTimeline(ctx);
  await clearForsaken(ctx);
  return ensureKeys(ctx);
}

/** What is answered in any state of the process. */
const ALWAYS_ANSWERED = /^[^?]*\/(healthz|readyz|metrics)(\?|$)/;

/**
 * The port is open before the process has joined those that share its database. An upload or a batch of that time would
 * belong to no living process, and another one would remove it, so requests wait until the start has ended.
 */
function createEntrance({ isExclusive }: Pick<Context, "isExclusive">) {
  const opened = Promise.withResolvers<void>();
  // No other process uses a local file.
  let isOpen = isExclusive;
  return {
    pass<Answer>({ url }: Request, answer: () => Answer | Promise<Answer>) {
      return isOpen || ALWAYS_ANSWERED.test(url) ? answer() : opened.promise.then(answer);
    },
    open() {
      isOpen = true;
      opened.resolve();
    },
  };
}

/**
 * Everything of one process except its HTTP server and its signals. `changes` replace parts of its outside world.
 * Throws `StartError`.
 */
export async function createRunner(
  config: Config,
  { startReader = startReadThread, startCommitter = startCommitThread, ...changes }: Outside = {},
): Promise<Runner> {
  const given: Omit<World, "chunks"> & Partial<World> = {
    clock: createSystemClock(),
    random: createSystemRandom(),
    files: systemFiles,
    startThread: startWorkerThread,
    startTokenThread,
    startCheckThread,
    startTableThread,
    postWebhook: postGuarded,
    getInput: getGuarded,
    resolveHost,
    ...changes,
  };
  const { dataDir, filesDir } = config;
  ensureWritable(dataDir, "data folder");
  const isInside = filesDir.startsWith(join(dataDir, "/"));
  ensureWritable(filesDir, "files folder", isInside ? dataDir : filesDir);
  const database = await openDatabase(config.databaseUrl, given.clock, {
    authToken: config.databaseAuthToken,
    startReader: startReader ?? undefined,
    startCommitter: startCommitter ?? undefined,
    leaseMs: config.leaseMs,
    waitMs: config.databaseWaitMs,
    holder: newId(given, "node"),
    migrationCopies: config.migrationCopies,
  });
  const world = { chunks: database.isExclusive ? CHUNKS : SERVER_CHUNKS, ...given };
  const tracing =
    config.otlpEndpoint === undefined
      ? NO_TRACING
      : (await import("./tracing.ts")).startTracing(config.otlpEndpoint, config.providers);
  const outside = { ...world, fetch: globalThis.fetch };
  const { close, damage, patiently, ...open } = database;
  const ctx = createContext(config, world, open, {
    tracing,
    load: measureLoad(world.clock),
    probeProvider: createProbes(config.providers, outside),
    models: createModelCatalogue(config, outside),
  });
  const firstKey = await patiently(() => ensureTruth(ctx)).catch(async (error: unknown) => {
    await close();
    throw error;
  });
  reportDamage(ctx, damage);
  const parts = createParts(ctx);
  const delays = createDelayMeter(ctx);
  const firstRepair = createFirstRepair(ctx);
  const auditLog = createAuditLog(ctx);
  auditLog.start();
  const firstLogin = createFirstLogin(world.clock, firstKey);
  const entrance = createEntrance(ctx);
  const app = createApp(ctx, {
    hub: parts.hub,
    liveHub: parts.liveHub,
    keyWatch: parts.keyWatch,
    auditLog,
    engine: parts.engineState,
    firstLogin,
    liveCalls: parts.liveCalls,
  });
  return {
    ctx,
    hub: parts.hub,
    liveHub: parts.liveHub,
    fetch: (request, connection) =>
      entrance.pass(request, () =>
        app.fetch(asGet(withAbsoluteUrl(request)), {
          ...connection,
          isHead: request.method === "HEAD",
        }),
      ),
    firstKey,
    loginToken: firstLogin.token,
    async start() {
      delays.start();
      await parts.start(patiently);
      entrance.open();
      firstRepair.start();
    },
    async stop(graceMs) {
      await firstRepair.stop();
      await parts.stop(graceMs);
      delays.stop();
    },
    async close() {
      ctx.tokens.stop();
      ctx.answers.stop();
      ctx.tables.stop();
      await removeUnfinished(ctx);
      await auditLog.stop();
      await tracing.stop();
      await close();
    },
  };
}
