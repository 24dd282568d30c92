import type { Statement } from "../db/unit.ts";
import { SINGLE_TASKS } from "../domain/batch.ts";
import { cancelWhere, type CancelUnit } from "./cancel.ts";
import { batchOfTask, countMove, finishBatches } from "./counters.ts";
import { laneOfTask } from "./flex.ts";
import { enqueue, IS_RUNNING, type Queued, type RunOptions } from "./queue.ts";
import { ALWAYS, both, type Which } from "./which.ts";

/** The task's batch is not being written, and was not deleted since the caller saw the task. */
const IS_THERE = `EXISTS (SELECT 1 FROM batches b WHERE b.seq = tasks.batch AND b.status <> 'ingesting')`;

/** A task that is not in the queue. */
const AT_REST = `id = ? AND ${IS_THERE} AND NOT EXISTS (SELECT 1 FROM queue WHERE task = tasks.seq)`;

export type ExecuteUnit = { counted: Statement; reset: Statement; queued: Statement<Queued> };

/** Queues a task that is not in the queue, also a finished one. `queued` has a row if it did. */
export function executeTask(id: string, options: RunOptions): ExecuteUnit {
  const which = { where: AT_REST, args: [id] };
  return {
    counted: countMove(which, "pending", options.now),
    reset: {
      sql: `UPDATE tasks SET status = 'pending', attempts = 0, started_at = NULL, completed_at = NULL,
              is_skipped = 0, updated_at = ?
            WHERE ${which.where}`,
      args: [options.now, ...which.args],
    },
    queued: enqueue(which, options),
  };
}

export type TaskChange = {
  id: string;
  /** The request from which the change was computed. If it is different by now, nothing is changed. */
  before: Asked;
  after: Asked;
  model: string;
  /** The settings from which the change was computed. One that stays the same is not written: another client may change it. */
  settingsBefore: TaskSettings;
  settings: TaskSettings;
  /** An answer to the request before the change does not answer the new one. */
  isOther: boolean;
  now: number;
  steadyNow: number;
};

type TaskSettings = {
  priority: number;
  maxRetries: number | null;
  timeoutMs: number | null;
  flexMinutes: number | null;
  maxRepairs: number | null;
  escalateTo: string | null;
};

const SETTINGS = {
  priority: "priority",
  maxRetries: "max_retries",
  timeoutMs: "timeout_ms",
  flexMinutes: "flex_minutes",
  maxRepairs: "max_repairs",
  escalateTo: "escalate_to",
} satisfies Record<keyof TaskSettings, string>;

/** Assignments of the changed settings, and their arguments. */
const SET_CHANGED = Object.values(SETTINGS)
  .map((column) => `${column} = iif(?, ?, ${column})`)
  .join(", ");

function changedSettings({ settings, settingsBefore }: TaskChange) {
  return (Object.keys(SETTINGS) as (keyof TaskSettings)[]).flatMap((name) => [
    settings[name] !== settingsBefore[name],
    settings[name],
  ]);
}

type Asked = {
  body: string;
  prompt: string | null;
  metadata: string | null;
  cacheKey: string | null;
};

export type ChangeUnit = {
  counted: Statement | undefined;
  /** The batch, whose results carry the metadata of its tasks. */
  touched: Statement | undefined;
  changed: Statement<{ seq: number }>;
  queued: Statement;
  input: Statement;
};

/**
 * Changes a task that is not running. If its request changes, a finished task becomes pending again. `changed` has a
 * row if it did.
 */
export function changeTask(change: TaskChange): ChangeUnit {
  const { before, after, now } = change;
  const { isOther } = change;
  const which = {
    where: `id = ? AND ${IS_THERE} AND NOT ${IS_RUNNING} AND EXISTS (
              SELECT 1 FROM task_inputs i
              WHERE i.task = tasks.seq AND i.body = ? AND i.prompt IS ? AND i.metadata IS ?
                AND i.cache_key IS ?)`,
    args: [change.id, before.body, before.prompt, before.metadata, before.cacheKey],
  };
  return {
    counted: isOther ? countMove(which, "pending", now) : undefined,
    touched:
      before.metadata === after.metadata
        ? undefined
        : {
            sql: `UPDATE batches SET updated_at = max(updated_at + 1, ?)
                  WHERE seq = (SELECT batch FROM tasks WHERE ${which.where}) AND seq <> ${SINGLE_TASKS}`,
            args: [now, ...which.args],
          },
    changed: {
      sql: `UPDATE tasks SET model = ?, ${SET_CHANGED}, updated_at = ?,
              status = CASE WHEN ? THEN 'pending' ELSE status END,
              completed_at = CASE WHEN ? THEN NULL ELSE completed_at END,
              is_skipped = iif(?, 0, is_skipped)
            WHERE ${which.where} RETURNING seq`,
      args: [
        change.model,
        ...changedSettings(change),
        now,
        isOther,
        isOther,
        isOther,
        ...which.args,
      ],
    },
    queued: {
      sql: `UPDATE queue SET ${laneOfTask("t", { asksOther: isOther })}, priority = t.priority FROM tasks t
            WHERE t.seq = queue.task AND queue.task = (SELECT seq FROM tasks WHERE ${which.where})`,
      args: [change.steadyNow, ...which.args],
    },
    // Last, because its change makes the condition false.
    input: {
      sql: `UPDATE task_inputs SET body = ?, prompt = ?, metadata = ?, cache_key = ?,
              base_task = iif(?, NULL, base_task), base_run = iif(?, NULL, base_run)
            WHERE task = (SELECT seq FROM tasks WHERE ${which.where})`,
      args: [
        after.body,
        after.prompt,
        after.metadata,
        after.cacheKey,
        isOther,
        isOther,
        ...which.args,
      ],
    },
  };
}

/**
 * Cancels a pending or running task; `cancelled` has a row if it did. Its queue row goes with it, so
 * that a late answer finds nothing.
 */
export function cancelTask(id: string, trace: string | null, now: number): CancelUnit {
  const which = {
    where: `tasks.id = ? AND tasks.status = 'pending' AND ${IS_THERE}`,
    args: [id],
  };
  return cancelWhere(which, batchOfTask(id), trace, now);
}

export type DeleteUnit = {
  counted: Statement;
  children: Statement[];
  finished: Statement[];
  deleted: Statement<{ seq: number }>;
};

/**
 * Deletes a task with all that belongs to it, unless it is running, and if `when` holds. `deleted` has a row if it did.
 */
export function deleteTask(id: string, now: number, when: Which = ALWAYS): DeleteUnit {
  const atRest = { where: `id = ? AND ${IS_THERE} AND NOT ${IS_RUNNING}`, args: [id] };
  const which = both(atRest, when);
  const children = ["queue", "executions", "task_inputs", "idempotency_keys"];
  return {
    counted: countMove(which, "deleted", now),
    children: children.map((table) => ({
      sql: `DELETE FROM ${table} WHERE task = (SELECT seq FROM tasks WHERE ${which.where})`,
      args: which.args,
    })),
    finished: finishBatches(batchOfTask(id), now),
    deleted: { sql: `DELETE FROM tasks WHERE ${which.where} RETURNING seq`, args: which.args },
  };
}
