import type { Statement } from "../db/writer.ts";
import { SINGLE_TASKS } from "../domain/batch.ts";
import type { Endpoint } from "../domain/request.ts";
import { countMove, finishBatches } from "./counters.ts";
import { eventAfterChange } from "./events.ts";
import { type Idempotency, idempotencyArgs, KEY_IS_UNUSED } from "./idempotency.ts";
import { CANCELLED_RUN, enqueueAfterChange, IS_RUNNING, type RunOptions } from "./queue.ts";
import { addCancelled, addCreatedAfterChange } from "./rollups.ts";

export type NewTask = {
  id: string;
  /** Public id of its batch, made if there is none. */
  batchId: string | null;
  model: string;
  priority: number;
  maxRetries: number | null;
  timeoutMs: number | null;
  apiKey: number;
  endpoint: Endpoint;
  body: string;
  /** Set where an answer to the same request may be used again. */
  cacheKey: string | null;
  prompt: string | null;
  metadata: string | null;
  idempotency: Idempotency | null;
  /** Trace context of the request that creates it. */
  trace: string | null;
  /** Set to execute it at once. */
  execute: RunOptions | null;
  now: number;
};

/** Position in the results of `insertTask` of the one that has a row if the task was inserted. */
export const INSERTED = 2;

/**
 * Inserts a task with all that belongs to it, or nothing at all: not where its id or its
 * idempotency key is taken, nor where its batch has begun.
 */
export function insertTask(task: NewTask): Statement[] {
  const batchId = task.batchId ?? "";
  const key = idempotencyArgs(task.idempotency);
  return [
    {
      sql: `INSERT INTO batches (id, name, status, is_bare, api_key, config, created_at, updated_at)
            SELECT ?, ?, 'pending', 1, ?, '{}', ?, ?
            WHERE ? <> '' AND NOT EXISTS (SELECT 1 FROM tasks WHERE id = ?) AND ${KEY_IS_UNUSED}
            ON CONFLICT DO NOTHING`,
      args: [batchId, batchId, task.apiKey, task.now, task.now, batchId, task.id, ...key],
    },
    eventAfterChange({
      type: "batch.created",
      at: task.now,
      task: null,
      batch: task.batchId,
      data: { total: 0 },
      trace: task.trace,
    }),
    {
      sql: `INSERT INTO tasks (id, batch, position, status, model, priority, max_retries, timeout_ms,
                               api_key, created_at, updated_at)
            SELECT ?, b.seq,
                   CASE WHEN b.seq <> ${SINGLE_TASKS} THEN
                     (SELECT coalesce(max(position), -1) + 1 FROM tasks
                      WHERE batch = b.seq AND position IS NOT NULL) END,
                   'pending', ?, ?, ?, ?, ?, ?, ?
            FROM batches b
            WHERE b.id = ? AND (b.seq = ${SINGLE_TASKS} OR b.status = 'pending') AND ${KEY_IS_UNUSED}
            ON CONFLICT DO NOTHING
            RETURNING seq`,
      args: [
        task.id,
        task.model,
        task.priority,
        task.maxRetries,
        task.timeoutMs,
        task.apiKey,
        task.now,
        task.now,
        batchId,
        ...key,
      ],
    },
    {
      sql: `INSERT INTO task_inputs (task, endpoint, body, prompt, metadata, cache_key)
            SELECT seq, ?, ?, ?, ?, ? FROM tasks WHERE id = ? AND changes() > 0`,
      args: [task.endpoint, task.body, task.prompt, task.metadata, task.cacheKey, task.id],
    },
    {
      sql: `UPDATE batches SET total = total + 1, updated_at = ? WHERE id = ? AND changes() > 0`,
      args: [task.now, batchId],
    },
    eventAfterChange({
      type: "task.created",
      at: task.now,
      task: task.id,
      batch: task.batchId,
      trace: task.trace,
    }),
    addCreatedAfterChange(new Map([[task.model, 1]]), task.apiKey, task.now),
    ...(task.idempotency ? [keepIdempotencyKey(task.idempotency, task.id, task.now)] : []),
    ...(task.execute ? [enqueueAfterChange(task.id, task.execute)] : []),
  ];
}

function keepIdempotencyKey(idempotency: Idempotency, taskId: string, now: number): Statement {
  return {
    sql: `INSERT INTO idempotency_keys (api_key, key, fingerprint, task, created_at)
          SELECT ?, ?, ?, seq, ? FROM tasks WHERE id = ? AND changes() > 0`,
    args: [idempotency.apiKey, idempotency.key, idempotency.fingerprint, now, taskId],
  };
}

/** A task that is neither running nor waiting to. */
const AT_REST = `id = ? AND NOT EXISTS (SELECT 1 FROM queue WHERE task = tasks.seq)`;

/**
 * Queues a task that is at rest, finished ones again. The last statement's row `{task, run, model}`
 * is there only if that was so.
 */
export function executeTask(id: string, options: RunOptions): Statement[] {
  return [
    countMove({ where: AT_REST, args: [id] }, "pending", options.now),
    {
      sql: `UPDATE tasks SET status = 'pending', attempts = 0, started_at = NULL, completed_at = NULL,
              updated_at = ?
            WHERE ${AT_REST}`,
      args: [options.now, id],
    },
    enqueueAfterChange(id, options),
  ];
}

