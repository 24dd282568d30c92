import { z } from "zod";

const ROLES = ["all", "api", "runner"] as const;
export type Role = (typeof ROLES)[number];
const LOG_LEVELS = ["debug", "info", "warning", "error"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
/** What other programs call these levels. */
const LEVEL_NAMES: Record<string, LogLevel> = {
  trace: "debug",
  verbose: "debug",
  notice: "info",
  warn: "warning",
  err: "error",
  critical: "error",
  fatal: "error",
};
const LOG_FORMATS = ["json", "pretty"] as const;
export type LogFormat = (typeof LOG_FORMATS)[number];

/** The value may also be in a file, which the variable with the suffix `_FILE` names. */
const SECRET = { isSecret: true };

/** Every variable the program reads. The table in docs/configuration.md is tested against this schema. */
export const Environment = z.object({
  PORT: integer(0, 65_535).default(3000).describe("Port of the HTTP server; 0 takes a free one"),
  HOST: text().default("127.0.0.1").describe("Address to listen on; 0.0.0.0 in the container"),
  DATABASE_URL: url(["file:", "http:", "https:", "libsql:", "ws:", "wss:"])
    .optional()
    .meta({ default: "file:$DATA_DIR/task-runner.db", ...SECRET })
    .describe("A local file (`file:…`) or a libSQL server (`http://…`, `libsql://…`)"),
  DATABASE_AUTH_TOKEN: text().optional().meta(SECRET).describe("Token for a libSQL server"),
  DATABASE_WAIT_SECONDS: integer(0, 3600)
    .default(30)
    .describe("At the start: time for a libSQL server that cannot be reached to come"),
  MIGRATION_COPIES: integer(0, 100)
    .default(2)
    .describe("Of a local file: copies kept from before its last migrations; 0: none are made"),
  DATA_DIR: text().default("./data").describe("Where the database and files live"),
  FILES_DIR: text()
    .optional()
    .meta({ default: "$DATA_DIR/files" })
    .describe("The only folder that `inputFile` and `outputFile` may name"),
  FILES_URL: text()
    .regex(
      /^s3:\/\/[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](\/(?!\.{1,2}(\/|$))[^/\s?#]+)*\/?$/,
      "must be s3://bucket or s3://bucket/prefix",
    )
    .optional()
    .describe(
      "A bucket for uploads, inputs and outputs that all nodes share: `s3://bucket/prefix`",
    ),
  S3_ENDPOINT: url(["http:", "https:"])
    .refine((value) => !/[@?#]/.test(value), "must have no user name, query or fragment")
    .optional()
    .meta({ default: "https://s3.$S3_REGION.amazonaws.com" })
    .describe("The server of `FILES_URL`, where it is not that of AWS: MinIO, Ceph, R2 and others"),
  S3_REGION: text()
    .regex(/^[a-z0-9-]{1,63}$/i, "must be the name of a region, such as eu-central-1")
    .default("us-east-1")
    .describe("The region of the bucket; servers that have none take any"),
  S3_ACCESS_KEY_ID: text().optional().meta(SECRET).describe("The credentials for `FILES_URL`"),
  S3_SECRET_ACCESS_KEY: text().optional().meta(SECRET).describe("The secret that belongs to it"),
  API_KEYS: list()
    .optional()
    .meta(SECRET)
    .describe("Comma-separated admin keys; with none here or stored, the first start makes one"),
  ENCRYPTION_KEY: list()
    .refine((keys) => keys.every((key) => key.length >= 32), "must have 32 characters or more")
    .optional()
    .meta(SECRET)
    .describe(
      "Encrypts webhook secrets at rest (`openssl rand -base64 32`); to replace it: `new,old`",
    ),
  RATE_LIMIT_PER_MINUTE: integer(0, 10_000_000)
    .default(100)
    .describe(
      "Requests of one API key in a minute, unless the key has its own limit; 0: any number",
    ),
  FAILED_LOGINS_PER_MINUTE: integer(0, 10_000_000)
    .default(10)
    .describe("Wrong API keys from one address in a minute; 0: any number"),
  TRUSTED_PROXY_HOPS: integer(0, 10)
    .default(0)
    .describe("Reverse proxies in front, whose `X-Forwarded-For` has the client's address"),
  MAX_STREAMS_PER_KEY: integer(0, 1_000_000)
    .default(100)
    .describe("Event streams that one API key may have open; 0: any number"),
  MAX_WAITS_PER_KEY: integer(0, 1_000_000)
    .default(100)
    .describe("Requests with `Prefer: wait` that one API key may have open; 0: any number"),
  MAX_WEBHOOKS: integer(0, 100_000).default(100).describe("Webhooks in all; 0: any number"),
  MAX_STORED_BYTES: integer(0, Number.MAX_SAFE_INTEGER)
    .default(0)
    .describe("Bytes that uploads and the requests of tasks may take in all; 0: any number"),
  MAX_STORED_BYTES_PER_KEY: integer(0, Number.MAX_SAFE_INTEGER)
    .default(0)
    .describe("The same for what was sent with one API key; 0: any number"),
  MAX_BATCH_BYTES: integer(0, Number.MAX_SAFE_INTEGER)
    .default(10_737_418_240)
    .describe("Largest batch: what its requests take when templates are filled in; 0: any size"),
  BODY_TIMEOUT_SECONDS: integer(1, 3600).default(30).describe("Time for a request body to arrive"),
  CORS_ORIGINS: list()
    .optional()
    .describe("Comma-separated origins whose pages may use the API; unset: none but its own"),
  OPENAI_API_KEY: text().optional().meta(SECRET).describe("Key of the provider"),
  OPENAI_BASE_URL: url(["http:", "https:"])
    .optional()
    .describe("Any OpenAI-compatible API; with neither of the two, the simulator answers"),
  PROVIDERS_FILE: text()
    .optional()
    .describe("JSON file with more providers, their models, limits and prices, and with fallbacks"),
  PRICES_FILE: text()
    .optional()
    .describe("JSON file with prices by model or pattern that go before the built-in list"),
  DEFAULT_MODEL: text().default("gpt-4o-mini").describe("Model of tasks that name none"),
  ALLOWED_MODELS: list()
    .optional()
    .describe("Comma-separated patterns (`gpt-4*`); unset: whatever a provider takes"),
  WORKERS: integer(1, 64)
    .optional()
    .meta({ default: "processors - 1, at most 4" })
    .describe("Worker threads that call the provider"),
  MAX_CONCURRENCY: integer(1, 10_000).default(64).describe("Calls in flight at once"),
  MAX_RETRIES: integer(0, 100)
    .default(3)
    .describe("Further attempts after a failure that may pass"),
  MAX_INTERRUPTIONS: integer(1, 1000)
    .default(5)
    .describe("A task fails after its process was killed during this many of its attempts"),
  PROVIDER_RPM: integer(1, 1_000_000_000)
    .optional()
    .describe(
      "Requests a minute and model that the provider allows; unset: learned from its answers",
    ),
  PROVIDER_TPM: integer(1, 1_000_000_000_000)
    .optional()
    .describe(
      "Tokens a minute and model that the provider allows; unset: learned from its answers",
    ),
  RETRY_BASE_MS: integer(1, 3_600_000).default(500).describe("First back-off, doubled each time"),
  RETRY_MAX_MS: integer(1, 86_400_000).default(60_000).describe("Longest back-off"),
  REQUEST_TIMEOUT_MS: integer(1, 86_400_000)
    .default(120_000)
    .describe("Time for one provider call"),
  MAX_BODY_BYTES: integer(1024, 1_073_741_824)
    .default(10_485_760)
    .describe("Largest request body that is read"),
  MAX_FILE_BYTES: integer(1024, 1_099_511_627_776)
    .default(1_073_741_824)
    .describe("Largest file that can be uploaded"),
  OPENAI_MAX_FILE_BYTES: integer(1024, 1_099_511_627_776)
    .default(209_715_200)
    .describe(
      "Largest input of a batch that is uploaded through `/v1/files`, at most MAX_FILE_BYTES",
    ),
  OPENAI_MAX_LINES: integer(1, 10_000_000)
    .default(50_000)
    .describe("Most requests of a batch that is made through `/v1/batches`"),
  OPENAI_ENDPOINTS: list()
    .refine(
      (paths) => paths.every((path) => /^\/v1(\/[A-Za-z0-9][\w.:-]{0,99}){1,8}$/.test(path)),
      "must be paths such as /v1/rerank",
    )
    .optional()
    .describe(
      "Comma-separated paths of a provider that batches through `/v1` may call, besides OpenAI's",
    ),
  LIVE_MAX_WAIT_MS: integer(0, 3_600_000)
    .default(30_000)
    .describe(
      "Longest wait of a call through `/v1` for the limits of a provider; beyond it the answer is 429",
    ),
  LIVE_STORE: word(["asked", "always"])
    .default("asked")
    .describe("Which calls through `/v1` are stored as tasks: those with `store: true`, or all"),
  LIVE_MAX_CALLS: integer(1, 1_000_000)
    .default(1000)
    .describe("Calls through `/v1` that one process makes at a time"),
  LIVE_MAX_CALLS_PER_KEY: integer(0, 1_000_000)
    .default(500)
    .describe("Calls through `/v1` that one API key may have in progress; 0: any number"),
  MAX_ATTACHMENT_BYTES: integer(1024, 268_435_456)
    .default(20_000_000)
    .describe("The most that the uploads which one request attaches may have together"),
  LEASE_SECONDS: integer(1, 3600)
    .default(15)
    .describe("On a shared database: silence after which a node's work goes to others"),
  SHUTDOWN_GRACE_SECONDS: integer(0, 3600)
    .default(25)
    .describe("On SIGTERM: time for calls in flight to finish"),
  INPUT_ALLOWED_HOSTS: list()
    .optional()
    .describe(
      "Comma-separated hosts (`host` or `host:port`) of your own network that batch inputs may come from, also over `http://`",
    ),
  WEBHOOK_ALLOWED_HOSTS: list()
    .optional()
    .describe(
      "Comma-separated hosts (`host` or `host:port`) of your own network that webhooks may go to",
    ),
  RETENTION_DAYS: integer(1, 36_500)
    .default(30)
    .describe(
      "Days that events, ended deliveries, runs of schedules and idempotency keys are kept",
    ),
  CACHE_RETENTION_DAYS: integer(0, 36_500)
    .default(0)
    .describe("Days that an answer is given to identical requests; 0: as long as its task"),
  TASK_RETENTION_DAYS: integer(0, 36_500)
    .default(0)
    .describe("Days that batches and single tasks are kept after their end; 0: for ever"),
  FILE_RETENTION_DAYS: integer(0, 36_500)
    .default(0)
    .describe("Days that uploads are kept which no schedule reads; 0: for ever"),
  ROLE: word(ROLES)
    .default("all")
    .describe("`api` answers requests, `runner` executes, `all` both"),
  SIMULATOR_LATENCY_MS: integer(0, 600_000)
    .default(150)
    .describe("Typical answer time of the simulator"),
  SIMULATOR_FAILURE_RATE: number(0, 1).default(0).describe("Share of simulated calls that fail"),
  SIMULATOR_MISMATCH_RATE: number(0, 1)
    .default(0)
    .describe("Share of simulated answers that do not match the schema of `config.output`"),
  LOG_LEVEL: word(LOG_LEVELS, LEVEL_NAMES)
    .default("info")
    .describe("`debug`, `info` (a line per request and execution), `warning` or `error`"),
  LOG_FORMAT: word(LOG_FORMATS)
    .default("json")
    .describe("`json` for machines, `pretty` for people"),
  OTEL_EXPORTER_OTLP_ENDPOINT: url(["http:", "https:"])
    .optional()
    .describe("OpenTelemetry collector (OTLP over HTTP); unset: no traces"),
});

/** The variables whose values may be in files (`src/secret-files.ts`). */
export const SECRETS: readonly string[] = Object.entries(Environment.shape)
  .filter(([, schema]) => schema.meta()?.["isSecret"] === true)
  .map(([name]) => name);

/** One of some words, in any case, or a common synonym. */
function word<const W extends readonly [string, ...string[]]>(
  words: W,
  others: Record<string, W[number]> = {},
) {
  return text()
    .transform((value) => others[value.toLowerCase()] ?? value.toLowerCase())
    .pipe(z.enum(words));
}

function text() {
  return z.string().trim();
}

function list() {
  return text().transform((value) =>
    value
      .split(/[,\r\n]/)
      .map((item) => item.trim())
      .filter((item) => item !== ""),
  );
}

function integer(min: number, max: number) {
  const message = `must be a whole number from ${min} to ${max}`;
  return text()
    .regex(/^-?\d+$/, message)
    .transform(Number)
    .pipe(z.number().min(min, message).max(max, message));
}

function number(min: number, max: number) {
  const message = `must be a number from ${min} to ${max}`;
  return text()
    .regex(/^-?\d+(\.\d+)?$/, message)
    .transform(Number)
    .pipe(z.number().min(min, message).max(max, message));
}

function url(protocols: string[]) {
  const message = `must be a URL that starts with ${protocols.join(", ")}`;
  return text().refine((value) => {
    const scheme = /^[a-z]+:/.exec(value)?.[0];
    return (
      scheme !== undefined &&
      protocols.includes(scheme) &&
      (scheme === "file:" || URL.canParse(value))
    );
  }, message);
}
