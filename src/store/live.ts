import { DATABASE_NOW } from "../db/now.ts";
import type { Statement } from "../db/unit.ts";
import { type BatchStatus, type PauseReason, SINGLE_TASKS } from "../domain/batch.ts";
import type { ChainStatus } from "../domain/chain.ts";
import { HOUR_MS, MINUTE_MS } from "../domain/latency.ts";
import type { RunStatus } from "../domain/schedule.ts";
import { parseJson } from "../lib/json.ts";
import { COST } from "./counters.ts";
import type { ListedNode } from "./nodes.ts";
import { jsonRow, jsonRows, readRows, same } from "./rows.ts";
import type { ScheduleHealth } from "./schedule-health.ts";
import type { Stock, Waiting } from "./stock.ts";

export type LiveBatch = {
  seq: number;
  id: string;
  name: string;
  status: BatchStatus;
  total: number;
  completed: number;
  failed: number;
  cancelled: number;
  running: number;
  skipped: number;
  costUsd: number;
  unpriced: number;
  maxCostUsd: number | null;
  isDryRun: number;
  inputBatch: string | null;
  chainStatus: ChainStatus | null;
  chainError: { message: string } | null;
  isToStart: number;
  pauseReason: PauseReason | null;
  createdAt: number;
  startedAt: number | null;
  completedAt: number | null;
  endedBefore: number;
};

type LiveCall = {
  task: string;
  model: string;
  batch: string | null;
  attempt: number;
  startedAt: number | null;
};

export type LiveModel = {
  model: string;
  status: "completed" | "failed";
  tasks: number;
  tokens: number;
  costUsd: number;
};

type LiveSchedule = {
  id: string;
  name: string;
  nextRun: number;
  lastRunStatus: RunStatus | null;
};

/** A snapshot of the database at one moment. */
export type LiveRead = {
  stock: Stock;
  waiting: Waiting;
  batches: LiveBatch[];
  calls: LiveCall[];
  models: LiveModel[];
  /** Tasks that were completed in each of the last minutes, including the current one. */
  minutes: { at: number; completed: number }[];
  nodes: ListedNode[];
  schedules: LiveSchedule[];
  /** `revision` changes with each change of a schedule, and with the start and the end of its runs. */
  scheduling: ScheduleHealth & { revision: string };
  webhooks: { total: number; active: number; failing: number; waiting: number; revision: string };
  /** They change when a key is created or revoked, when a file is stored or deleted, and with each entry of the audit log. */
  revisions: { keys: string; files: string; audit: number };
  alerts: { code: string; subject: string; message: string; raisedAt: number }[];
};

/** The newest batches, and those that run or are paused, however old they are. */
const SHOWN_BATCHES = `SELECT seq FROM (SELECT seq FROM batches ORDER BY created_at DESC LIMIT 20)
  UNION SELECT seq FROM (SELECT seq FROM batches WHERE status = 'running' ORDER BY created_at DESC LIMIT 50)
  UNION SELECT seq FROM (SELECT seq FROM batches WHERE status = 'paused' ORDER BY created_at DESC LIMIT 30)`;

const BATCH: Record<string, string> = {
  ...same("seq", "id", "name", "status", "total", "completed", "failed", "cancelled", "running"),
  ...same("skipped", "unpriced"),
  costUsd: COST,
  maxCostUsd: "max_cost_usd",
  isDryRun: "is_dry_run",
  inputBatch: "input_batch",
  chainStatus: "chain_status",
  chainError: "json(chain_error)",
  isToStart: "payer IS NOT NULL",
  pauseReason: "json(pause_reason)",
  createdAt: "created_at",
  startedAt: "started_at",
  completedAt: "completed_at",
  endedBefore: "ended_before",
};

const CALLS_SHOWN = 12;

/*
 * One statement, so that everything is from the same moment. The rows that it reads grow with the work in progress
 * and not with what is stored: the newest batches by an index, calls by their claims, sums of a day from 24 hours of
 * rollups. The sums of all batches, the one part that reads a row per batch, are left out if `withStock` is 0.
 */
