import type { Client } from "@libsql/client";

import type { Config } from "./config.ts";
import type { Db } from "./db/client.ts";
import type { Reads } from "./db/reads.ts";
import type { Writer } from "./db/writer.ts";
import type { AnswerChecker } from "./domain/answer-check.ts";
import type { BreakerState } from "./domain/breaker.ts";
import type { Chunks } from "./domain/chunks.ts";
import type { Probe } from "./domain/health.ts";
import type { MeterName } from "./domain/meters.ts";
import type { ModelCatalogue } from "./domain/models.ts";
import type { PacerState } from "./domain/pacer.ts";
import type { TokenCounter } from "./domain/token-counter.ts";
import type { Clock } from "./lib/clock.ts";
import type { FileStore } from "./lib/file-store.ts";
import type { FileSystem } from "./lib/file-system.ts";
import type { GetOptions } from "./lib/guarded-get.ts";
import type { PostAnswer, PostOptions } from "./lib/guarded-post.ts";
import type { ResolveHost } from "./lib/guarded-target.ts";
import type { Meters } from "./lib/meters.ts";
import type { InProgress } from "./lib/one-by-one.ts";
import type { ProcessLoad } from "./lib/process-load.ts";
import type { Random } from "./lib/random.ts";
import type { SecretBox } from "./lib/secret-box.ts";
import type { Signals } from "./lib/signals.ts";
import type { Tables } from "./lib/tables/tables.ts";
import type { StartThread } from "./lib/thread.ts";
import type { Tracing } from "./lib/tracing.ts";

/** A piece of a task's answer; `offset` counts the characters before it, 0 when an answer begins or begins again. */
export type Delta = { task: number; offset: number; text: string };

/** Signals between the parts of one process. The database is authoritative; these only save polling. */
export type Topics = {
  /** Work for a lane is in the next commit. */
  queued: { lane: number; model: string };
  /** A batch was started or stopped, or tasks of a batch are pending again. */
  batch: undefined;
  /** A schedule was changed, or a run of it was requested. */
  schedules: undefined;
  /** A task or a batch was deleted. */
  deleted: undefined;
  /** These tasks have lost their queue rows, so their calls are pointless. */
  abandoned: { tasks: number[] };
  /** Other nodes may have ended claims of this process, for example by a cancellation. */
  lost: undefined;
  /** The log has events of other processes. */
  elsewhere: undefined;
  /** A client of this process begins to wait, or to read a stream. */
  listening: undefined;
  /** The runs of these tasks have ended. */
  settled: { tasks: number[] };
  /** An API key has changed, by row number; `null`: any may have. Cached facts may be out of date. */
  keys: { key: number | null };
  /** New rows are in the event log. */
  events: undefined;
  /** A file was stored or deleted. */
  files: undefined;
  /** A webhook was created, changed or deleted, or its deliveries are to be replayed. */
  webhooks: undefined;
  /** Pieces of answers that are being streamed. Not stored. */
  deltas: Delta[];
};

/** Why a batch makes no progress now, or less than it could. */
export type Waiting = { reason: "rate_limit" | "provider_unavailable"; until: number | null };

/** A provider as the engine of this process sees it. */
export type ProviderLive = {
  inFlight: number;
  maxConcurrency: number | null;
  /** `open`: it cannot be reached and gets no calls; `half_open`: one call tests whether it can. */
  breaker: BreakerState;
  openUntil: number | null;
  /** Keys that get no calls because they were refused or their quota is used up. */
  keysOut: number;
  /**
   * The models that were called since the start of the process; `key` is the index of the provider's key, `waitMs`
   * how long the next call has to wait.
   */
  models: { model: string; isFlex: boolean; key: number; waitMs: number; pacer: PacerState }[];
};

