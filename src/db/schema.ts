import { sql } from "drizzle-orm";
import {
  foreignKey,
  index,
  integer,
  primaryKey,
  real,
  sqliteTable,
  text,
  uniqueIndex,
} from "drizzle-orm/sqlite-core";

import type { AlertCode } from "../domain/alert.ts";
import type { BATCH_STATUSES, OutputStatus, PauseReason } from "../domain/batch.ts";
import type { EventType } from "../domain/event.ts";
import type { InputFound } from "../domain/input-found.ts";
import { BUCKETS } from "../domain/latency.ts";
import type { Endpoint } from "../domain/request.ts";
import type { OverlapPolicy, RunCause, RunError, RunStatus } from "../domain/schedule.ts";
import type { Scope } from "../domain/scope.ts";
import type { FinalStatus, StoredStatus } from "../domain/task.ts";

/*
 * Times are Unix milliseconds, money is USD. Rows point at each other by `seq`, the integer row
 * number; `id` is the public name. Large texts stand in tables of their own (`task_inputs`,
 * `executions`), so that a change of status rewrites a small row: with bodies of 3 kB a claim and
 * settlement costs 40 µs that way and 72 µs with the body in the task's row.
 */

export const apiKeys = sqliteTable(
  "api_keys",
  {
    seq: integer().primaryKey({ autoIncrement: true }),
    id: text().notNull().unique(),
    name: text().notNull(),
    /** SHA-256 of the key; the key itself is never stored. */
    hash: text().notNull().unique(),
    /** First characters, enough for a person to tell keys apart. */
    prefix: text().notNull(),
    scopes: text({ mode: "json" }).$type<Scope[]>().notNull(),
    origin: text().$type<"environment" | "first-start" | "api">().notNull(),
    createdAt: integer().notNull(),
    revokedAt: integer(),
    expiresAt: integer(),
    /** To the minute: it is not worth a write at each request. */
    lastUsedAt: integer(),
    /** Null: RATE_LIMIT_PER_MINUTE. */
    rateLimitPerMinute: integer(),
    monthlyBudgetUsd: real(),
    /** What the dearest call that it paid for cost; null before the first that cost something. */
    dearestUsd: real(),
    /** What a rotation replaced, which is valid for a while yet. */
    previousHash: text(),
    previousExpiresAt: integer(),
  },
  (t) => [
    uniqueIndex("api_keys_by_previous_hash")
      .on(t.previousHash)
      .where(sql`${t.previousHash} is not null`),
  ],
);
export type ApiKey = typeof apiKeys.$inferSelect;

/** On a shared database: how many requests of a key its processes have taken of a minute's limit. */
export const rateWindows = sqliteTable(
  "rate_windows",
  {
    apiKey: integer().notNull(),
    /** Minutes since 1970. */
    minute: integer().notNull(),
    used: integer().notNull(),
    /** What the last one to ask was given of it. */
    granted: integer().notNull(),
  },
  (t) => [primaryKey({ columns: [t.apiKey, t.minute] })],
);

/** Who changed or executed what. Triggers refuse to change or delete a row. */
export const auditLog = sqliteTable(
  "audit_log",
  {
    id: integer().primaryKey({ autoIncrement: true }),
    at: integer().notNull(),
    /** Public id of the API key. */
    keyId: text().notNull(),
    action: text().notNull(),
    /** Public id of what it was done to. */
    target: text(),
    requestId: text().notNull(),
    address: text(),
    /** The request's query, JSON. */
    options: text(),
  },
  (t) => [index("audit_by_key").on(t.keyId), index("audit_by_target").on(t.target)],
);
export type AuditEntry = typeof auditLog.$inferSelect;

/** What the tasks of each key came to, by UTC month (`2026-01`). Dry runs cost nothing. */
export const apiKeyUsage = sqliteTable(
  "api_key_usage",
  {
    apiKey: integer().notNull(),
    month: text().notNull(),
    tasks: integer().notNull(),
    promptTokens: integer().notNull(),
    completionTokens: integer().notNull(),
    costUsd: real().notNull(),
  },
  (t) => [primaryKey({ columns: [t.apiKey, t.month] })],
);

