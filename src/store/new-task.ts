import type { Statement } from "../db/unit.ts";
import { SINGLE_TASKS } from "../domain/batch.ts";
import type { Endpoint } from "../domain/request.ts";
import { insertEvent } from "./events.ts";
import { type Idempotency, idempotencyArgs, KEY_IS_UNUSED } from "./idempotency.ts";
import { enqueue, type Queued, type RunOptions } from "./queue.ts";
import { addCreated } from "./rollups.ts";
import { hasRow, type Which } from "./which.ts";

export type NewTask = {
  id: string;
  /** Public id of its batch, made if there is none. */
  batchId: string | null;
  model: string;
  priority: number;
  maxRetries: number | null;
  timeoutMs: number | null;
  flexMinutes: number | null;
  maxRepairs: number | null;
  escalateTo: string | null;
  apiKey: number;
  endpoint: Endpoint;
  body: string;
  /** Set if an answer to the same request may be reused. */
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
  batch: BareBatch | undefined;
  inserted: Statement<{ seq: number }>;
  counted: Statement;
  event: Statement;
  created: Statement;
  key: Statement | undefined;
  queued: Statement<Queued> | undefined;
  input: Statement;
};

/**
 * Inserts a task with everything that belongs to it, or nothing if its id or its idempotency key is taken or its
 * batch has begun. `inserted` has a row if it did.
 */
export function insertTask(task: NewTask): InsertUnit {
  const { id, now, batchId, trace } = task;
  const which = justInserted(id);
  const isInserted = hasRow("tasks", which);
  return {
    batch: batchId === null ? undefined : bareBatch(task, batchId),
    inserted: insertRow(task),
    counted: {
      sql: `UPDATE batches SET total = total + 1, updated_at = ? WHERE id = ? AND ${isInserted.where}`,
      args: [now, batchId ?? SINGLE_TASKS_ID, ...isInserted.args],
    },
    event: insertEvent(
      { type: "task.created", at: now, task: id, batch: batchId, trace },
      isInserted,
    ),
    created: addCreated(new Map([[task.model, 1]]), task.apiKey, now, isInserted),
    key: task.idempotency ? keepIdempotencyKey(task.idempotency, which, now) : undefined,
    queued: task.execute ? enqueue(which, task.execute) : undefined,
    input: {
      sql: `INSERT INTO task_inputs (task, endpoint, body, prompt, metadata, cache_key)
            SELECT seq, ?, ?, ?, ?, ? FROM tasks WHERE ${which.where}`,
      args: [task.endpoint, task.body, task.prompt, task.metadata, task.cacheKey, ...which.args],
    },
  };
}

/** A task whose input is not yet written. `insertTask` writes the input last. */
function justInserted(id: string): Which {
  return {
    where: "id = ? AND NOT EXISTS (SELECT 1 FROM task_inputs WHERE task = tasks.seq)",
    args: [id],
  };
}

/** The id of the batch of the single tasks. */
const SINGLE_TASKS_ID = "";

type BareBatch = { event: Statement; batch: Statement };

/** Makes the batch that a task names, if there is none yet and the task can be inserted. */
function bareBatch({ id, idempotency, apiKey, trace, now }: NewTask, batch: string): BareBatch {
  const isNew = {
    where: `NOT EXISTS (SELECT 1 FROM batches WHERE id = ?)
      AND NOT EXISTS (SELECT 1 FROM tasks WHERE id = ?) AND ${KEY_IS_UNUSED}`,
    args: [batch, id, ...idempotencyArgs(idempotency)],
  };
  return {
    event: insertEvent(
      { type: "batch.created", at: now, task: null, batch, data: { total: 0 }, trace },
      isNew,
    ),
    batch: {
      sql: `INSERT INTO batches (id, name, status, is_bare, api_key, config, created_at, updated_at)
            SELECT ?, ?, 'pending', 1, ?, '{}', ?, ? WHERE ${isNew.where}`,
      args: [batch, batch, apiKey, now, now, ...isNew.args],
    },
  };
}

function insertRow(task: NewTask): Statement<{ seq: number }> {
  return {
    sql: `INSERT INTO tasks (id, batch, position, status, model, priority, max_retries, timeout_ms,
                             flex_minutes, max_repairs, escalate_to, api_key, created_at, updated_at)
          SELECT ?, b.seq,
                 CASE WHEN b.seq <> ${SINGLE_TASKS} THEN
                   (SELECT coalesce(max(position), -1) + 1 FROM tasks
                    WHERE batch = b.seq AND position IS NOT NULL) END,
                 'pending', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?
          FROM batches b
          WHERE b.id = ? AND (b.seq = ${SINGLE_TASKS} OR b.status = 'pending')
            AND b.chain_status IS NOT 'waiting' AND b.chain_status IS NOT 'checking' AND ${KEY_IS_UNUSED}
          ON CONFLICT DO NOTHING
          RETURNING seq`,
    args: [
      task.id,
      task.model,
      task.priority,
      task.maxRetries,
      task.timeoutMs,
      task.flexMinutes,
      task.maxRepairs,
      task.escalateTo,
      task.apiKey,
      task.now,
      task.now,
      task.batchId ?? SINGLE_TASKS_ID,
      ...idempotencyArgs(task.idempotency),
    ],
  };
}

function keepIdempotencyKey(idempotency: Idempotency, which: Which, now: number): Statement {
  return {
    sql: `INSERT INTO idempotency_keys (api_key, key, fingerprint, task, created_at)
          SELECT ?, ?, ?, seq, ? FROM tasks WHERE ${which.where}`,
    args: [idempotency.apiKey, idempotency.key, idempotency.fingerprint, now, ...which.args],
  };
}
