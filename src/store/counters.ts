import type { Statement } from "../db/unit.ts";
import { SINGLE_TASKS } from "../domain/batch.ts";
import type { StoredStatus } from "../domain/task.ts";
import { forEachMark, MARKED_COUNTERS } from "./marks.ts";
import { IS_RUNNING } from "./queue.ts";
import type { Which } from "./which.ts";

/** SQL that is true of a row of `tasks` that was skipped. */
const IS_SKIPPED = "is_skipped AND status = 'cancelled'";

/** SQL for the cost of a row of `batches`; for a dry run, what it would have cost. */
export const COST = "iif(is_dry_run, estimated_usd, cost_usd)";

/**
 * Updates the counters of batches for the tasks that a later statement of the unit moves to `to` (or deletes). It
 * comes before that statement and has the same condition over the columns of `tasks`.
 */
export function countMove(which: Which, to: StoredStatus | "deleted", now: number): Statement {
  const minus = (status: StoredStatus | "running") =>
    `${status} = batches.${status} - moved.${status}${to === status ? " + moved.all_of_them" : ""}`;
  return {
    sql: `UPDATE batches SET ${minus("completed")}, ${minus("failed")}, ${minus("cancelled")},
            ${minus("running")}, skipped = batches.skipped - moved.skipped ${forEachMark(({ counter }) => `${counter} = batches.${counter} - moved.${counter}`)}, total = total${to === "deleted" ? " - moved.all_of_them" : ""},
            updated_at = ?
          FROM (SELECT batch, count(*) AS all_of_them,
                       sum(status = 'completed') AS completed, sum(status = 'failed') AS failed,
                       sum(status = 'cancelled') AS cancelled, sum(${IS_RUNNING}) AS running,
                       sum(${IS_SKIPPED}) AS skipped
                       ${forEachMark(({ counter, mark }) => `sum(status = 'completed' AND ${mark}) AS ${counter}`)}
                FROM tasks WHERE ${which.where} GROUP BY batch) AS moved
          WHERE batches.seq = moved.batch`,
    args: [now, ...which.args],
  };
}

/** True for the batches with these row numbers. */
export function byNumber(seqs: readonly number[]): Which {
  return { where: "seq IN (SELECT value FROM json_each(?))", args: [JSON.stringify(seqs)] };
}

/** True for the batch of a task, which may have moved to another one since it was read. */
export function batchOfTask(id: string): Which {
  return { where: "seq = (SELECT batch FROM tasks WHERE id = ?)", args: [id] };
}

/**
 * Ends those of some batches (`byNumber`, `batchOfTask`) that have no more tasks to run. A cancelled batch ends when
 * the last of its tasks is cancelled.
 */
export function finishBatches({ where, args }: Which, now: number): Statement[] {
  // The plus keeps SQLite from the index by status, through which it would read all batches that run.
  const isDone = `${where} AND seq <> ${SINGLE_TASKS}
    AND (+status IN ('running', 'paused') OR (+status = 'cancelled' AND completed_at IS NULL))
    AND completed + failed + cancelled >= total AND revive IS NULL`;
  // If all rows were skipped, the batch is completed.
  const status = `CASE WHEN status = 'cancelled' THEN 'cancelled'
                       WHEN completed > 0 OR skipped >= total THEN 'completed'
                       WHEN failed > 0 THEN 'failed' ELSE 'cancelled' END`;
  return [
    {
      sql: `INSERT INTO events (at, type, task, batch, data, trace)
            SELECT ?, 'batch.' || ${status}, NULL, id,
                   json_patch(json_object('total', total, 'completed', completed, 'failed', failed,
                     'cancelled', cancelled, 'skipped', skipped, 'costUsd', ${COST}),
                     iif(expired_at IS NULL, '{}', '{"expired":true}')), trace
            FROM batches WHERE ${isDone}`,
      args: [now, ...args],
    },
    {
      sql: `UPDATE batches SET status = ${status}, completed_at = ?, updated_at = ?, pause_reason = NULL,
              output_status = CASE WHEN output_file IS NOT NULL THEN 'pending' END
            WHERE ${isDone}`,
      args: [now, now, ...args],
    },
  ];
}