export const batches = sqliteTable(
  "batches",
  {
    seq: integer().primaryKey({ autoIncrement: true }),
    id: text().notNull().unique(),
    name: text().notNull(),
    description: text(),
    status: text().$type<(typeof BATCH_STATUSES)[number] | "ingesting">().notNull(),
    /** Made by a task that named it; a later POST /batches of the same id fills it in. */
    isBare: integer({ mode: "boolean" }).notNull().default(false),
    isDryRun: integer({ mode: "boolean" }).notNull().default(false),
    apiKey: integer(),
    inputFile: text(),
    outputFile: text(),
    /** Header of the table that the batch was made from, as it has it: names may be blank or appear twice. */
    columns: text({ mode: "json" }).$type<string[]>(),
    /** What was found in the file; null for inline tasks. */
    input: text({ mode: "json" }).$type<InputFound>(),
    config: text({ mode: "json" }).$type<Record<string, unknown>>().notNull(),
    metadata: text({ mode: "json" }).$type<Record<string, unknown>>(),
    maxConcurrency: integer(),
    /** Trace context of the request that started it, where traces are told. */
    trace: text(),
    /** What it may cost; it is paused when it has cost so much. */
    maxCostUsd: real(),
    /** Why it is paused. */
    pauseReason: text({ mode: "json" }).$type<PauseReason>(),
    /**
     * Set while tasks of an earlier run become pending again, a chunk at a time: their statuses. Those
     * are revived that ended in an earlier generation, so that none is revived twice.
     */
    revive: text({ mode: "json" }).$type<FinalStatus[]>(),
    /** How often it was started again. */
    generation: integer().notNull().default(0),
    /** The key that started it, which pays for its runs. */
    payer: integer(),
    /** What became of writing `outputFile`; null before the batch ends. */
    outputStatus: text().$type<OutputStatus>(),
    outputError: text(),
    outputAt: integer(),
    /** Row number of the node that writes it. */
    outputOwner: integer(),
    run: integer().notNull().default(0),
    createdAt: integer().notNull(),
    updatedAt: integer().notNull(),
    startedAt: integer(),
    /** Its tasks that had ended when it was started last, and do not run again. */
    endedBefore: integer().notNull().default(0),
    completedAt: integer(),
    total: integer().notNull().default(0),
    completed: integer().notNull().default(0),
    failed: integer().notNull().default(0),
    cancelled: integer().notNull().default(0),
    running: integer().notNull().default(0),
    promptTokens: integer().notNull().default(0),
    completionTokens: integer().notNull().default(0),
    costUsd: real().notNull().default(0),
    /** What its dry run would have cost. */
    estimatedUsd: real().notNull().default(0),
    /** Calls whose model has no known price; their cost is in no sum. */
    unpriced: integer().notNull().default(0),
    /** What the dearest of its calls cost so far; null before the first that cost something. */
    dearestUsd: real(),
    /** Completed tasks whose answers were cut off, and those that took the answer of another. */
    truncated: integer().notNull().default(0),
    cached: integer().notNull().default(0),
  },
  (t) => [
    index("batches_by_status").on(t.status, t.createdAt),
    index("batches_by_time").on(t.createdAt),
    index("batches_by_output")
      .on(t.outputStatus)
      .where(sql`${t.outputStatus} in ('pending', 'writing')`),
    index("batches_unswept")
      .on(t.status)
      .where(
        sql`(${t.status} = 'cancelled' AND ${t.completedAt} IS NULL) OR ${t.revive} IS NOT NULL`,
      ),
  ],
);
export type Batch = typeof batches.$inferSelect;

export const tasks = sqliteTable(
  "tasks",
  {
    seq: integer().primaryKey({ autoIncrement: true }),
    id: text().notNull().unique(),
    batch: integer()
      .notNull()
      .references(() => batches.seq),
    /** Place in the input; null for single tasks. */
    position: integer(),
    /** What has come of it. While it runs it is still pending here: its row in `queue` has an owner. */
    status: text().$type<StoredStatus>().notNull(),
    model: text().notNull(),
    priority: integer().notNull(),
    maxRetries: integer(),
    timeoutMs: integer(),
    /** How long it waits for the flex tier before it takes the standard one; null where it asks for no flex. */
    flexMinutes: real(),
    apiKey: integer(),
    /** Number of the latest execution, 0 before the first. */
    run: integer().notNull().default(0),
    /** The generation of its batch in which it ended last. */
    generation: integer().notNull().default(0),
    attempts: integer().notNull().default(0),
    /** The answer of the latest execution was cut off; it was that of another task. */
    isTruncated: integer({ mode: "boolean" }).notNull().default(false),
    isCached: integer({ mode: "boolean" }).notNull().default(false),
    createdAt: integer().notNull(),
    updatedAt: integer().notNull(),
    startedAt: integer(),
    completedAt: integer(),
  },
  (t) => [
    index("tasks_by_time").on(t.createdAt),
    index("tasks_by_status").on(t.status, t.createdAt),
    index("tasks_by_position")
      .on(t.batch, t.position)
      .where(sql`${t.position} is not null`),
    index("tasks_by_batch_status").on(t.batch, t.status, t.position),
  ],
);
export type Task = typeof tasks.$inferSelect;

