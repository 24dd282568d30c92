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
import type { ProcessLoad } from "./lib/process-load.ts";
import type { Random } from "./lib/random.ts";
import type { SecretBox } from "./lib/secret-box.ts";
import type { Signals } from "./lib/signals.ts";
import type { Tables } from "./lib/tables/tables.ts";
import type { StartThread } from "./lib/thread.ts";
import type { Tracing } from "./lib/tracing.ts";

/** A piece of a task's answer; `offset` counts the characters before it, 0 where an answer begins (again). */
export type Delta = { task: number; offset: number; text: string };

/** Signals between the parts of one process. The database is the truth; these save a poll. */
export type Topics = {
  /** Work for a lane is in the group that commits next. */
  queued: { lane: number; model: string };
  /** A batch was started or stopped, or tasks of one are pending again. */
  batch: undefined;
  /** A schedule was changed, or a run of one asked for. */
  schedules: undefined;
  /** A task or a batch was deleted. */
  deleted: undefined;
  /** These tasks' calls have lost their queue rows and are pointless. */
  abandoned: { tasks: number[] };
  /** Claims of this process may have been taken from it by others, as by a cancel there. */
  lost: undefined;
  /** The log shows that something has happened in other processes. */
  elsewhere: undefined;
  /** Somebody here begins to wait, or to read a stream. */
  listening: undefined;
  /** The runs of these tasks have ended. */
  settled: { tasks: number[] };
  /** An API key has changed, by its row number, or any may have; what was known may not hold. */
  keys: { key: number | null };
  /** New rows are in the event log. */
  events: undefined;
  /** A webhook was made, changed or deleted, or deliveries of one are to be made again. */
  webhooks: undefined;
  /** Pieces of answers that are being streamed. Not stored. */
  deltas: Delta[];
};

/** Why a batch makes no headway at present, or less than it could. */
export type Waiting = { reason: "rate_limit" | "provider_unavailable"; until: number | null };

/** A provider as the engine of this process sees it. */
export type ProviderLive = {
  inFlight: number;
  maxConcurrency: number | null;
  /** `open`: it cannot be reached and gets no calls; `half_open`: one call finds out whether it can. */
  breaker: BreakerState;
  openUntil: number | null;
  /** Keys that get no calls because they were refused or their quota is used up. */
  keysOut: number;
  /**
   * What was called since the start of the process; `key` is its place among the provider's, `waitMs`
   * how long the next call has to wait.
   */
  models: { model: string; isFlex: boolean; key: number; waitMs: number; pacer: PacerState }[];
};

/** What the engine of this process knows and the database does not. */
type LiveView = {
  /** How far the database's clock is ahead of this process' steady one; 0 on a local file. */
  aheadMs: number;
  /** The number of this process among those that share the database; 0 before it has joined them. */
  node: number;
  /** The id of the store that its files are in, if that is known and of interest, and why it cannot be reached. */
  filesId: string | null;
  filesTrouble: string | null;
  waitingOf: (batch: number) => Waiting | null;
  providers: () => ProviderLive[];
  /** Processes that execute tasks, this one included, as far as it has heard. */
  nodes: number;
};

/** Posts to an address, unless that address is forbidden (`lib/guarded-post.ts`). */
export type PostWebhook = (url: string, options: PostOptions) => Promise<PostAnswer>;

/** Waiting for tasks and batches to end, wherever they run. */
export type Waits = {
  /**
   * Resolves with true when the tasks (their row numbers) have ended or are gone, with false after `ms` or when
   * `signal` aborts. Never rejects.
   */
  untilEnded(tasks: readonly number[], ms: number, signal?: AbortSignal): Promise<boolean>;
  /** The same for a batch that runs or waits for its rows: until it has ended, is paused, or is gone. */
  untilBatchEnded(batch: number, ms: number, signal?: AbortSignal): Promise<boolean>;
  /** How many tasks and batches are waited for. */
  size(): number;
  start(): void;
  stop(): Promise<void>;
};

/** The bytes of a file at an address that may be asked (`lib/guarded-get.ts`). */
type GetInput = (url: string, options: GetOptions) => AsyncIterable<Uint8Array>;

/** What every verb gets first. */
export type Context = {
  config: Config;
  /** For reads of single rows, on the main thread. */
  db: Db;
  /** The same, for what is no drizzle query. */
  client: Client;
  /** For lists, counts and sums. */
  reads: Reads;
  /** For what may read everything: results, estimates, checks. */
  longReads: Reads;
  writer: Writer;
  signals: Signals<Topics>;
  /** Seals what must be stored but not be readable, such as webhook secrets. */
  secrets: SecretBox;
  /** What this process has done since it started, for Prometheus. */
  meters: Meters<MeterName>;
  /** Sends traces to a collector, if there is one. */
  tracing: Tracing;
  /** How busy this process is. */
  load: ProcessLoad;
  /** Finds the addresses that webhooks go to, and inputs come from. */
  resolveHost: ResolveHost;
  live: LiveView;
  waits: Waits;
  chunks: Chunks;
  /** No other process can have the database open. */
  isExclusive: boolean;
  clock: Clock;
  /** For ids and jitter; keys and secrets have a source of their own (`lib/secrets.ts`). */
  random: Random;
  files: FileSystem;
  /** Uploads, inputs and outputs. */
  fileStore: FileStore;
  /** The drafts of batches that this process writes at present. */
  drafts: Set<string>;
  /** The uploads that this process writes at present. */
  uploads: Set<string>;
  /** The temporary files that this process writes at present. */
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
  /** Posts to a webhook, at an address that may be posted to. */
  postWebhook: PostWebhook;
  /** Reads the input of a batch that is at a URL. */
  getInput: GetInput;
  /**
   * Asks a provider, by its place in the configuration, with one of its keys, whether it is there,
   * unless that was found out less than `maxAgeMs` ago.
   */
  probeProvider: (provider: number, key: number, maxAgeMs: number) => Promise<Probe>;
  models: ModelCatalogue;
};
