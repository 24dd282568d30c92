import type { ResultSet } from "@libsql/client";

import type { Statement } from "../db/writer.ts";
import { SINGLE_TASKS } from "../domain/batch.ts";
import type { Endpoint } from "../domain/request.ts";
import { CALLS_WITHIN_CAP, KEY_IS_SPENT, monthOf } from "./budgets.ts";
import { rowsOf } from "./rows.ts";

/** SQL that is true of a row of `tasks` that is running. */
export const IS_RUNNING =
  "EXISTS (SELECT 1 FROM queue WHERE queue.task = tasks.seq AND queue.owner IS NOT NULL)";

/*
 * The hot path. Each statement serves a whole flush: it takes its rows from one JSON array, or from
 * the claim just made. CROSS JOIN fixes the order of the join, array first: left to itself SQLite
 * starts from an index of the queue and reads the array again for every row.
 */

export type RunOptions = {
  isDryRun: boolean;
  priority: number | null;
  /** Trace context of the request that asks for it. */
  trace: string | null;
  now: number;
};

/** Puts a task in the lane of the single tasks if the statement before it in the unit changed a row. */
export function enqueueAfterChange(taskId: string, options: RunOptions): Statement {
  return {
    sql: `INSERT INTO queue (task, lane, model, priority, run, is_dry_run, queued_at, trace)
          SELECT seq, ${SINGLE_TASKS}, model, coalesce(?, priority), run + 1, ?, ?, ?
          FROM tasks WHERE id = ? AND changes() > 0
          RETURNING task, run, model`,
    args: [options.priority, options.isDryRun, options.now, options.trace, taskId],
  };
}

/**
 * Puts the next pending tasks of a batch in its lane, in input order, after `position`; of these,
 * none whose model is in `passedOver`.
 */
export function feed(
  batch: number,
  position: number,
  limit: number,
  passedOver: string[],
  now: number,
): Statement[] {
  return [
    {
      sql: `INSERT INTO queue (task, lane, model, priority, run, is_dry_run, queued_at, trace)
            SELECT * FROM (
              SELECT t.seq, t.batch, t.model, t.priority, t.run + 1, b.is_dry_run, coalesce(b.started_at, ?), b.trace
              FROM batches b CROSS JOIN tasks t ON t.batch = b.seq
              WHERE b.seq = ? AND b.status = 'running' AND t.status = 'pending' AND t.position > ?
              ORDER BY t.position LIMIT ?)
            WHERE model NOT IN (SELECT value FROM json_each(?))
            ON CONFLICT DO NOTHING`,
      args: [now, batch, position, limit, JSON.stringify(passedOver)],
    },
    {
      sql: `SELECT max(position) AS position, count(*) AS seen FROM (
              SELECT position FROM tasks WHERE batch = ? AND status = 'pending' AND position > ?
              ORDER BY position LIMIT ?)`,
      args: [batch, position, limit],
    },
    readyInLane(batch),
  ];
}

export type Fed = { position: number | null; seen: number; ready: LaneReady[] };

export function readFed(results: ResultSet[]): Fed {
  const [progress] = rowsOf<{ position: number | null; seen: number }>(results[1]);
  return {
    position: progress?.position ?? null,
    seen: progress?.seen ?? 0,
    ready: rowsOf<LaneReady>(results[2]),
  };
}

export type LaneReady = { lane: number; model: string; ready: number };

function readyInLane(lane: number): Statement {
  return {
    sql: `SELECT lane, model, count(*) AS ready FROM queue
          WHERE owner IS NULL AND run_at IS NULL AND lane = ? GROUP BY model`,
    args: [lane],
  };
}

/** What could start at once, by lane and model. Reads the index of the ready rows alone. */
export const READY_LANES: Statement = {
  sql: `SELECT lane, model, count(*) AS ready FROM queue
        WHERE owner IS NULL AND run_at IS NULL GROUP BY lane, model`,
  args: [],
};

export type LaneClaim = { lane: number; model: string; limit: number };

export type Claimed = {
  task: number;
  batch: number;
  lane: number;
  model: string;
  failures: number;
  /** Attempts on record, those that the provider put off included. */
  earlier: number;
  isDryRun: number;
  maxRetries: number | null;
  timeoutMs: number | null;
  apiKey: number;
  queuedAt: number;
  startedAt: number;
  attempt: number;
  run: number;
  claimedAt: number;
  trace: string | null;
  endpoint: Endpoint;
  body: string;
  /** Set where the answer may be reused, which that of a dry run never is. */
  cacheKey: string | null;
  /** The stored answer to an identical request, if there is one, and where it came from. */
  answer: string | null;
  answeredBy: string | null;
  answerModel: string | null;
  answerRequestId: string | null;
};

/**
 * Claims up to the wanted number of ready rows of each lane for `owner`. A lane whose batch does not
 * run gives none, and none beyond its `maxConcurrency` or what its budgets leave room for, whoever
 * else claims from it.
 * The last statement's rows are the `Claimed`.
 */
