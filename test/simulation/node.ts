import { drizzle } from "drizzle-orm/libsql";

import { type Config, readConfig } from "../../src/config.ts";
import type { Context } from "../../src/context.ts";
import { readsInPlace } from "../../src/db/reads.ts";
import { deadlineUnder } from "../../src/db/server.ts";
import { createWriter } from "../../src/db/writer.ts";
import { createAnswerCheck, type ToCheck } from "../../src/domain/answer-check.ts";
import type { Chunks } from "../../src/domain/chunks.ts";
import { createCallRunner } from "../../src/engine/call-runner.ts";
import type { FromWorker, ToWorker } from "../../src/engine/protocol.ts";
import { orCrash } from "../../src/lib/background.ts";
import type { FileSystem } from "../../src/lib/file-system.ts";
import { IDLE } from "../../src/lib/process-load.ts";
import type { StartThread } from "../../src/lib/thread.ts";
import { NO_TRACING } from "../../src/lib/tracing.ts";
import { createContext, createParts, type Parts } from "../../src/parts.ts";
import { measureAll, type ToMeasure } from "../../src/providers/token-measure.ts";
import type { Connection, Database } from "./database.ts";
import { type ClockFaults, createNodeClock, type NodeClock } from "./node-clock.ts";
import type { SimulatedProvider } from "./provider.ts";
import type { Luck } from "./random.ts";
import type { Receivers } from "./receiver.ts";
import { createDatabaseThread } from "./threads.ts";
import type { Timeline } from "./timeline.ts";

/** The settings that a world may choose. */
export type NodeConfig = Pick<
  Config,
  "maxConcurrency" | "maxRetries" | "leaseMs" | "role" | "requestTimeoutMs"
>;

export type NodeOptions = {
  index: number;
  timeline: Timeline;
  epoch: number;
  database: Database;
  provider: SimulatedProvider;
  receivers: Receivers;
  files: FileSystem;
  chunks: Chunks;
  clockFaults: ClockFaults;
  config: NodeConfig;
  isShared: boolean;
  /** The mean time of a commit to a local file, and of a long read, which have threads; `null` if they take no time. */
  threadsMs: number | null;
  luck: Luck;
};

export type Node = {
  index: number;
  ctx: Context;
  parts: Parts;
  clock: NodeClock;
  connection: Connection;
  /** Resolves when it has started. Rejects if it could not, as a process that exits. */
  started: Promise<void>;
  hasStarted: boolean;
  isStopping: boolean;
  /** Ends a worker thread. */
  killThread(): void;
};

const BASE = readConfig({
  DATA_DIR: "/data",
  API_KEYS: "simulated",
  WORKERS: "1",
  OPENAI_BASE_URL: "http://provider.invalid/v1",
  OPENAI_API_KEY: "simulated",
  SIMULATOR_LATENCY_MS: "5",
  RETRY_BASE_MS: "100",
  RETRY_MAX_MS: "2000",
  WEBHOOK_ALLOWED_HOSTS: "receiver-0.invalid,receiver-1.invalid",
});

export const FILES_DIR = BASE.filesDir;

/** Starts a process on the database: the real engine, scheduler, courier and services, in this world. */
export function startNode(options: NodeOptions): Node {
  const { index, timeline, database, provider, receivers, files, isShared } = options;
  const luck = options.luck.fork("node");
  const clock = createNodeClock(timeline, options.epoch, options.clockFaults);
  const network = {
    clock,
    luck: options.luck.fork("network"),
    giveUpMs: deadlineUnder(options.config.leaseMs),
  };
  const connection = database.connect(network, isShared);
  const [committing, reading] = connectThreads(options, network, connection);
  const threads = createThreads(clock, luck, {
    fetch: provider.fetchFrom({ index, clock }),
    files,
  });
  const drizzleOf = (client: Connection) => drizzle({ client, casing: "snake_case" });
  const ctx = createContext(
    { ...BASE, ...options.config },
    {
      clock,
      random: luck.next,
      files,
      chunks: options.chunks,
      startThread: threads.start,
      startTokenThread: createTokenThreads(clock),
      startCheckThread: createCheckThreads(clock),
      startTableThread: () => {
        throw new Error("The simulation has no workbooks");
      },
      postWebhook: receivers.postFrom({ clock }),
      getInput: () => {
        throw new Error("The simulation has no inputs at URLs");
      },
      resolveHost: async () => ["192.0.2.1"],
    },
    {
      ...readsInPlace({ client: reading, db: drizzleOf(reading) }),
      db: drizzleOf(connection),
      client: connection,
      writer: createWriter(committing, clock),
      isExclusive: !isShared,
    },
    {
      tracing: NO_TRACING,
      // Switches at random, so that both ways are taken that depend on whether requests arrive.
      load: { ...IDLE, requestShare: () => Math.floor(clock.monotonic() / 500) % 2 },
      probeProvider: () => provider.probeFrom({ clock }),
      models: { isAllowed: () => true, lists: async () => [] },
    },
  );
  const parts = createParts(ctx, provider.fetchFrom({ index, clock }));
  const node: Node = {
    index,
    ctx,
    parts,
    clock,
    connection,
    started: parts.start().then(() => void (node.hasStarted = true)),
    hasStarted: false,
    isStopping: false,
    killThread: threads.killOne,
  };
  return node;
}

