import { availableParallelism } from "node:os";
import { resolve } from "node:path";

import type { z } from "zod";

import type { PriceTable } from "./domain/prices.ts";
import type { Fallbacks, Provider } from "./domain/provider.ts";
import { routesOf } from "./domain/routes.ts";
import { Environment, type LogFormat, type LogLevel, type Role, SECRETS } from "./environment.ts";
import type { Bucket } from "./lib/s3/requests.ts";
import { issuesOf } from "./lib/zod-issues.ts";
import { readPricesFile } from "./prices-file.ts";
import {
  DEFAULT_PROVIDER,
  NO_KEY,
  OPENAI_URL,
  type ProvidersFile,
  readProvidersFile,
} from "./providers-file.ts";
import { readSecretFiles } from "./secret-files.ts";

export type Config = {
  port: number;
  host: string;
  databaseUrl: string;
  databaseAuthToken: string | undefined;
  /** How long a start waits for a database that cannot be reached. */
  databaseWaitMs: number;
  /** How many copies of a local file from before migrations are kept; 0: none are made. */
  migrationCopies: number;
  dataDir: string;
  filesDir: string;
  /** The bucket of uploads, inputs and outputs; undefined: they are in `filesDir`. */
  bucket: Bucket | undefined;
  apiKeys: string[];
  /** The first encrypts secrets at rest, and all decrypt. Empty: secrets are stored unencrypted. */
  encryptionKeys: string[];
  /** Limits for keys without a limit of their own, and for wrong keys from one address; 0: no limit. */
  rateLimitPerMinute: number;
  failedLoginsPerMinute: number;
  /** Proxies in front of the server that append to X-Forwarded-For. */
  trustedProxyHops: number;
  /** Event streams, and waiting requests, that one API key may hold open in this process; 0: no limit. */
  maxStreamsPerKey: number;
  maxWaitsPerKey: number;
  /** 0: any number. */
  maxWebhooks: number;
  maxStoredBytes: number;
  maxStoredBytesPerKey: number;
  maxBatchBytes: number;
  /** The providers of real runs, in the order of preference. Dry runs always go to `simulator`. */
  providers: Provider[];
  simulator: Provider;
  fallbacks: Fallbacks;
  defaultModel: string;
  /** Patterns such as `gpt-4*`; empty: all that a provider serves. */
  allowedModels: string[];
  workers: number;
  maxConcurrency: number;
  maxRetries: number;
  /** A run fails when this many of its attempts were interrupted by the end of their process. */
  maxInterruptions: number;
  retryBaseMs: number;
  retryMaxMs: number;
  requestTimeoutMs: number;
  maxBodyBytes: number;
  bodyTimeoutMs: number;
  /** Origins whose pages may use the API; `*`: all. */
  corsOrigins: string[];
  maxFileBytes: number;
  /** Limits of the input of a batch through `/v1`. */
  openAiMaxFileBytes: number;
  openAiMaxLines: number;
  /** Endpoints that such a batch may call besides those of OpenAI. */
  openAiEndpoints: string[];
  /** For calls through `/v1`: the longest wait for a provider's limits, and the most calls at a time. */
  liveMaxWaitMs: number;
  liveMaxCalls: number;
  /** The most live calls at a time per API key; 0: no limit of its own. */
  liveMaxCallsPerKey: number;
  liveStore: "asked" | "always";
  /** The most bytes of all uploads that one request attaches. */
  maxAttachmentBytes: number;
  leaseMs: number;
  shutdownGraceMs: number;
  /** Hosts (`host` or `host:port`) that webhooks may go to although their addresses are private. */
  webhookAllowedHosts: string[];
  /** Hosts that the input of a batch may come from although their addresses are private. */
  inputAllowedHosts: string[];
  /** How long events and records of deliveries are kept. */
  retentionMs: number;
  /** 0: for ever. */
  cacheRetentionMs: number;
  taskRetentionMs: number;
  fileRetentionMs: number;
  role: Role;
  logLevel: LogLevel;
  logFormat: LogFormat;
  /** The target of traces; undefined for none. */
  otlpEndpoint: string | undefined;
};

