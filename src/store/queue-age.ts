import type { Statement } from "../db/unit.ts";

export type StuckQueue = { oldestAt: number | null; running: number; startedAt: number | null };

/**
 * Since when the oldest ready task has waited, whether any task runs, and when one was last started, according to the
 * end of the log.
 */
export const STUCK_QUEUE: Statement<StuckQueue> = {
  sql: `SELECT (SELECT min(queued_at) FROM queue
                WHERE owner IS NULL AND run_at IS NULL
                  AND lane IN (SELECT seq FROM batches WHERE status = 'running')) AS oldestAt,
               EXISTS (SELECT 1 FROM queue WHERE owner IS NOT NULL) AS running,
               (SELECT max(at) FROM (SELECT at, type FROM events ORDER BY id DESC LIMIT 1000)
                WHERE type IN ('task.started', 'batch.started', 'batch.resumed')) AS startedAt`,
  args: [],
};