/** What was asked, shaped as the provider takes it. */
export const taskInputs = sqliteTable("task_inputs", {
  task: integer()
    .primaryKey()
    .references(() => tasks.seq, { onDelete: "cascade" }),
  endpoint: text().$type<Endpoint>().notNull(),
  body: text().notNull(),
  /** The `prompt` that came beside `messages` and is not sent. */
  prompt: text(),
  metadata: text(),
  /** The cells of the task's CSV row, a JSON array in the order of the batch's columns. */
  cells: text(),
  /** SHA-256 of endpoint and body where an answer to the same request may be used again; else null. */
  cacheKey: text(),
});

export type TaskInput = typeof taskInputs.$inferSelect;

/** A run that has not ended. The row is the right to settle it: no row, no effect. */
export const queue = sqliteTable(
  "queue",
  {
    task: integer()
      .primaryKey()
      .references(() => tasks.seq, { onDelete: "cascade" }),
    /** Whose turn it takes: its batch's, or that of single tasks (0 and below) when it was executed by itself. */
    lane: integer().notNull(),
    /** The lane within that: the model, with a mark behind it where the run waits for the flex tier (`domain/flex.ts`). */
    model: text().notNull(),
    /** When a run that waits for the flex tier takes the standard one. */
    flexUntil: integer(),
    priority: integer().notNull(),
    run: integer().notNull(),
    isDryRun: integer({ mode: "boolean" }).notNull().default(false),
    queuedAt: integer().notNull(),
    /** Set while a retry waits for its time. */
    runAt: integer(),
    /** Row number of the node that runs it. */
    owner: integer(),
    /** Number of the claim, unique within its owner; with it the fence around a settlement. */
    claim: integer(),
    claimedAt: integer(),
    startedAt: integer(),
    /** Attempts started, and those of them that failed and count against `maxRetries`. */
    attempt: integer().notNull().default(0),
    failures: integer().notNull().default(0),
    /** Attempts that were cut off by the end of their node. */
    interruptions: integer().notNull().default(0),
    /** The key that asked for the run, which pays for it. */
    payer: integer(),
    /** What its claim has set aside for the call of the payer's budget, while it has an owner; 0 where there is none. */
    reservedUsd: real().notNull().default(0),
    /** Attempts that ended without ending the run, a JSON array. */
    log: text(),
    /** Trace context of the request that asked for the run, where traces are told. */
    trace: text(),
  },
  (t) => [
    index("queue_ready")
      .on(t.lane, t.model, t.priority, t.queuedAt)
      .where(sql`${t.owner} is null and ${t.runAt} is null`),
    index("queue_waiting")
      .on(t.runAt)
      .where(sql`${t.runAt} is not null`),
    index("queue_flex")
      .on(t.flexUntil)
      .where(sql`${t.flexUntil} is not null and ${t.owner} is null`),
    index("queue_claimed")
      .on(t.owner, t.claim)
      .where(sql`${t.owner} is not null`),
    index("queue_reserved")
      .on(t.payer, t.reservedUsd)
      .where(sql`${t.owner} is not null and ${t.reservedUsd} > 0`),
  ],
);

export type QueueRow = typeof queue.$inferSelect;