function readAtOnce(now: number, withStock: boolean): Statement<Record<string, string | null>> {
  const hour = Math.floor(now / HOUR_MS) * HOUR_MS;
  const minute = Math.floor(now / MINUTE_MS) * MINUTE_MS;
  const parts = {
    stock: `CASE WHEN ? THEN ${jsonRow(
      {
        batches: `total(seq <> ${SINGLE_TASKS})`,
        ...Object.fromEntries(
          ["total", "completed", "failed", "cancelled", "running", "unpriced"].map((name) => [
            name,
            `total(${name})`,
          ]),
        ),
        promptTokens: "total(prompt_tokens)",
        completionTokens: "total(completion_tokens)",
        costUsd: "total(cost_usd)",
      },
      "batches WHERE status <> 'ingesting'",
    )} END`,
    waiting: jsonRow(
      {
        depth: `(SELECT total(total - completed - failed - cancelled - running) FROM batches
                 WHERE status = 'running' AND seq <> ${SINGLE_TASKS})
              + (SELECT count(*) FROM queue WHERE owner IS NULL AND run_at IS NULL AND lane <= ${SINGLE_TASKS})
              + (SELECT count(*) FROM queue WHERE run_at IS NOT NULL AND lane <= ${SINGLE_TASKS})`,
        oldestAt: `(SELECT min(queued_at) FROM queue WHERE owner IS NULL AND run_at IS NULL
                    AND lane IN (SELECT seq FROM batches WHERE status = 'running'))`,
      },
      "(SELECT 1)",
    ),
    batches: jsonRows(
      BATCH,
      `batches WHERE seq IN (${SHOWN_BATCHES}) AND seq > ${SINGLE_TASKS} AND status <> 'ingesting'`,
    ),
    calls: jsonRows(
      same("task", "model", "batch", "attempt", "startedAt"),
      `(SELECT t.id AS task, t.model AS model, iif(b.seq > ${SINGLE_TASKS}, b.id, NULL) AS batch,
               q.attempt AS attempt, q.started_at AS startedAt
        FROM queue q CROSS JOIN tasks t ON t.seq = q.task CROSS JOIN batches b ON b.seq = t.batch
        WHERE q.owner IS NOT NULL ORDER BY q.owner, q.claim LIMIT ${CALLS_SHOWN})`,
    ),
    models: jsonRows(
      same("model", "status", "tasks", "tokens", "costUsd"),
      `(SELECT model, status, sum(tasks) AS tasks, sum(prompt_tokens + completion_tokens) AS tokens,
               total(cost_usd) AS costUsd
        FROM rollups WHERE span = ${HOUR_MS} AND at >= ? AND status IN ('completed', 'failed') GROUP BY model, status)`,
    ),
    minutes: jsonRows(
      same("at", "completed"),
      `(SELECT at, sum(tasks) AS completed FROM rollups
        WHERE span = ${MINUTE_MS} AND at >= ? AND status = 'completed' GROUP BY at)`,
    ),
    nodes: jsonRows(
      {
        seq: "seq",
        startedAt: "started_at",
        isRunner: "is_runner",
        silentMs: `max(0, ${DATABASE_NOW} - heartbeat_at)`,
        running: "(SELECT count(*) FROM queue WHERE owner = nodes.seq)",
      },
      "nodes",
    ),
    schedules: jsonRows(
      same("id", "name", "nextRun", "lastRunStatus"),
      `(SELECT id, name, next_run AS nextRun, last_run_status AS lastRunStatus
        FROM schedules WHERE next_run IS NOT NULL ORDER BY next_run LIMIT 10)`,
    ),
    scheduling: jsonRow(
      {
        total: "count(*)",
        active: "total(is_active)",
        nextAt: "(SELECT min(next_run) FROM schedules WHERE next_run IS NOT NULL)",
        revision: `count(*) || '.' || coalesce(max(updated_at), 0)
                   || '.' || coalesce((SELECT max(seq) FROM schedule_runs), 0)
                   || '.' || (SELECT count(*) FROM schedule_runs WHERE status IN ('pending', 'queued', 'running'))`,
      },
      "schedules",
    ),
    webhooks: jsonRow(
      {
        total: "count(*)",
        active: "total(is_active)",
        failing: "total(is_active AND failing_since IS NOT NULL)",
        waiting: "total(iif(is_active, waiting, 0))",
        revision: `count(*) || '.' || coalesce(max(updated_at), 0)
                   || '.' || coalesce((SELECT max(seq) FROM webhook_deliveries), 0)`,
      },
      "webhooks",
    ),
    revisions: jsonRow(
      {
        keys: `(SELECT coalesce(max(seq), 0) || '.' || count(revoked_at) FROM api_keys)`,
        // The bytes of all files by key, which triggers keep, because a deletion may leave the newest row.
        files: `coalesce((SELECT max(seq) FROM files), 0)
                || '.' || (SELECT CAST(total(files) AS INTEGER) FROM stored_bytes)`,
        audit: "coalesce((SELECT max(id) FROM audit_log), 0)",
      },
      "(SELECT 1)",
    ),
    alerts: jsonRows(
      { ...same("code", "subject", "message"), raisedAt: "raised_at" },
      "(SELECT * FROM alerts LIMIT 50)",
    ),
  };
  const columns = Object.entries(parts).map(([name, sql]) => `${sql} AS ${name}`);
  return {
    sql: `SELECT ${columns.join(",\n")}`,
    args: [withStock ? 1 : 0, hour - 23 * HOUR_MS, minute - 5 * MINUTE_MS],
  };
}

/** Everything that a live view shows, at one moment. Without `withStock`, `stock` is `undefined`. */
export async function readLive(
  client: Parameters<typeof readRows>[0],
  now: number,
  withStock: boolean,
): Promise<Omit<LiveRead, "stock"> & { stock: Stock | undefined }> {
  const [row] = await readRows(client, readAtOnce(now, withStock));
  if (!row) throw new Error("a SELECT without FROM has a row");
  const parsed = Object.fromEntries(
    Object.entries(row).map(([name, json]) => [
      name,
      json === null ? undefined : parseJson(String(json)),
    ]),
  );
  return parsed as Omit<LiveRead, "stock"> & { stock: Stock | undefined };
}
