import type { Statement } from "../db/unit.ts";
import type { Endpoint } from "../domain/request.ts";

/**
 * SQL that is true if a task, named by SQL, has not yet reused the answer of its `baseBatch`. It does so only once.
 */
const HAS_NOT_TAKEN = (task: string) =>
  `NOT EXISTS (SELECT 1 FROM executions x WHERE x.task = ${task} AND x.is_cached)`;

/**
 * SQL that joins to a row `i` of `task_inputs` the execution `e` whose answer it may reuse, if there is one: that
 * from its `baseBatch`, or else the cached one for the same request. `when` is a further condition.
 */
export function storedAnswer(when = "TRUE"): string {
  return `
  LEFT JOIN executions b ON b.task = i.base_task AND b.run = i.base_run AND ${HAS_NOT_TAKEN("i.task")}
  LEFT JOIN cached_answers a ON a.key = i.cache_key
  LEFT JOIN executions e ON e.task = coalesce(b.task, a.task) AND e.run = iif(b.task IS NULL, a.run, b.run)
    AND ${when}`;
}

/** An answer that rows of another batch may reuse. */
export type BaseAnswer = {
  position: number;
  task: number;
  run: number;
  endpoint: Endpoint;
  /** The key of its request, or else the request itself. */
  key: string | null;
  body: string | null;
  isChecked: number;
  /** The model of `escalateTo`, if that gave the answer. */
  escalatedTo: string | null;
};

/**
 * The reusable answers of a batch after a position: real, complete, and from a requested model. `standIn`: the
 * simulator, if its answers do not count.
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

/** How many of a batch's pending tasks can still reuse an answer of its `baseBatch`. */
export function reusableRows(batch: number): Statement<{ n: number }> {
  return {
    sql: `SELECT count(*) AS n
          FROM tasks t CROSS JOIN task_inputs i ON i.task = t.seq
            CROSS JOIN executions b ON b.task = i.base_task AND b.run = i.base_run
          WHERE t.batch = ? AND t.status = 'pending' AND ${HAS_NOT_TAKEN("t.seq")}`,
    args: [batch],
  };
}