export const executions = sqliteTable(
  "executions",
  {
    task: integer()
      .notNull()
      .references(() => tasks.seq, { onDelete: "cascade" }),
    run: integer().notNull(),
    status: text().$type<FinalStatus>().notNull(),
    isDryRun: integer({ mode: "boolean" }).notNull(),
    queuedAt: integer().notNull(),
    startedAt: integer(),
    /** When the last attempt began. */
    claimedAt: integer(),
    completedAt: integer().notNull(),
    /** The claim that ended it; null where it was cancelled. */
    claim: integer(),
    attempts: integer().notNull(),
    log: text(),
    provider: text(),
    model: text(),
    /** The model that was asked for, where another one was called in its place. */
    fallbackFrom: text(),
    /** The answer was that of an earlier execution; no call was made. */
    isCached: integer({ mode: "boolean" }).notNull().default(false),
    requestId: text(),
    promptTokens: integer(),
    completionTokens: integer(),
    cachedTokens: integer(),
    reasoningTokens: integer(),
    costUsd: real(),
    /** The answer had no usage; the tokens were counted here. */
    isEstimated: integer({ mode: "boolean" }).notNull().default(false),
    /** The provider's answer as it came. */
    response: text(),
    error: text(),
    /** What of the request the provider refused, so that it was sent without it: a JSON array of texts. */
    adjusted: text(),
    isTruncated: integer({ mode: "boolean" }).notNull().default(false),
  },
  (t) => [primaryKey({ columns: [t.task, t.run] })],
);

export type Execution = typeof executions.$inferSelect;

/** Which execution answers a request that is the same as its own (`task_inputs.cache_key`). */
export const cachedAnswers = sqliteTable(
  "cached_answers",
  {
    key: text().primaryKey(),
    task: integer().notNull(),
    run: integer().notNull(),
  },
  (t) => [
    foreignKey({
      columns: [t.task, t.run],
      foreignColumns: [executions.task, executions.run],
    }).onDelete("cascade"),
    index("cached_answers_by_execution").on(t.task, t.run),
  ],
);

/**
 * The append-only log. Ids grow in commit order, because SQLite has one writer at a time. There are
 * two or more rows a task, so a row holds only what its reader cannot work out: with all that an
 * event tells spelled out as JSON, the log alone was a quarter of everything written.
 */
export const events = sqliteTable("events", {
  id: integer().primaryKey({ autoIncrement: true }),
  at: integer().notNull(),
  type: text().$type<EventType>().notNull(),
  /** Public ids, so that an event outlives what it tells of. */
  task: text(),
  batch: text(),
  /** Row number of the task and number of its run: the execution. */
  taskSeq: integer(),
  run: integer(),
  /** What else there is to tell, JSON. */
  data: text(),
  /** Trace context of the request that led to it, where traces are told. */
  trace: text(),
});

/** What is wrong at present, one row each; the row goes when all is clear. */
export const alerts = sqliteTable(
  "alerts",
  {
    code: text().$type<AlertCode>().notNull(),
    /** What it is about, such as the id of a webhook; "" where that is the whole system. */
    subject: text().notNull(),
    message: text().notNull(),
    raisedAt: integer().notNull(),
  },
  (t) => [primaryKey({ columns: [t.code, t.subject] })],
);
export type Alert = typeof alerts.$inferSelect;

/** Where events are posted to. */
export const webhooks = sqliteTable(
  "webhooks",
  {
    seq: integer().primaryKey({ autoIncrement: true }),
    id: text().notNull().unique(),
    url: text().notNull(),
    /** Types and patterns, as they were given. */
    events: text({ mode: "json" }).$type<string[]>().notNull(),
    description: text(),
    /** Sealed. The one before signs, too, for as long as `previousSecretUntil` says. */
    secret: text().notNull(),
    previousSecret: text(),
    previousSecretUntil: integer(),
    isActive: integer({ mode: "boolean" }).notNull().default(true),
    /** Why it is not active, where nobody asked for that. */
    disabledReason: text(),
    /** The id in the event log up to which deliveries were made of what happened. */
    cursor: integer().notNull(),
    /** Since when no attempt has succeeded; null where the last one did. */
    failingSince: integer(),
    apiKey: integer(),
    createdAt: integer().notNull(),
    updatedAt: integer().notNull(),
  },
  (t) => [index("webhooks_by_time").on(t.createdAt)],
);
export type Webhook = typeof webhooks.$inferSelect;