export type Difference = { batchId: string; counter: string; stored: number; counted: number };

const COUNTED: readonly string[] = [
  "total",
  "completed",
  "failed",
  "cancelled",
  "running",
  "skipped",
  ...MARKED_COUNTERS,
];

/** Counters that differ from the rows they count, of the batches `b` that meet a condition. */
const differencesOf = (which: string) => `
  WITH counted AS (
    SELECT b.id, b.seq, b.total, b.completed, b.failed, b.cancelled, b.running, b.skipped ${forEachMark(({ counter }) => `b.${counter}`)},
           (SELECT count(*) FROM tasks WHERE batch = b.seq) AS total_rows,
           (SELECT count(*) FROM tasks WHERE batch = b.seq AND status = 'completed') AS completed_rows,
           (SELECT count(*) FROM tasks WHERE batch = b.seq AND status = 'failed') AS failed_rows,
           (SELECT count(*) FROM tasks WHERE batch = b.seq AND status = 'cancelled') AS cancelled_rows,
           (SELECT count(*) FROM tasks WHERE batch = b.seq AND ${IS_SKIPPED}) AS skipped_rows
           ${forEachMark(
             ({ counter, mark }) => `(SELECT count(*) FROM tasks
               WHERE batch = b.seq AND status = 'completed' AND ${mark}) AS ${counter}_rows`,
           )},
           (SELECT count(*) FROM queue q JOIN tasks t ON t.seq = q.task
            WHERE t.batch = b.seq AND q.owner IS NOT NULL) AS running_rows
    FROM batches b WHERE b.status <> 'ingesting' AND ${which})
  ${COUNTED.map(
    (counter) => `SELECT id AS batchId, '${counter}' AS counter, ${counter} AS stored,
      ${counter}_rows AS counted FROM counted WHERE ${counter} <> ${counter}_rows`,
  ).join("\n  UNION ALL ")}`;

/**
 * Adds the difference that was found when a counter was checked. The difference stays the same while tasks go on
 * being counted, so it may be added at any time, but only once; `when` ensures that.
 */
export function repairCounter(
  { batchId, counter, stored, counted }: Difference,
  now: number,
  when: Which,
): Statement {
  if (!COUNTED.includes(counter)) throw new Error(`${counter} is not a counter of a batch`);
  return {
    sql: `UPDATE batches SET ${counter} = ${counter} + ?, updated_at = ? WHERE id = ? AND ${when.where}`,
    args: [counted - stored, now, batchId, ...when.args],
  };
}

/** The row numbers of batches by their ids. */
export function seqsOf(ids: readonly string[]): Statement<{ seq: number }> {
  return {
    sql: "SELECT seq FROM batches WHERE id IN (SELECT value FROM json_each(?))",
    args: [JSON.stringify(ids)],
  };
}

/** The row numbers of up to `limit` batches after one, in their order. */
export function batchesAfter(seq: number, limit: number): Statement<{ seq: number }> {
  return { sql: "SELECT seq FROM batches WHERE seq > ? ORDER BY seq LIMIT ?", args: [seq, limit] };
}

/** The counters of the batches after one up to another; reads all their tasks, so it is for checks only. */
export function checkCounters(after: number, upTo: number): Statement<Difference> {
  return { sql: differencesOf("b.seq > ? AND b.seq <= ?"), args: [after, upTo] };
}

/** The counters of up to `limit` batches, none larger than `largest`, that changed since `since`, and of those with these ids. */
export function checkSomeCounters(
  since: number,
  ids: string[],
  limit: number,
  largest: number,
): Statement<Difference> {
  return {
    sql: differencesOf(`b.seq IN (
      SELECT seq FROM (SELECT seq FROM batches WHERE updated_at >= ? AND total <= ?
                       ORDER BY updated_at DESC LIMIT ?)
      UNION SELECT seq FROM batches WHERE id IN (SELECT value FROM json_each(?)))`),
    args: [since, largest, limit, JSON.stringify(ids)],
  };
}