export function claim(
  lanes: LaneClaim[],
  owner: number,
  claimNo: number,
  now: number,
): Statement[] {
  const mine = [owner, claimNo];
  return [
    ...lanes.flatMap(({ lane, model, limit }) => [
      {
        sql: `UPDATE queue SET owner = ?, claim = ?, claimed_at = ?,
                started_at = coalesce(started_at, ?), attempt = attempt + 1
              WHERE task IN (
                SELECT task FROM queue
                WHERE lane = ? AND model = ? AND owner IS NULL AND run_at IS NULL
                ORDER BY priority, queued_at, task
                LIMIT coalesce((SELECT max(0, min(?, coalesce(max_concurrency, 1000000) - running,
                                  ${CALLS_WITHIN_CAP}))
                                FROM batches WHERE seq = ? AND status = 'running'
                                  AND (is_dry_run OR NOT ${KEY_IS_SPENT})), 0))`,
        args: [...mine, now, now, lane, model, limit, lane, monthOf(now)],
      },
      ...(lane === SINGLE_TASKS
        ? []
        : [
            {
              sql: `UPDATE batches SET running = running + changes() WHERE seq = ?`,
              args: [lane],
            },
          ]),
    ]),
    {
      sql: `UPDATE batches SET running = running + claimed.calls
            FROM (SELECT t.batch, count(*) AS calls
                  FROM queue q CROSS JOIN tasks t ON t.seq = q.task
                  WHERE q.owner = ? AND q.claim = ? AND q.lane = ${SINGLE_TASKS} GROUP BY t.batch) claimed
            WHERE batches.seq = claimed.batch`,
      args: mine,
    },
    {
      sql: `INSERT INTO events (at, type, task, batch, task_seq, run, trace)
            SELECT ?, 'task.started', t.id, nullif(b.id, ''), q.task, q.run, q.trace
            FROM queue q CROSS JOIN tasks t ON t.seq = q.task CROSS JOIN batches b ON b.seq = t.batch
            WHERE q.owner = ? AND q.claim = ? AND q.attempt = 1 AND q.started_at = q.claimed_at`,
      args: [now, ...mine],
    },
    {
      sql: `SELECT q.task, t.batch, q.lane, q.model, q.failures,
                   coalesce(json_array_length(q.log), 0) AS earlier, q.is_dry_run AS isDryRun, t.max_retries AS maxRetries, t.timeout_ms AS timeoutMs,
                   coalesce(t.api_key, 0) AS apiKey, q.queued_at AS queuedAt, q.started_at AS startedAt, q.attempt,
                   q.run, q.claimed_at AS claimedAt, q.trace,
                   i.endpoint, i.body, iif(q.is_dry_run, NULL, i.cache_key) AS cacheKey,
                   e.response AS answer, e.provider AS answeredBy, e.model AS answerModel,
                   e.request_id AS answerRequestId
            FROM queue q CROSS JOIN tasks t ON t.seq = q.task CROSS JOIN task_inputs i ON i.task = q.task
              LEFT JOIN cached_answers a ON a.key = i.cache_key AND NOT q.is_dry_run
              LEFT JOIN executions e ON e.task = a.task AND e.run = a.run
            WHERE q.owner = ? AND q.claim = ? ORDER BY q.priority, q.queued_at, q.task`,
      args: mine,
    },
  ];
}

/** A run that is cancelled, as it stood in the queue. */
export type CancelledRun = {
  task: number;
  run: number;
  model: string;
  queuedAt: number;
  attempts: number;
  /** Its call is in flight. */
  isRunning: number;
  trace: string | null;
};

/** The columns of a `CancelledRun`, of a row `q` of the queue. */
export const CANCELLED_RUN = `q.task, q.run, q.model, q.queued_at AS queuedAt, q.attempt AS attempts,
  q.owner IS NOT NULL AS isRunning, q.trace`;

export type Upcoming = { task: number; body: string };

/** The next runs that a claim of the lane would take, in that order. */
export function upcoming(lane: number, model: string, limit: number): Statement {
  return {
    sql: `SELECT q.task, i.body FROM queue q CROSS JOIN task_inputs i ON i.task = q.task
          WHERE q.lane = ? AND q.model = ? AND q.owner IS NULL AND q.run_at IS NULL
          ORDER BY q.priority, q.queued_at, q.task LIMIT ?`,
    args: [lane, model, limit],
  };
}

/** Makes retries whose time has come ready. */
export function wakeWaiting(now: number): Statement {
  return { sql: `UPDATE queue SET run_at = NULL WHERE run_at <= ?`, args: [now] };
}

/** When the next waiting retry is due, as `at`. */
export const NEXT_WAITING: Statement = {
  sql: `SELECT min(run_at) AS at FROM queue WHERE run_at IS NOT NULL`,
  args: [],
};

/**
 * Takes back what owners hold whose calls nobody will report: the runs are ready again, and the
 * attempt is on record as interrupted and counts against no limit. `which` is a condition on `q`.
 */
export function releaseClaims(
  which: { where: string; args: (string | number)[] },
  now: number,
): Statement[] {
  const held = `SELECT q.task FROM queue q WHERE q.owner IS NOT NULL AND ${which.where}`;
  return [
    {
      sql: `UPDATE batches SET running = running - held.calls
            FROM (SELECT t.batch, count(*) AS calls FROM (${held}) h CROSS JOIN tasks t ON t.seq = h.task
                  GROUP BY t.batch) held
            WHERE batches.seq = held.batch`,
      args: which.args,
    },
    {
      sql: `UPDATE queue AS q SET owner = NULL, claim = NULL,
              log = json_insert(coalesce(log, '[]'), '$[#]', json_object(
                'attempt', attempt, 'startedAt', claimed_at, 'endedAt', ?, 'outcome', 'interrupted'))
            WHERE q.owner IS NOT NULL AND ${which.where}`,
      args: [now, ...which.args],
    },
  ];
}
