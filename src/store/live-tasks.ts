import type { Statement } from "../db/unit.ts";
import { SINGLE_TASKS } from "../domain/batch.ts";
import { type InsertUnit, insertTask, type NewTask } from "./new-task.ts";

/** The result of a live call, in the columns of its execution. */
export type LiveExecution = {
  status: "completed" | "failed";
  startedAt: number;
  at: number;
  provider: string;
  model: string;
  fallbackFrom: string | null;
  requestId: string | null;
  promptTokens: number | null;
  completionTokens: number | null;
  cachedTokens: number | null;
  reasoningTokens: number | null;
  costUsd: number | null;
  isEstimated: boolean;
  isTruncated: boolean;
  response: string | null;
  error: string | null;
  adjusted: string[];
};

/** Stores a live call as an ended task with one execution. Its cost and its rollups are already recorded. */
export function insertEnded(
  task: Omit<NewTask, "batchId" | "execute" | "idempotency">,
  execution: LiveExecution,
): InsertUnit &
  Record<"execution" | "ended" | "counters" | "reported", Statement> & {
    kept: Statement | undefined;
  } {
  const { id, trace, cacheKey } = task;
  const { status, startedAt, at } = execution;
  const isReusable =
    cacheKey !== null &&
    status === "completed" &&
    execution.fallbackFrom === null &&
    !execution.isTruncated;
  return {
    ...insertTask({ ...task, batchId: null, execute: null, idempotency: null }),
    execution: insertExecution(id, execution),
    ended: {
      sql: `UPDATE tasks SET status = ?, run = 1, attempts = 1, is_truncated = ?, started_at = ?, completed_at = ?, updated_at = ?
            WHERE id = ?`,
      args: [status, execution.isTruncated, startedAt, at, at, id],
    },
    counters: {
      sql: `UPDATE batches SET ${status} = ${status} + 1, truncated = truncated + ?, prompt_tokens = prompt_tokens + ?,
              completion_tokens = completion_tokens + ?, cost_usd = cost_usd + ?, unpriced = unpriced + ?, updated_at = ?
            WHERE seq = ${SINGLE_TASKS}`,
      args: [
        status === "completed" && execution.isTruncated ? 1 : 0,
        execution.promptTokens ?? 0,
        execution.completionTokens ?? 0,
        execution.costUsd ?? 0,
        execution.promptTokens !== null && execution.costUsd === null ? 1 : 0,
        at,
      ],
    },
    reported: {
      sql: `INSERT INTO events (at, type, task, batch, task_seq, run, data, trace)
            SELECT ?, ?, id, NULL, seq, 1, CASE WHEN ? IS NOT NULL THEN json_object('error', ? ->> 'code') END, ?
            FROM tasks WHERE id = ?`,
      args: [at, `task.${status}`, execution.error, execution.error, trace, id],
    },
    kept: isReusable
      ? {
          sql: `INSERT INTO cached_answers (key, task, run) SELECT ?, seq, 1 FROM tasks WHERE id = ?
                ON CONFLICT (key) DO UPDATE SET task = excluded.task, run = excluded.run`,
          args: [cacheKey, id],
        }
      : undefined,
  };
}

function insertExecution(id: string, execution: LiveExecution): Statement {
  const { startedAt, at } = execution;
  return {
    sql: `INSERT INTO executions (task, run, status, is_dry_run, queued_at, started_at, claimed_at, completed_at, attempts,
            provider, model, fallback_from, request_id, prompt_tokens, completion_tokens, cached_tokens, reasoning_tokens,
            cost_usd, is_estimated, response, error, adjusted, is_truncated)
          SELECT seq, 1, ?, 0, ?, ?, ?, ?, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ? FROM tasks WHERE id = ?`,
    args: [
      execution.status,
      startedAt,
      startedAt,
      startedAt,
      at,
      execution.provider,
      execution.model,
      execution.fallbackFrom,
      execution.requestId,
      execution.promptTokens,
      execution.completionTokens,
      execution.cachedTokens,
      execution.reasoningTokens,
      execution.costUsd,
      execution.isEstimated,
      execution.response,
      execution.error,
      execution.adjusted.length > 0 ? JSON.stringify(execution.adjusted) : null,
      execution.isTruncated,
      id,
    ],
  };
}

export type KeptAnswer = { response: string; provider: string; requestId: string | null };

/** The stored answer to a request with this key; `standIn` is the simulator, if its answers do not count. */
export function keptAnswer(key: string, standIn: string | null): Statement<KeptAnswer> {
  return {
    sql: `SELECT e.response, e.provider, e.request_id AS requestId
          FROM cached_answers a CROSS JOIN executions e ON e.task = a.task AND e.run = a.run
          WHERE a.key = ? AND e.response IS NOT NULL AND e.provider IS NOT ?`,
    args: [key, standIn],
  };
}
