import type { Statement } from "../db/unit.ts";
import { SINGLE_TASKS } from "../domain/batch.ts";
import type { Endpoint } from "../domain/request.ts";
import { countMove, finishBatches } from "./counters.ts";
import { insertEvent } from "./events.ts";
import { type Idempotency, idempotencyArgs, KEY_IS_UNUSED } from "./idempotency.ts";
import {
  CANCELLED_RUN,
  type CancelledRun,
  enqueue,
  IS_RUNNING,
  type Queued,
  type RunOptions,
} from "./queue.ts";
import { addCancelled, addCreated } from "./rollups.ts";
import { hasRow, type Which } from "./which.ts";

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

export type InsertUnit = {
  batchEvent: Statement | undefined;
  batch: Statement | undefined;
  inserted: Statement<{ seq: number }>;
  counted: Statement;
  event: Statement;
  created: Statement;
  key: Statement | undefined;
  queued: Statement<Queued> | undefined;
  input: Statement;
};

/**
 * Inserts a task with all that belongs to it, or nothing at all: not where its id or its
 * idempotency key is taken, nor where its batch has begun. `inserted` has a row if it did.
 */
export function insertTask(task: NewTask): InsertUnit {
  const { id, now } = task;
  const batchId = task.batchId ?? "";
  const key = idempotencyArgs(task.idempotency);
  const isNewBatch = {
    where: `NOT EXISTS (SELECT 1 FROM batches WHERE id = ?)
      AND NOT EXISTS (SELECT 1 FROM tasks WHERE id = ?) AND ${KEY_IS_UNUSED}`,
    args: [batchId, id, ...key],
  };
  const event = { at: now, batch: task.batchId, trace: task.trace };
  const isInserted = hasRow("tasks", justInserted(id));
  return {
    batchEvent:
      task.batchId === null
        ? undefined
        : insertEvent(
            { ...event, type: "batch.created", task: null, data: { total: 0 } },
            isNewBatch,
          ),
    batch:
      task.batchId === null
        ? undefined
        : {
            sql: `INSERT INTO batches (id, name, status, is_bare, api_key, config, created_at, updated_at)
                  SELECT ?, ?, 'pending', 1, ?, '{}', ?, ? WHERE ${isNewBatch.where}`,
            args: [batchId, batchId, task.apiKey, now, now, ...isNewBatch.args],
          },
    inserted: {
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
        id,
        task.model,
        task.priority,
        task.maxRetries,
        task.timeoutMs,
        task.apiKey,
        now,
        now,
        batchId,
        ...key,
      ],
    },
    counted: {
      sql: `UPDATE batches SET total = total + 1, updated_at = ? WHERE id = ? AND ${isInserted.where}`,
      args: [now, batchId, ...isInserted.args],
    },
    event: insertEvent({ ...event, type: "task.created", task: id }, isInserted),
    created: addCreated(new Map([[task.model, 1]]), task.apiKey, now, isInserted),
    key: task.idempotency ? keepIdempotencyKey(task.idempotency, id, now) : undefined,
    queued: task.execute ? enqueue(justInserted(id), task.execute) : undefined,
    input: {
      sql: `INSERT INTO task_inputs (task, endpoint, body, prompt, metadata, cache_key)
            SELECT seq, ?, ?, ?, ?, ? FROM tasks WHERE ${justInserted(id).where}`,
      args: [task.endpoint, task.body, task.prompt, task.metadata, task.cacheKey, id],
    },
  };
}

/** A task whose input is yet to be written, which is the last thing that `insertTask` does. */
function justInserted(id: string): Which {
  return {
    where: "id = ? AND NOT EXISTS (SELECT 1 FROM task_inputs WHERE task = tasks.seq)",
    args: [id],
  };
}

function keepIdempotencyKey(idempotency: Idempotency, taskId: string, now: number): Statement {
  const which = justInserted(taskId);
  return {
    sql: `INSERT INTO idempotency_keys (api_key, key, fingerprint, task, created_at)
          SELECT ?, ?, ?, seq, ? FROM tasks WHERE ${which.where}`,
    args: [idempotency.apiKey, idempotency.key, idempotency.fingerprint, now, ...which.args],
  };
}

/** A task that is neither running nor waiting to. */
const AT_REST = `id = ? AND NOT EXISTS (SELECT 1 FROM queue WHERE task = tasks.seq)`;

export type ExecuteUnit = { counted: Statement; reset: Statement; queued: Statement<Queued> };

/** Queues a task that is at rest, finished ones again. `queued` has a row only if that was so. */
export function executeTask(id: string, options: RunOptions): ExecuteUnit {
  const which = { where: AT_REST, args: [id] };
  return {
    counted: countMove(which, "pending", options.now),
    reset: {
      sql: `UPDATE tasks SET status = 'pending', attempts = 0, started_at = NULL, completed_at = NULL,
              updated_at = ?
            WHERE ${which.where}`,
      args: [options.now, ...which.args],
    },
    queued: enqueue(which, options),
  };
}

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