type Network = Parameters<Database["connect"]>[0];

/** The connections that write the database and that read much of it, in worlds where these have threads of their own. */
function connectThreads(
  { timeline, database, luck, isShared, threadsMs }: NodeOptions,
  network: Network,
  connection: Connection,
): [committing: Connection, reading: Connection] {
  if (threadsMs === null || isShared) return [connection, connection];
  const withThread = (name: string) => {
    const own = luck.fork(name);
    const thread = createDatabaseThread(timeline, {
      clock: network.clock,
      luck: own,
      meanMs: threadsMs,
    });
    return database.connect({ ...network, luck: own.fork("faults"), thread }, isShared);
  };
  return [withThread("commits"), withThread("reads")];
}

/** Replaces the thread that counts tokens. */
function createTokenThreads(clock: NodeClock): StartThread {
  return <Sent, Received>({ onMessage }: { onMessage: (message: Received) => void }) => {
    let isOver = false;
    return {
      post(message: Sent) {
        const copy = structuredClone(message) as ToMeasure;
        clock.arrive(0, () => {
          const answer = measureAll(copy).then((measured) => {
            if (!isOver) onMessage(measured as Received);
          });
          orCrash(clock, answer);
        });
      },
      end() {
        isOver = true;
      },
    };
  };
}

/** Replaces the thread that checks answers. */
function createCheckThreads(clock: NodeClock): StartThread {
  return <Sent, Received>({ onMessage }: { onMessage: (message: Received) => void }) => {
    const check = createAnswerCheck();
    let isOver = false;
    return {
      post(message: Sent) {
        const checked = check(structuredClone(message) as ToCheck);
        clock.arrive(0, () => {
          if (!isOver) onMessage(checked as Received);
        });
      },
      end() {
        isOver = true;
      },
    };
  };
}

/** Replaces worker threads: runs their code in this thread, with messages in between. */
function createThreads(
  clock: NodeClock,
  luck: Luck,
  outside: Pick<Parameters<typeof createCallRunner>[1], "fetch" | "files">,
) {
  const living = new Set<() => void>();

  const start: StartThread = <Sent, Received>({
    onMessage,
    onDeath,
  }: {
    onMessage: (message: Received) => void;
    onDeath: (why: string) => void;
  }) => {
    let isOver = false;
    const handle = createCallRunner(
      (message: FromWorker) => {
        // Messages are copied, so that no side sees the changes of the other.
        const copy = structuredClone(message) as Received;
        clock.arrive(0, () => {
          if (!isOver) onMessage(copy);
        });
      },
      {
        clock,
        random: luck.next,
        files: outside.files,
        // A dead thread starts no further call, such as a second one with another parameter.
        fetch: (...request) => (isOver ? new Promise(() => {}) : outside.fetch(...request)),
      },
    );
    const die = () => {
      isOver = true;
      living.delete(die);
      clock.arrive(0, () => onDeath("simulated: the thread died"));
    };
    living.add(die);
    return {
      post(message: Sent) {
        const copy = structuredClone(message) as ToWorker;
        clock.arrive(0, () => {
          if (!isOver) handle(copy);
        });
      },
      end() {
        isOver = true;
        living.delete(die);
      },
    };
  };

  return {
    start,
    killOne() {
      const [first] = living;
      first?.();
    },
  };
}
