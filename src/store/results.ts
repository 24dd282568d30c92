import type { Statement } from "../db/unit.ts";
import type { ResultSource } from "../domain/result-row.ts";
import type { TaskStatus } from "../domain/task.ts";
import type { Batch } from "./batches.ts";
import { IS_RUNNING } from "./queue.ts";

/** A task of a batch with its request and its result. */
export type ResultRow = ResultSource & {
  position: number;
  /** The provider's id of the request. */
  requestId: string | null;
};

/** What shows whether the results of a batch have changed. */
export type ResultsState = Pick<
  Batch,
  "seq" | "run" | "total" | "completed" | "failed" | "cancelled" | "updatedAt" | "completedAt"
>;

export function readState(batch: number): Statement<ResultsState> {
  return {
    sql: `SELECT seq, run, total, completed, failed, cancelled, updated_at AS updatedAt,
            completed_at AS completedAt
          FROM batches WHERE seq = ?`,
    args: [batch],
  };
}

/** `unanswered`: tasks that ended without an answer. */
type Which = TaskStatus | "unanswered";
export type ResultPage = { after: number; limit: number; status: Which | undefined };

/** The position of each row that `listResults` would return, and the bytes of its texts, without reading the texts. */
export function sizesOfResults(
  batch: number,
  { after, limit, status }: ResultPage,
): Statement<{ bytes: number; position: number }> {
  const ofInput = "coalesce(octet_length(i.cells), 0) + coalesce(octet_length(i.body), 0)";
  return {
    sql: `SELECT ${ofInput} + coalesce(octet_length(e.response), 0) AS bytes,
            tasks.position
          ${rowsOfPage(status)}`,
    args: [batch, after, limit],
  };
}

/**
 * The tasks of a batch after a position, in input order. They are read as plain rows, because mapping the results of
 * a million tasks to objects took half of the time.
 */
export function listResults(
  batch: number,
  { after, limit, status }: ResultPage,
): Statement<ResultRow> {
  return {
    sql: `SELECT ${COLUMNS} ${rowsOfPage(status)}`,
    args: [batch, after, limit],
  };
}

/** The tasks of a batch at these positions, in input order. */
export function resultsAt(batch: number, positions: readonly number[]): Statement<ResultRow> {
  return {
    sql: `SELECT ${COLUMNS} ${FROM}
          WHERE tasks.batch = ? AND tasks.position IN (SELECT value FROM json_each(?))
          ORDER BY tasks.position`,
    args: [batch, JSON.stringify(positions)],
  };
}

const COLUMNS = `tasks.seq, tasks.id, tasks.position, tasks.model, tasks.max_repairs AS maxRepairs, tasks.is_skipped AS isSkipped, i.endpoint, i.cells,
                 CASE WHEN tasks.status = 'pending' AND ${IS_RUNNING} THEN 'running'
                      ELSE tasks.status END AS status,
                 CASE WHEN i.cells IS NULL THEN i.body END AS body,
                 CASE WHEN i.cells IS NULL THEN i.prompt END AS prompt,
                 CASE WHEN i.cells IS NULL THEN i.metadata END AS metadata,
                 e.run, e.attempts, e.is_dry_run AS isDryRun, e.is_cached AS isCached, e.is_estimated AS isEstimated,
                 e.prompt_tokens AS promptTokens,
                 e.completion_tokens AS completionTokens, e.cost_usd AS costUsd,
                 e.completed_at - e.started_at AS durationMs, e.model AS calledModel,
                 e.response, e.error, e.request_id AS requestId`;

/** The rows of a page, with the arguments batch, after, limit. */
function rowsOfPage(status: Which | undefined): string {
  return `${FROM}
          WHERE tasks.batch = ? AND tasks.position > ?${status === undefined ? "" : ` AND ${STATUS[status]}`}
          ORDER BY tasks.position LIMIT ?`;
}

const FROM = `FROM tasks CROSS JOIN task_inputs i ON i.task = tasks.seq
            LEFT JOIN executions e
              ON e.task = tasks.seq AND e.run = tasks.run AND tasks.status <> 'pending'`;

const STATUS: Record<Which, string> = {
  pending: `tasks.status = 'pending' AND NOT ${IS_RUNNING}`,
  running: `tasks.status = 'pending' AND ${IS_RUNNING}`,
  completed: "tasks.status = 'completed'",
  failed: "tasks.status = 'failed'",
  cancelled: "tasks.status = 'cancelled'",
  // The plus makes SQLite use the index in input order.
  unanswered: "+tasks.status IN ('failed', 'cancelled')",
};
