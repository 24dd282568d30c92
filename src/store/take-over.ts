import type { Statement } from "../db/unit.ts";
import { SINGLE_TASKS } from "../domain/batch.ts";
import { endQueued, reportCancelled } from "./cancel.ts";
import { isOwnDraft } from "./drafts.ts";
import { laneOfTask } from "./flex.ts";
import { idempotencyArgs, KEY_IS_UNUSED } from "./idempotency.ts";
import type { NewBatch, WrittenRows } from "./new-batch.ts";
import { laneOfSingle } from "./room.ts";
import { both, hasRow, type Which } from "./which.ts";

/** Moves the tasks of a bare batch into the draft and removes the bare batch, if the draft can be published. */
export function takeOver(
  batch: NewBatch,
  { written: rows, adopted }: WrittenRows,
  allowed: Which,
): Statement[] {
  const when = both(hasRow("batches", isOwnDraft(batch)), allowed);
  const key = idempotencyArgs(batch.idempotency);
  const json = JSON.stringify(adopted);
  const bare = `(SELECT seq FROM batches b
    WHERE b.id = ? AND b.is_bare = 1 AND b.status = 'pending' AND b.running = 0 AND ${KEY_IS_UNUSED}
      AND (SELECT count(*) FROM json_each(?) r CROSS JOIN tasks t ON t.id = r.value ->> 'id'
           WHERE t.batch = b.seq) = ?
      AND ${when.where})`;
  const bareArgs = [batch.id, ...key, json, adopted.length, ...when.args];
  const keepsAnswer = `tasks.status = 'completed' AND tasks.model = a.model
    AND (tasks.max_repairs IS NULL) = (a.repairs IS NULL)
    AND i.endpoint = a.endpoint AND i.body = a.body AND EXISTS (
      SELECT 1 FROM executions e WHERE e.task = a.seq AND e.run = tasks.run AND NOT e.is_dry_run)`;
  // Tasks that were to be executed on their own, and are skipped now. They may wait for another attempt.
  const skipped = {
    where: `tasks.batch = ${bare} AND tasks.is_skipped AND tasks.status = 'cancelled'
      AND EXISTS (SELECT 1 FROM queue WHERE queue.task = tasks.seq)`,
    args: bareArgs,
  };
  const describeAnew: Statement[] = [
    {
      // Without MATERIALIZED SQLite would read every task and look it up in the array. A negative position marks, for
      // a later statement, a task whose position is set already. An answer to the same request is kept; otherwise the
      // task is treated as one whose request has changed.
      sql: `WITH a AS MATERIALIZED (
              SELECT t.seq, r.value ->> 'position' AS position, r.value ->> 'model' AS model,
                     r.value ->> 'priority' AS priority, r.value ->> 'maxRetries' AS retries,
                     r.value ->> 'timeoutMs' AS timeout, r.value ->> 'flexMinutes' AS flex,
                     r.value ->> 'maxRepairs' AS repairs, r.value ->> 'escalateTo' AS escalate_to,
                     r.value ->> 'isSkipped' AS is_skipped,
                     r.value ->> 'endpoint' AS endpoint, r.value ->> 'body' AS body
              FROM json_each(?) r CROSS JOIN tasks t ON t.id = r.value ->> 'id'
              WHERE t.batch = ${bare})
            UPDATE tasks SET is_skipped = a.is_skipped,
              status = CASE WHEN a.is_skipped THEN 'cancelled' WHEN ${keepsAnswer} THEN 'completed' ELSE 'pending' END,
              completed_at = CASE WHEN a.is_skipped THEN ? WHEN ${keepsAnswer} THEN completed_at END, updated_at = ?,
              position = -1 - a.position, model = a.model, priority = a.priority,
              max_retries = a.retries, timeout_ms = a.timeout, flex_minutes = a.flex,
              max_repairs = a.repairs, escalate_to = a.escalate_to
            FROM a JOIN task_inputs i ON i.task = a.seq
            WHERE tasks.seq = a.seq`,
      args: [json, ...bareArgs, batch.now, batch.now],
    },
    reportCancelled(skipped, null, batch.now),
    ...Object.values(endQueued(skipped, batch.now)),
    {
      sql: `WITH a AS MATERIALIZED (
              SELECT t.seq, r.value ->> 'endpoint' AS endpoint, r.value ->> 'body' AS body,
                     r.value ->> 'prompt' AS prompt, r.value ->> 'metadata' AS metadata,
                     r.value ->> 'cells' AS cells, r.value ->> 'cacheKey' AS cache_key,
                     r.value ->> 'baseTask' AS base_task, r.value ->> 'baseRun' AS base_run
              FROM json_each(?) r CROSS JOIN tasks t ON t.id = r.value ->> 'id'
              WHERE t.batch = ${bare})
            UPDATE task_inputs SET endpoint = a.endpoint, body = a.body, prompt = a.prompt,
              metadata = a.metadata, cells = a.cells, cache_key = a.cache_key,
              base_task = a.base_task, base_run = a.base_run
            FROM a WHERE task_inputs.task = a.seq`,
      args: [json, ...bareArgs],
    },
    {
      sql: `UPDATE queue SET ${laneOfTask("t", { asksOther: true })}, priority = t.priority
            FROM tasks t WHERE t.seq = queue.task AND queue.owner IS NULL AND t.batch = ${bare}`,
      args: [batch.steadyNow, ...bareArgs],
    },
  ];
  return [
    ...(adopted.length > 0 ? describeAnew : []),
    {
      // The usage and cost of the answers move with them.
      sql: `UPDATE batches SET prompt_tokens = b.prompt_tokens, completion_tokens = b.completion_tokens,
              cached_tokens = b.cached_tokens, reasoning_tokens = b.reasoning_tokens,
              cost_usd = b.cost_usd, unpriced = b.unpriced, dearest_usd = b.dearest_usd
            FROM batches b WHERE batches.id = ? AND b.seq = ${bare}`,
      args: [batch.draft, ...bareArgs],
    },
    {
      // The cost cap of the batch applies to its queued tasks from now on.
      sql: `UPDATE queue SET lane = ${laneOfSingle("(SELECT seq FROM batches WHERE id = ?)", "queue.payer")}
            FROM tasks t WHERE t.seq = queue.task AND queue.lane <= ${SINGLE_TASKS}
              AND NOT queue.is_dry_run AND t.batch = ${bare}`,
      args: [batch.draft, ...bareArgs],
    },
    {
      sql: `UPDATE tasks SET batch = (SELECT seq FROM batches WHERE id = ?),
              position = CASE WHEN position < 0 THEN -1 - position ELSE position + ? END
            WHERE batch = ${bare}`,
      args: [batch.draft, rows + adopted.length, ...bareArgs],
    },
    {
      // All of its tasks have moved, so that only its name is left.
      sql: `DELETE FROM batches WHERE id = ? AND is_bare = 1
              AND NOT EXISTS (SELECT 1 FROM tasks WHERE batch = batches.seq) AND ${KEY_IS_UNUSED}
              AND ${when.where}`,
      args: [batch.id, ...key, ...when.args],
    },
  ];
}