/** The environment is invalid; `problems` has one line per problem. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly problems: string[];

  constructor(problems: string[]) {
    super(problems.join("\n"));
    this.problems = problems;
  }
}

/** Reads the environment once. An empty value counts as unset. Throws `ConfigError` with every problem. */
export function readConfig(given: Record<string, string | undefined>): Config {
  const { env, problems } = readSecretFiles(given, SECRETS);
  const set = Object.fromEntries(
    Object.entries(env).filter(([name, value]) => name in Environment.shape && value?.trim()),
  );
  const parsed = Environment.safeParse(set);
  for (const { path, message } of issuesOf(parsed.error?.issues ?? []))
    problems.push(`${path}: ${message}`);
  if (!parsed.success || problems.length > 0) throw new ConfigError(problems);
  const e = parsed.data;
  const dataDir = resolve(e.DATA_DIR);
  return {
    port: e.PORT,
    host: e.HOST,
    databaseUrl: e.DATABASE_URL ?? `file:${resolve(dataDir, "task-runner.db")}`,
    databaseAuthToken: e.DATABASE_AUTH_TOKEN,
    databaseWaitMs: e.DATABASE_WAIT_SECONDS * 1000,
    migrationCopies: e.MIGRATION_COPIES,
    dataDir,
    filesDir: resolve(e.FILES_DIR ?? resolve(dataDir, "files")),
    bucket: readBucket(e),
    apiKeys: e.API_KEYS ?? [],
    encryptionKeys: e.ENCRYPTION_KEY ?? [],
    rateLimitPerMinute: e.RATE_LIMIT_PER_MINUTE,
    failedLoginsPerMinute: e.FAILED_LOGINS_PER_MINUTE,
    trustedProxyHops: e.TRUSTED_PROXY_HOPS,
    maxStreamsPerKey: e.MAX_STREAMS_PER_KEY,
    maxWaitsPerKey: e.MAX_WAITS_PER_KEY,
    maxWebhooks: e.MAX_WEBHOOKS,
    maxStoredBytes: e.MAX_STORED_BYTES,
    maxStoredBytesPerKey: e.MAX_STORED_BYTES_PER_KEY,
    maxBatchBytes: e.MAX_BATCH_BYTES,
    ...readProviders(e, env),
    defaultModel: e.DEFAULT_MODEL,
    allowedModels: e.ALLOWED_MODELS ?? [],
    workers: e.WORKERS ?? Math.max(1, Math.min(4, availableParallelism() - 1)),
    maxConcurrency: e.MAX_CONCURRENCY,
    maxRetries: e.MAX_RETRIES,
    maxInterruptions: e.MAX_INTERRUPTIONS,
    retryBaseMs: e.RETRY_BASE_MS,
    retryMaxMs: e.RETRY_MAX_MS,
    requestTimeoutMs: e.REQUEST_TIMEOUT_MS,
    maxBodyBytes: e.MAX_BODY_BYTES,
    bodyTimeoutMs: e.BODY_TIMEOUT_SECONDS * 1000,
    corsOrigins: e.CORS_ORIGINS ?? [],
    maxFileBytes: e.MAX_FILE_BYTES,
    openAiMaxFileBytes: e.OPENAI_MAX_FILE_BYTES,
    openAiMaxLines: e.OPENAI_MAX_LINES,
    openAiEndpoints: e.OPENAI_ENDPOINTS ?? [],
    liveMaxWaitMs: e.LIVE_MAX_WAIT_MS,
    liveMaxCalls: e.LIVE_MAX_CALLS,
    liveMaxCallsPerKey: e.LIVE_MAX_CALLS_PER_KEY,
    liveStore: e.LIVE_STORE,
    maxAttachmentBytes: e.MAX_ATTACHMENT_BYTES,
    leaseMs: e.LEASE_SECONDS * 1000,
    shutdownGraceMs: e.SHUTDOWN_GRACE_SECONDS * 1000,
    webhookAllowedHosts: e.WEBHOOK_ALLOWED_HOSTS ?? [],
    inputAllowedHosts: e.INPUT_ALLOWED_HOSTS ?? [],
    retentionMs: e.RETENTION_DAYS * 86_400_000,
    cacheRetentionMs: e.CACHE_RETENTION_DAYS * 86_400_000,
    taskRetentionMs: e.TASK_RETENTION_DAYS * 86_400_000,
    fileRetentionMs: e.FILE_RETENTION_DAYS * 86_400_000,
    role: e.ROLE,
    logLevel: e.LOG_LEVEL,
    logFormat: e.LOG_FORMAT,
    otlpEndpoint: e.OTEL_EXPORTER_OTLP_ENDPOINT,
  };
}