export type ChangeUnit = {
  counted: Statement | undefined;
  queued: Statement;
  changed: Statement<{ seq: number }>;
  input: Statement;
};

/**
 * Changes a task that is not running. If what it asks for changes, a finished one is pending again.
 * `changed` has a row if it did.
 */
export function changeTask(change: TaskChange): ChangeUnit {
  const { before, after, now } = change;
  const isOther = before.body !== after.body;
  const which = {
    where: `id = ? AND NOT ${IS_RUNNING} AND EXISTS (
              SELECT 1 FROM task_inputs i
              WHERE i.task = tasks.seq AND i.body = ? AND i.prompt IS ? AND i.metadata IS ?
                AND i.cache_key IS ?)`,
    args: [change.id, before.body, before.prompt, before.metadata, before.cacheKey],
  };
  return {
    counted: isOther ? countMove(which, "pending", now) : undefined,
    queued: {
      sql: `UPDATE queue SET model = ?, priority = ?
            WHERE task = (SELECT seq FROM tasks WHERE ${which.where})`,
      args: [change.model, change.priority, ...which.args],
    },
    changed: {
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
    // Last, since its change ends what the condition asks for.
    input: {
      sql: `UPDATE task_inputs SET body = ?, prompt = ?, metadata = ?, cache_key = ?
            WHERE task = (SELECT seq FROM tasks WHERE ${which.where})`,
      args: [after.body, after.prompt, after.metadata, after.cacheKey, ...which.args],
    },
  };
}

export type CancelUnit = {
  /** The run that ends with the task, if there is one. */
  runs: Statement<CancelledRun>;
  counted: Statement;
  rolledUp: Statement;
  executions: Statement;
  run: Statement;
  event: Statement;
  cancelled: Statement<{ seq: number }>;
  unqueued: Statement;
  finished: Statement[];
};

/**
 * Cancels a pending or running task; `cancelled` has a row if it did. Its queue row goes with it, so
 * that a late answer finds nothing.
 */
export function cancelTask(
  id: string,
  batchSeq: number,
  trace: string | null,
  now: number,
): CancelUnit {
  const which = { where: "id = ? AND status = 'pending'", args: [id] };
  return {
    runs: {
      sql: `SELECT ${CANCELLED_RUN} FROM queue q
            WHERE q.task = (SELECT seq FROM tasks WHERE ${which.where})`,
      args: which.args,
    },
    counted: countMove(which, "cancelled", now),
    rolledUp: addCancelled(which, now),
    executions: {
      sql: `INSERT INTO executions (task, run, status, is_dry_run, queued_at, started_at, claimed_at,
              completed_at, attempts, log)
            SELECT task, run, 'cancelled', is_dry_run, queued_at, started_at, claimed_at, ?, attempt, log
            FROM queue WHERE task = (SELECT seq FROM tasks WHERE ${which.where})`,
      args: [now, ...which.args],
    },
    run: {
      sql: `UPDATE tasks SET run = q.run, attempts = q.attempt, started_at = q.started_at
            FROM queue q WHERE q.task = tasks.seq AND tasks.id = ?`,
      args: [id],
    },
    event: {
      sql: `INSERT INTO events (at, type, task, batch, task_seq, run, trace)
            SELECT ?, 'task.cancelled', t.id, nullif(b.id, ''), t.seq, q.run, coalesce(q.trace, ?)
            FROM tasks t JOIN batches b ON b.seq = t.batch LEFT JOIN queue q ON q.task = t.seq
            WHERE t.id = ? AND t.status = 'pending'`,
      args: [now, trace, id],
    },
    cancelled: {
      sql: `UPDATE tasks SET status = 'cancelled', completed_at = ?, updated_at = ?
            WHERE ${which.where} RETURNING seq`,
      args: [now, now, ...which.args],
    },
    unqueued: {
      sql: `DELETE FROM queue WHERE task = (SELECT seq FROM tasks WHERE id = ? AND status = 'cancelled')`,
      args: [id],
    },
    finished: finishBatches(JSON.stringify([batchSeq]), now),
  };
}

export type DeleteUnit = {
  counted: Statement;
  children: Statement[];
  finished: Statement[];
  deleted: Statement<{ seq: number }>;
};

/** Deletes a task with all that belongs to it, unless it is running. `deleted` has a row if it did. */
export function deleteTask(id: string, batchSeq: number, now: number): DeleteUnit {
  const which = { where: `id = ? AND NOT ${IS_RUNNING}`, args: [id] };
  const children = ["queue", "executions", "task_inputs", "idempotency_keys"];
  return {
    counted: countMove(which, "deleted", now),
    children: children.map((table) => ({
      sql: `DELETE FROM ${table} WHERE task = (SELECT seq FROM tasks WHERE ${which.where})`,
      args: which.args,
    })),
    finished: finishBatches(JSON.stringify([batchSeq]), now),
    deleted: { sql: `DELETE FROM tasks WHERE ${which.where} RETURNING seq`, args: which.args },
  };
}