/** The state that only the engine of this process knows. */
type LiveView = {
  /** How far the database's clock is ahead of this process's steady clock; 0 on a local file. */
  aheadMs: number;
  /** The number of this process among those that share the database; 0 before it has joined them. */
  node: number;
  /** The id of its file store, if known and relevant, and why the store cannot be reached. */
  filesId: string | null;
  filesTrouble: string | null;
  waitingOf: (batch: number) => Waiting | null;
  providers: () => ProviderLive[];
  /** The number of processes that execute tasks, including this one, as far as it knows. */
  nodes: number;
};

/** Posts to a URL, unless its address is forbidden (`lib/guarded-post.ts`). */
export type PostWebhook = (url: string, options: PostOptions) => Promise<PostAnswer>;

/** Waiting for tasks and batches to end, wherever they run. */
export type Waits = {
  /**
   * Resolves with true when the tasks (their row numbers) have ended or were deleted, with false after `ms` or when
   * `signal` aborts. Never rejects.
   */
  untilEnded(tasks: readonly number[], ms: number, signal?: AbortSignal): Promise<boolean>;
  /** The same for a batch that is running or waits for its rows: until it has ended, is paused, or was deleted. */
  untilBatchEnded(batch: number, ms: number, signal?: AbortSignal): Promise<boolean>;
  /** How many tasks and batches are waited for. */
  size(): number;
  start(): void;
  stop(): Promise<void>;
};

/** Downloads a file from an allowed address (`lib/guarded-get.ts`). */
type GetInput = (url: string, options: GetOptions) => AsyncIterable<Uint8Array>;

/** The first argument of every service function. */
export type Context = {
  config: Config;
  /** For reads of single rows, on the main thread. */
  db: Db;
  /** The same, for statements that are not Drizzle queries. */
  client: Client;
  /** For lists, counts and sums. */
  reads: Reads;
  /** For reads that may cover everything: results, estimates, checks. */
  longReads: Reads;
  writer: Writer;
  signals: Signals<Topics>;
  /** Encrypts values that must not be stored in readable form, such as webhook secrets. */
  secrets: SecretBox;
  /** The counters of this process since its start, for Prometheus. */
  meters: Meters<MeterName>;
  /** Sends traces to a collector, if there is one. */
  tracing: Tracing;
  /** How busy this process is. */
  load: ProcessLoad;
  /** Resolves the hosts of webhooks and of inputs. */
  resolveHost: ResolveHost;
  live: LiveView;
  waits: Waits;
  chunks: Chunks;
  /** No other process can have the database open. */
  isExclusive: boolean;
  clock: Clock;
  /** For ids and jitter; keys and secrets use `lib/secrets.ts`. */
  random: Random;
  files: FileSystem;
  /** Uploads, inputs and outputs. */
  fileStore: FileStore;
  /** The drafts of batches that this process is writing. */
  drafts: Set<string>;
  /** The batches that this process is creating, by their idempotency keys. */
  creating: InProgress;
  /** The uploads that this process is writing. */
  uploads: Set<string>;
  /** The temporary files that this process is writing. */
  unfinished: Set<string>;
  /** Starts a worker thread of the engine. */
  startThread: StartThread;
  /** Starts the thread that counts tokens. */
  startTokenThread: StartThread;
  tokens: TokenCounter;
  /** Starts the thread that checks answers by their schemas. */
  startCheckThread: StartThread;
  answers: AnswerChecker;
  /** Starts a thread that reads tables. */
  startTableThread: StartThread;
  /** Reads workbooks and Parquet files. */
  tables: Tables;
  /** Posts to a webhook, if its address is allowed. */
  postWebhook: PostWebhook;
  /** Reads a batch's input from a URL. */
  getInput: GetInput;
  /**
   * Tests whether a provider, by its index in the configuration, answers with one of its keys, unless that was tested
   * less than `maxAgeMs` ago.
   */
  probeProvider: (provider: number, key: number, maxAgeMs: number) => Promise<Probe>;
  models: ModelCatalogue;
};