/** The bucket that `FILES_URL` names. */
function readBucket(e: z.infer<typeof Environment>): Bucket | undefined {
  if (e.FILES_URL === undefined) return undefined;
  const problems = (["S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY"] as const)
    .filter((name) => e[name] === undefined)
    .map((name) => `${name}: is needed for FILES_URL`);
  if (problems.length > 0) throw new ConfigError(problems);
  const [bucket = "", ...folders] = e.FILES_URL.slice("s3://".length).split("/");
  const prefix = folders.filter((folder) => folder !== "").join("/");
  return {
    endpoint: e.S3_ENDPOINT ?? `https://s3.${e.S3_REGION}.amazonaws.com`,
    region: e.S3_REGION,
    bucket,
    prefix: prefix === "" ? "" : `${prefix}/`,
    accessKeyId: e.S3_ACCESS_KEY_ID ?? "",
    secretAccessKey: e.S3_SECRET_ACCESS_KEY ?? "",
  };
}

/** The providers of the file, then that of the environment unless the file has it, or the simulator. */
function readProviders(
  e: z.infer<typeof Environment>,
  env: Record<string, string | undefined>,
): Pick<Config, "providers" | "simulator" | "fallbacks"> {
  const file = readFile(e.PROVIDERS_FILE, env);
  const { fallbacks } = file;
  const ownPrices = readPrices(e.PRICES_FILE);
  const providers = file.providers.map((provider) => {
    return { ...provider, prices: [...provider.prices, ...ownPrices] };
  });
  const terms = { models: null, prices: ownPrices, maxConcurrency: null };
  const limits: Provider["limits"] = [
    ["*", { rpm: e.PROVIDER_RPM ?? null, tpm: e.PROVIDER_TPM ?? null }],
  ];
  const simulator: Provider = {
    ...terms,
    kind: "simulator",
    name: "simulator",
    latencyMs: e.SIMULATOR_LATENCY_MS,
    failureRate: e.SIMULATOR_FAILURE_RATE,
    mismatchRate: e.SIMULATOR_MISMATCH_RATE,
    limits,
    // Dry runs show what the real run would cost.
    prices: [...file.providers.flatMap(({ prices }) => prices), ...ownPrices],
  };
  const isNamed = providers.some(({ name }) => name === DEFAULT_PROVIDER);
  const fromEnvironment: Provider | undefined =
    (e.OPENAI_API_KEY || e.OPENAI_BASE_URL) && !isNamed
      ? {
          ...terms,
          kind: "openai",
          name: DEFAULT_PROVIDER,
          baseUrl: e.OPENAI_BASE_URL ?? OPENAI_URL,
          apiKeys: [e.OPENAI_API_KEY ?? NO_KEY],
          headers: {},
          limits,
        }
      : undefined;
  const rest = fromEnvironment ?? (providers.length === 0 ? simulator : undefined);
  const all = [...providers, ...(rest ? [rest] : [])];
  if (routesOf({ providers: all, fallbacks: [] }, e.DEFAULT_MODEL).length === 0)
    throw new ConfigError([
      `DEFAULT_MODEL: no provider of PROVIDERS_FILE takes ${e.DEFAULT_MODEL}; name one of its models`,
    ]);
  return { providers: all, simulator, fallbacks };
}

function readPrices(path: string | undefined): PriceTable {
  if (path === undefined) return [];
  const read = readPricesFile(path);
  if (!read.ok) throw new ConfigError(read.problems.map((line) => `PRICES_FILE: ${line}`));
  return read.prices;
}

function readFile(
  path: string | undefined,
  env: Record<string, string | undefined>,
): ProvidersFile {
  if (path === undefined) return { providers: [], fallbacks: [] };
  const read = readProvidersFile(path, env);
  if (!read.ok) throw new ConfigError(read.problems.map((line) => `PROVIDERS_FILE: ${line}`));
  return read.file;
}