/** Position in the results of `changeTask` of the one that has a row if the task was changed. */
export const CHANGED = 1;

export type TaskChange = {
  id: string;
  /** What the change was computed from; where it differs by now nothing is changed. */
  before: Asked;
  after: Asked;
  model: string;
  priority: number;
  maxRetries: number | null;
  timeoutMs: number | null;
  now: number;
};

type Asked = {
  body: string;
  prompt: string | null;
  metadata: string | null;
  cacheKey: string | null;
};

/** Changes a task that is not running. If what it asks for changes, a finished one is pending again. */
export function changeTask(change: TaskChange): Statement[] {
  const { before, after, now } = change;
  const isOther = before.body !== after.body;
  const which = {
    where: `id = ? AND NOT ${IS_RUNNING} AND EXISTS (
              SELECT 1 FROM task_inputs i
              WHERE i.task = tasks.seq AND i.body = ? AND i.prompt IS ? AND i.metadata IS ?
                AND i.cache_key IS ?)`,
    args: [change.id, before.body, before.prompt, before.metadata, before.cacheKey],
  };
  const byId = "(SELECT seq FROM tasks WHERE id = ?)";
  return [
    isOther ? countMove(which, "pending", now) : NOTHING,
    {
      sql: `UPDATE tasks SET model = ?, priority = ?, max_retries = ?, timeout_ms = ?, updated_at = ?,
              status = CASE WHEN ? THEN 'pending' ELSE status END,
              completed_at = CASE WHEN ? THEN NULL ELSE completed_at END
            WHERE ${which.where} RETURNING seq`,
      args: [
        change.model,
        change.priority,
        change.maxRetries,
        change.timeoutMs,
        now,
        isOther,
        isOther,
        ...which.args,
      ],
    },
    {
      sql: `UPDATE task_inputs SET body = ?, prompt = ?, metadata = ?, cache_key = ?
            WHERE task = ${byId} AND changes() > 0`,
      args: [after.body, after.prompt, after.metadata, after.cacheKey, change.id],
    },
    {
      sql: `UPDATE queue SET model = ?, priority = ?
            WHERE task = ${byId} AND owner IS NULL AND changes() > 0`,
      args: [change.model, change.priority, change.id],
    },
  ];
}

const NOTHING: Statement = { sql: "SELECT 1", args: [] };

/** Position in the results of `cancelTask` of the row `{seq, batch}`, there if the task was cancelled. */
export const CANCELLED = 5;
/** And of the run that ends with it, a `CancelledRun`, if there is one. */
export const CANCELLED_WITH_IT = 0;

/** Cancels a pending or running task. Its queue row goes with it, so that a late answer finds nothing. */
export function cancelTask(
  id: string,
  batchSeq: number,
  trace: string | null,
  now: number,
): Statement[] {
  const which = { where: "id = ? AND status = 'pending'", args: [id] };
  return [
    {
      sql: `SELECT ${CANCELLED_RUN} FROM queue q
            WHERE q.task = (SELECT seq FROM tasks WHERE ${which.where})`,
      args: [id],
    },
    countMove(which, "cancelled", now),
    addCancelled(which, now),
    {
      sql: `INSERT INTO executions (task, run, status, is_dry_run, queued_at, started_at, claimed_at,
              completed_at, attempts, log)
            SELECT task, run, 'cancelled', is_dry_run, queued_at, started_at, claimed_at, ?, attempt, log
            FROM queue WHERE task = (SELECT seq FROM tasks WHERE ${which.where})`,
      args: [now, id],
    },
    {
      sql: `UPDATE tasks SET run = q.run, attempts = q.attempt, started_at = q.started_at
            FROM queue q WHERE q.task = tasks.seq AND tasks.id = ?`,
      args: [id],
    },
    {
      sql: `UPDATE tasks SET status = 'cancelled', completed_at = ?, updated_at = ?
            WHERE ${which.where} RETURNING seq, batch`,
      args: [now, now, id],
    },
    {
      sql: `INSERT INTO events (at, type, task, batch, task_seq, run, trace)
            SELECT ?, 'task.cancelled', t.id, nullif(b.id, ''), t.seq, q.run, coalesce(q.trace, ?)
            FROM tasks t JOIN batches b ON b.seq = t.batch LEFT JOIN queue q ON q.task = t.seq
            WHERE t.id = ? AND changes() > 0`,
      args: [now, trace, id],
    },
    {
      sql: `DELETE FROM queue WHERE task = (SELECT seq FROM tasks WHERE id = ? AND status = 'cancelled')`,
      args: [id],
    },
    ...finishBatches(JSON.stringify([batchSeq]), now),
  ];
}

/** Deletes a task with all that belongs to it, unless it is running. The last row tells whether it was. */
export function deleteTask(id: string, batchSeq: number, now: number): Statement[] {
  const which = { where: `id = ? AND NOT ${IS_RUNNING}`, args: [id] };
  const children = ["queue", "executions", "task_inputs", "idempotency_keys"];
  return [
    countMove(which, "deleted", now),
    ...children.map((table) => ({
      sql: `DELETE FROM ${table} WHERE task = (SELECT seq FROM tasks WHERE ${which.where})`,
      args: which.args,
    })),
    ...finishBatches(JSON.stringify([batchSeq]), now),
    { sql: `DELETE FROM tasks WHERE ${which.where} RETURNING seq`, args: which.args },
  ];
}
