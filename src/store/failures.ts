import type { Statement } from "../db/unit.ts";

export type FailureGroup = {
  code: string;
  model: string;
  count: number;
  message: string;
  taskId: string;
  batchId: string;
  at: number;
};

/**
 * The failed ones among the newest tasks, grouped by cause and model; each group shows the figures of its latest
 * task.
 */
export function recentFailures(since: number, limit: number): Statement<FailureGroup> {
  return {
    sql: `SELECT coalesce(e.error ->> 'code', '') AS code, t.model, count(*) AS count,
                 coalesce(e.error ->> 'message', '') AS message, t.id AS taskId, b.id AS batchId,
                 max(e.completed_at) AS at
          FROM (SELECT seq, id, batch, model, run FROM tasks
                WHERE status = 'failed' AND created_at >= ? ORDER BY created_at DESC LIMIT ?) t
            CROSS JOIN executions e ON e.task = t.seq AND e.run = t.run
            CROSS JOIN batches b ON b.seq = t.batch
          GROUP BY 1, 2 ORDER BY at DESC`,
    args: [since, limit],
  };
}
