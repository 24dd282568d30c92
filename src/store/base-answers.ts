import type { Statement } from "../db/unit.ts";
import type { Endpoint } from "../domain/request.ts";

/** SQL that is true where a task, named by SQL, has not yet taken the answer of its `baseBatch`: it does so once. */
const HAS_NOT_TAKEN = (task: string) =>
  `NOT EXISTS (SELECT 1 FROM executions x WHERE x.task = ${task} AND x.is_cached)`;

/**
 * SQL that joins to a row `i` of `task_inputs` the execution `e` whose answer it may take, if there is one: that
 * which was found for it in its `baseBatch`, or else the one that is kept for requests like it. `when` says what else must be true.
 */
export const storedAnswer = (when = "TRUE") => `
  LEFT JOIN executions b ON b.task = i.base_task AND b.run = i.base_run AND ${HAS_NOT_TAKEN("i.task")}
  LEFT JOIN cached_answers a ON a.key = i.cache_key
  LEFT JOIN executions e ON e.task = coalesce(b.task, a.task) AND e.run = iif(b.task IS NULL, a.run, b.run)
    AND ${when}`;

/** An answer that rows of another batch may take. */
export type BaseAnswer = {
  position: number;
  task: number;
  run: number;
  endpoint: Endpoint;
  /** The key of its request, or else the request itself. */
  key: string | null;
  body: string | null;
  isChecked: number;
  /** The model that was asked in the end, where the first was not good enough. */
  escalatedTo: string | null;
};

/**
 * The answers of a batch from after a position on: real ones, whole, and of a model that was asked for.
 * `standIn`: the simulator, where its answers count for nothing.
 */
export function baseAnswers(
  batch: number,
  standIn: string | null,
  after: number,
  limit: number,
  skip: number,
): Statement<BaseAnswer> {
  return {
    sql: `SELECT t.position, t.seq AS task, e.run, i.endpoint, i.cache_key AS key,
                 iif(i.cache_key IS NULL, i.body, NULL) AS body, t.max_repairs IS NOT NULL AS isChecked,
                 iif(e.escalated_from IS NULL, NULL, coalesce(t.escalate_to, '')) AS escalatedTo
          FROM tasks t CROSS JOIN executions e ON e.task = t.seq AND e.run = t.run
            CROSS JOIN task_inputs i ON i.task = t.seq
          WHERE t.batch = ? AND t.status = 'completed' AND t.position > ?
            AND e.status = 'completed' AND NOT e.is_dry_run AND NOT e.is_truncated AND e.fallback_from IS NULL
            AND e.response IS NOT NULL AND e.model IS NOT NULL AND e.provider IS NOT ? AND e.provider IS NOT NULL
          ORDER BY t.position LIMIT ? OFFSET ?`,
    args: [batch, after, standIn, limit, skip],
  };
}

/** How many of a batch's pending tasks have an answer in its `baseBatch` that is still there. */
export function reusableRows(batch: number): Statement<{ n: number }> {
  return {
    sql: `SELECT count(*) AS n
          FROM tasks t CROSS JOIN task_inputs i ON i.task = t.seq
            CROSS JOIN executions b ON b.task = i.base_task AND b.run = i.base_run
          WHERE t.batch = ? AND t.status = 'pending' AND ${HAS_NOT_TAKEN("t.seq")}`,
    args: [batch],
  };
}
