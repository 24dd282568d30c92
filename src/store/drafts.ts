import { DATABASE_NOW } from "../db/now.ts";
import type { Statement } from "../db/unit.ts";
import type { NewBatch, NewRow } from "./new-batch.ts";
import { overValues } from "./values.ts";
import type { Which } from "./which.ts";

/*
 * A draft is a batch that is still being written. It has a name that no client can use (`~…`) and the status
 * `ingesting`, which no answer shows. Its last unit gives it its real name. Until then clients do not see it, and the
 * next start after a crash removes it.
 */

export function openDraft(batch: NewBatch): Statement {
  return {
    sql: `INSERT INTO batches (id, name, description, status, api_key, input_file, input_batch, chain_status, output_file,
            base_batch, config, metadata, max_concurrency, max_cost_usd,
            open_ai, deadline_at, payer, created_at, draft_owner, updated_at)
          VALUES (?, ?, ?, 'ingesting', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ${DATABASE_NOW})`,
    args: [
      batch.draft,
      batch.name,
      batch.description,
      batch.apiKey,
      batch.inputFile,
      batch.inputBatch,
      batch.chainStatus,
      batch.outputFile,
      batch.baseBatch,
      JSON.stringify(batch.config),
      batch.metadata && JSON.stringify(batch.metadata),
      batch.maxConcurrency,
      batch.maxCostUsd,
      batch.openAi && JSON.stringify(batch.openAi),
      batch.deadlineAt,
      batch.payer,
      batch.now,
      batch.owner,
    ],
  };
}

/** The fewest rows for which equal columns are looked for. Rows of one batch have most columns in common. */
const FEWEST_ALIKE = 100;

/** Writes rows into a draft. Fails as a whole if one of the ids is taken. */
export function insertRows(
  batch: Pick<NewBatch, "draft" | "apiKey" | "now">,
  rows: NewRow[],
): { touched: Statement; tasks: Statement[]; inputs: Statement[]; keys: Statement[] } {
  return {
    touched: touchDraft(batch.draft),
    tasks: overValues(
      rows,
      (row) => [
        row.id,
        row.position,
        row.model,
        row.priority,
        row.maxRetries,
        row.timeoutMs,
        row.flexMinutes,
        row.maxRepairs,
        row.escalateTo,
        row.isSkipped,
      ],
      (values) => `
        INSERT INTO tasks (id, batch, position, status, model, priority, max_retries, timeout_ms,
          flex_minutes, max_repairs, escalate_to, is_skipped, completed_at, api_key, created_at, updated_at)
        SELECT v.column1, b.seq, v.column2, iif(v.column10, 'cancelled', 'pending'), v.column3, v.column4,
          v.column5, v.column6, v.column7, v.column8, v.column9, v.column10, iif(v.column10, ?, NULL), ?, ?, ?
        FROM ${values} v CROSS JOIN batches b WHERE b.id = ?`,
      {
        before: [batch.now, batch.apiKey, batch.now, batch.now],
        after: [batch.draft],
        areAlike: rows.length >= FEWEST_ALIKE,
      },
    ),
    inputs: overValues(
      rows,
      (row) => [
        row.id,
        row.endpoint,
        row.body,
        row.prompt,
        row.metadata,
        row.cells,
        row.cacheKey,
        row.baseTask,
        row.baseRun,
      ],
      (values) => `
        INSERT INTO task_inputs (task, endpoint, body, prompt, metadata, cells, cache_key, base_task, base_run)
        SELECT t.seq, v.column2, v.column3, v.column4, v.column5, v.column6, v.column7, v.column8, v.column9
        FROM ${values} v CROSS JOIN tasks t WHERE t.id = v.column1`,
      { areAlike: rows.length >= FEWEST_ALIKE },
    ),
    keys: overValues(
      rows.filter(({ idempotencyKey }) => idempotencyKey !== null),
      (row) => [row.id, row.idempotencyKey, row.fingerprint],
      (values) => `
        INSERT INTO idempotency_keys (api_key, key, fingerprint, task, created_at)
        SELECT ?, v.column2, v.column3, t.seq, ?
        FROM ${values} v CROSS JOIN tasks t WHERE t.id = v.column1`,
      { before: [batch.apiKey, batch.now] },
    ),
  };
}

/** Which of these idempotency keys were used before, other than by rows of the draft itself. */
export function findUsedKeys(
  { draft, apiKey }: Pick<NewBatch, "draft" | "apiKey">,
  keys: string[],
): Statement<{ key: string }> {
  return {
    sql: `SELECT k.key FROM json_each(?) r
          CROSS JOIN idempotency_keys k ON k.key = r.value AND k.api_key = ?
          LEFT JOIN tasks t ON t.seq = k.task
          LEFT JOIN batches b ON b.seq = t.batch
          WHERE b.id IS NOT ?`,
    args: [JSON.stringify(keys), apiKey, draft],
  };
}

/** True of a draft that its node may publish: no other node has begun to remove it because its owner was silent. */
export function isOwnDraft({ draft, owner }: Pick<NewBatch, "draft" | "owner">): Which {
  return { where: "id = ? AND status = 'ingesting' AND draft_owner = ?", args: [draft, owner] };
}

/** Has a row if the node of a draft may still publish it. */
export function findOwnDraft(batch: Pick<NewBatch, "draft" | "owner">): Statement<object> {
  const { where, args } = isOwnDraft(batch);
  return { sql: `SELECT 1 FROM batches WHERE ${where}`, args };
}

/** Marks a draft as still in work, so that it is not removed. */
function touchDraft(draft: string): Statement {
  return {
    sql: `UPDATE batches SET updated_at = ${DATABASE_NOW} WHERE id = ? AND status = 'ingesting'`,
    args: [draft],
  };
}