/** An event on its way to an endpoint, and how it went. */
export const webhookDeliveries = sqliteTable(
  "webhook_deliveries",
  {
    seq: integer().primaryKey({ autoIncrement: true }),
    webhook: integer().notNull(),
    /** Its id in the log; null for a test. */
    event: integer(),
    type: text().notNull(),
    /** Public ids of what it is about, which decide what may overtake it. */
    task: text(),
    batch: text(),
    body: text().notNull(),
    /** Trace context of its event, where traces are told. */
    trace: text(),
    /** When the event happened. */
    at: integer().notNull(),
    status: text().$type<"pending" | "delivered" | "failed">().notNull(),
    attempts: integer().notNull().default(0),
    /** Set while a failed delivery waits for its next attempt. */
    nextAt: integer(),
    lastAttemptAt: integer(),
    responseStatus: integer(),
    latencyMs: integer(),
    error: text(),
    /** The beginning of the last answer. */
    snippet: text(),
    /** All attempts, a JSON array. */
    log: text(),
    completedAt: integer(),
  },
  (t) => [
    uniqueIndex("deliveries_once")
      .on(t.webhook, t.event)
      .where(sql`${t.event} is not null`),
    index("deliveries_by_webhook").on(t.webhook, t.seq),
    index("deliveries_fresh")
      .on(t.webhook, t.event)
      .where(sql`${t.status} = 'pending' and ${t.nextAt} is null`),
    index("deliveries_due")
      .on(t.webhook, t.nextAt)
      .where(sql`${t.nextAt} is not null`),
  ],
);
export type Delivery = typeof webhookDeliveries.$inferSelect;

/** Rights that one process of a fleet has at a time, by its database's clock. */
export const leases = sqliteTable("leases", {
  name: text().primaryKey(),
  holder: text().notNull(),
  expiresAt: integer().notNull(),
});

/** What opens an event stream where no header can be sent. */
export const streamTokens = sqliteTable("stream_tokens", {
  /** SHA-256 of the token. */
  hash: text().primaryKey(),
  apiKey: integer().notNull(),
  /** What it gives access to; everything else is refused. */
  filter: text({ mode: "json" })
    .$type<{ types?: string[]; taskId?: string; batchId?: string }>()
    .notNull(),
  expiresAt: integer().notNull(),
});

export const idempotencyKeys = sqliteTable(
  "idempotency_keys",
  {
    apiKey: integer().notNull(),
    key: text().notNull(),
    /** SHA-256 of what was asked; the same key with another payload is refused. */
    fingerprint: text().notNull(),
    task: integer().references(() => tasks.seq, { onDelete: "cascade" }),
    batch: integer().references(() => batches.seq, { onDelete: "cascade" }),
    createdAt: integer().notNull(),
  },
  (t) => [
    primaryKey({ columns: [t.apiKey, t.key] }),
    uniqueIndex("idempotency_by_task")
      .on(t.task)
      .where(sql`${t.task} is not null`),
    uniqueIndex("idempotency_by_batch")
      .on(t.batch)
      .where(sql`${t.batch} is not null`),
  ],
);

const count = () => integer().notNull().default(0);

/**
 * What the tasks of a minute and of an hour came to, added up as they end. `created` and `cancelled`
 * rows have no provider and only `tasks`. `b0`… count durations by bucket (`domain/latency.ts`).
 */
export const rollups = sqliteTable(
  "rollups",
  {
    /** Length in ms: a minute or an hour. */
    span: integer().notNull(),
    /** Start of the minute or hour. */
    at: integer().notNull(),
    status: text().$type<FinalStatus | "created">().notNull(),
    model: text().notNull(),
    provider: text().notNull(),
    apiKey: integer().notNull(),
    tasks: count(),
    /** From the start of the first attempt to the end of the last, and from queued to started. */
    durationMs: count(),
    waitMs: count(),
    attempts: count(),
    promptTokens: count(),
    completionTokens: count(),
    cachedTokens: count(),
    reasoningTokens: count(),
    costUsd: real().notNull().default(0),
    unpriced: count(),
    ...Object.fromEntries(Array.from({ length: BUCKETS }, (_, i) => [`b${i}`, count()])),
  },
  (t) => [primaryKey({ columns: [t.span, t.at, t.status, t.model, t.provider, t.apiKey] })],
);
/** Uploaded files. Their bytes lie in the files folder, under their ids. */
export const files = sqliteTable("files", {
  seq: integer().primaryKey({ autoIncrement: true }),
  id: text().notNull().unique(),
  /** What the client calls it. */
  name: text().notNull(),
  bytes: integer().notNull(),
  sha256: text().notNull(),
  apiKey: integer(),
  createdAt: integer().notNull(),
});
export type StoredFile = typeof files.$inferSelect;

/** Processes that run tasks, and when each last proved that it lives. */
export const nodes = sqliteTable("nodes", {
  seq: integer().primaryKey({ autoIncrement: true }),
  startedAt: integer().notNull(),
  heartbeatAt: integer().notNull(),
});

export const schedules = sqliteTable(
  "schedules",
  {
    seq: integer().primaryKey({ autoIncrement: true }),
    id: text().notNull().unique(),
    name: text().notNull(),
    description: text(),
    /** The cron expression. */
    expression: text().notNull(),
    timezone: text().notNull(),
    inputFile: text().notNull(),
    outputFile: text(),
    isDryRun: integer({ mode: "boolean" }).notNull(),
    config: text({ mode: "json" }).$type<Record<string, unknown>>().notNull(),
    overlapPolicy: text().$type<OverlapPolicy>().notNull(),
    catchUpWindowMs: integer().notNull(),
    /** Failed runs in a row after which it is stopped. */
    pauseAfterFailures: integer(),
    apiKey: integer().notNull(),
    isActive: integer({ mode: "boolean" }).notNull(),
    /** Why it was stopped, where nobody asked for that. */
    pauseReason: text(),
    /** Grows with every change of what decides about `nextRun`, so that no fire acts on an old one. */
    revision: integer().notNull().default(0),
    /** When it fires next; null while it is not active. */
    nextRun: integer(),
    /** Scheduled time and state of the latest run that began. */
    lastRun: integer(),
    lastRunStatus: text().$type<RunStatus>(),
    failuresInARow: integer().notNull().default(0),
    createdAt: integer().notNull(),
    updatedAt: integer().notNull(),
  },
  (t) => [
    index("schedules_due")
      .on(t.nextRun)
      .where(sql`${t.nextRun} is not null`),
    index("schedules_by_time").on(t.createdAt),
  ],
);
export type Schedule = typeof schedules.$inferSelect;

/** Every fire of a schedule with what came of it, and the runs that were asked for. */
export const scheduleRuns = sqliteTable(
  "schedule_runs",
  {
    seq: integer().primaryKey({ autoIncrement: true }),
    id: text().notNull().unique(),
    schedule: integer()
      .notNull()
      .references(() => schedules.seq, { onDelete: "cascade" }),
    cause: text().$type<RunCause>().notNull(),
    status: text().$type<RunStatus>().notNull(),
    reason: text(),
    error: text({ mode: "json" }).$type<RunError>(),
    isDryRun: integer({ mode: "boolean" }).notNull(),
    scheduledAt: integer().notNull(),
    firedAt: integer().notNull(),
    startedAt: integer(),
    finishedAt: integer(),
    /** Row number of the node that makes its batch. */
    owner: integer(),
    /** Tries to make its batch that ended in no answer, and when the next may begin. */
    attempts: integer().notNull().default(0),
    retryAt: integer(),
    /** Set when it shall be cancelled: the reason. */
    cancelReason: text(),
    /** Public id of its batch, which may be deleted before the run is. */
    batch: text(),
    outputFile: text(),
    total: integer().notNull().default(0),
    completed: integer().notNull().default(0),
    failed: integer().notNull().default(0),
    cancelled: integer().notNull().default(0),
    promptTokens: integer().notNull().default(0),
    completionTokens: integer().notNull().default(0),
    costUsd: real(),
  },
  (t) => [
    /** A fire happens once, whoever notices that it is due. */
    uniqueIndex("schedule_runs_by_fire")
      .on(t.schedule, t.scheduledAt)
      .where(sql`${t.cause} <> 'manual'`),
    index("schedule_runs_by_schedule").on(t.schedule, t.seq),
    index("schedule_runs_open")
      .on(t.status, t.owner)
      .where(sql`${t.status} in ('pending', 'queued', 'running')`),
    index("schedule_runs_open_by_schedule")
      .on(t.schedule, t.status)
      .where(sql`${t.status} in ('pending', 'queued', 'running')`),
  ],
);
export type ScheduleRun = typeof scheduleRuns.$inferSelect;
