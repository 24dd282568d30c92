import type { Statement } from "../db/writer.ts";
import { eventAfterChange } from "./events.ts";
import { type Idempotency, idempotencyArgs, KEY_IS_UNUSED } from "./idempotency.ts";

/*
 * A batch is written under a name that no client can use (`~…`) and with the status `ingesting`,
 * which no answer shows; its last unit gives it its own name. Until then it does not exist, and
 * what a crash leaves of it is swept away at the next start.
 */

export type NewBatch = {
  /** The name it has while it is written. */
  draft: string;
  id: string;
  name: string;
  description: string | null;
  apiKey: number;
  inputFile: string | null;
  outputFile: string | null;
  columns: string[] | null;
  config: object;
  metadata: object | null;
  maxConcurrency: number | null;
  idempotency: Idempotency | null;
  now: number;
};

export type NewRow = {
  id: string;
  position: number;
  model: string;
  priority: number;
  maxRetries: number | null;
  timeoutMs: number | null;
  endpoint: string;
  body: string;
  prompt: string | null;
  metadata: string | null;
  cells: string[] | null;
  idempotencyKey: string | null;
  fingerprint: string | null;
};

export function openDraft(batch: NewBatch): Statement {
  return {
    sql: `INSERT INTO batches (id, name, description, status, api_key, input_file, output_file, columns,
            config, metadata, max_concurrency, created_at, updated_at)
          VALUES (?, ?, ?, 'ingesting', ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    args: [
      batch.draft,
      batch.name,
      batch.description,
      batch.apiKey,
      batch.inputFile,
      batch.outputFile,
      batch.columns && JSON.stringify(batch.columns),
      JSON.stringify(batch.config),
      batch.metadata && JSON.stringify(batch.metadata),
      batch.maxConcurrency,
      batch.now,
      batch.now,
    ],
  };
}

/** Writes rows into a draft. Fails as a whole where one of the ids is taken. Each result affects as many rows. */
export function insertRows(batch: NewBatch, rows: NewRow[]): Statement[] {
  const json = JSON.stringify(rows);
  return [
    {
      sql: `INSERT INTO tasks (id, batch, position, status, model, priority, max_retries, timeout_ms, api_key,
                               created_at, updated_at)
            SELECT r.value ->> 'id', b.seq, r.value ->> 'position', 'pending', r.value ->> 'model',
                   r.value ->> 'priority', r.value ->> 'maxRetries', r.value ->> 'timeoutMs', ?, ?, ?
            FROM batches b CROSS JOIN json_each(?) r WHERE b.id = ?`,
      args: [batch.apiKey, batch.now, batch.now, json, batch.draft],
    },
    {
      sql: `INSERT INTO task_inputs (task, endpoint, body, prompt, metadata, cells)
            SELECT t.seq, r.value ->> 'endpoint', r.value ->> 'body', r.value ->> 'prompt',
                   r.value ->> 'metadata', r.value -> 'cells'
            FROM json_each(?) r CROSS JOIN tasks t ON t.id = r.value ->> 'id'`,
      args: [json],
    },
    ...(rows.some((row) => row.idempotencyKey !== null) ? [insertKeys(batch, json)] : []),
  ];
}

function insertKeys(batch: NewBatch, json: string): Statement {
  return {
    sql: `INSERT INTO idempotency_keys (api_key, key, fingerprint, task, created_at)
          SELECT ?, r.value ->> 'idempotencyKey', r.value ->> 'fingerprint', t.seq, ?
          FROM json_each(?) r CROSS JOIN tasks t ON t.id = r.value ->> 'id'
          WHERE r.value ->> 'idempotencyKey' IS NOT NULL`,
    args: [batch.apiKey, batch.now, json],
  };
}

/** Which of these idempotency keys were used before. */
export function findUsedKeys(apiKey: number, keys: string[]): Statement {
  return {
    sql: `SELECT k.key FROM json_each(?) r
          CROSS JOIN idempotency_keys k ON k.key = r.value AND k.api_key = ?`,
    args: [JSON.stringify(keys), apiKey],
  };
}

/** A bare batch of the draft's name that has not begun and nothing of which runs; takes the name. */
const BARE = `SELECT seq FROM batches b WHERE b.id = ? AND b.is_bare = 1 AND b.status = 'pending' AND b.running = 0`;

/**
 * Gives a draft of `rows` rows its name, taking in the tasks that a bare batch of that name holds:
 * `adopted` are those that the input describes anew, the others follow at the end. The result at
 * `PUBLISHED` has a row if that was done; otherwise nothing is.
 */
export function publishDraft(batch: NewBatch, rows: number, adopted: NewRow[]): Statement[] {
  const draft = "(SELECT seq FROM batches WHERE id = ?)";
  const key = idempotencyArgs(batch.idempotency);
  const json = JSON.stringify(adopted);
  const bare = `(${BARE} AND ${KEY_IS_UNUSED}
    AND (SELECT count(*) FROM json_each(?) r CROSS JOIN tasks t ON t.id = r.value ->> 'id'
         WHERE t.batch = b.seq) = ?)`;
  const bareArgs = [batch.id, ...key, json, adopted.length];
  return [
    {
      sql: `UPDATE task_inputs SET endpoint = a.endpoint, body = a.body, prompt = a.prompt,
              metadata = a.metadata, cells = a.cells
            FROM (SELECT t.seq, r.value ->> 'endpoint' AS endpoint, r.value ->> 'body' AS body,
                         r.value ->> 'prompt' AS prompt, r.value ->> 'metadata' AS metadata,
                         r.value -> 'cells' AS cells
                  FROM json_each(?) r CROSS JOIN tasks t ON t.id = r.value ->> 'id'
                  WHERE t.batch = ${bare}) a
            WHERE task_inputs.task = a.seq`,
      args: [json, ...bareArgs],
    },
    {
      sql: `UPDATE tasks SET status = 'pending', completed_at = NULL, updated_at = ?, position = -1 - a.position,
              model = a.model, priority = a.priority, max_retries = a.retries, timeout_ms = a.timeout
            FROM (SELECT t.seq, r.value ->> 'position' AS position, r.value ->> 'model' AS model,
                         r.value ->> 'priority' AS priority, r.value ->> 'maxRetries' AS retries,
                         r.value ->> 'timeoutMs' AS timeout
                  FROM json_each(?) r CROSS JOIN tasks t ON t.id = r.value ->> 'id'
                  WHERE t.batch = ${bare}) a
            WHERE tasks.seq = a.seq`,
      args: [batch.now, json, ...bareArgs],
    },
    {
      sql: `UPDATE tasks SET batch = ${draft},
              position = CASE WHEN position < 0 THEN -1 - position ELSE position + ? END
            WHERE batch = ${bare}`,
      args: [batch.draft, rows + adopted.length, ...bareArgs],
    },
    {
      // Its tasks have moved away, so that nothing but its name is left.
      sql: `DELETE FROM batches WHERE id = ? AND is_bare = 1
              AND NOT EXISTS (SELECT 1 FROM tasks WHERE batch = batches.seq) AND ${KEY_IS_UNUSED}`,
      args: [batch.id, ...key],
    },
    {
      sql: `UPDATE batches SET id = ?, status = 'pending',
              total = (SELECT count(*) FROM tasks t WHERE t.batch = batches.seq),
              completed = (SELECT count(*) FROM tasks t WHERE t.batch = batches.seq AND t.status = 'completed'),
              failed = (SELECT count(*) FROM tasks t WHERE t.batch = batches.seq AND t.status = 'failed'),
              cancelled = (SELECT count(*) FROM tasks t WHERE t.batch = batches.seq AND t.status = 'cancelled')
            WHERE id = ? AND NOT EXISTS (SELECT 1 FROM batches b WHERE b.id = ?) AND ${KEY_IS_UNUSED}
            RETURNING seq, total`,
      args: [batch.id, batch.draft, batch.id, ...key],
    },
    eventAfterChange({
      type: "batch.created",
      at: batch.now,
      task: null,
      batch: batch.id,
      data: { batchId: batch.id, status: "pending", taskCount: rows + adopted.length },
    }),
    ...(batch.idempotency
      ? [
          {
            sql: `INSERT INTO idempotency_keys (api_key, key, fingerprint, batch, created_at)
                  SELECT ?, ?, ?, seq, ? FROM batches WHERE id = ? AND changes() > 0`,
            args: [
              batch.idempotency.apiKey,
              batch.idempotency.key,
              batch.idempotency.fingerprint,
              batch.now,
              batch.id,
            ],
          },
        ]
      : []),
  ];
}

/** Position in the results of `publishDraft` of the row `{seq, total}`. */
export const PUBLISHED = 4;

/** Removes up to `limit` tasks of a draft, and the draft itself once it has none left. The result at `REMOVED` affects as many rows. */
export function removeFromDraft(draft: string, limit: number): Statement[] {
  const some = `SELECT seq FROM tasks
                WHERE batch = (SELECT seq FROM batches WHERE id = ? AND status = 'ingesting') LIMIT ?`;
  return [
    { sql: `DELETE FROM task_inputs WHERE task IN (${some})`, args: [draft, limit] },
    { sql: `DELETE FROM idempotency_keys WHERE task IN (${some})`, args: [draft, limit] },
    { sql: `DELETE FROM tasks WHERE seq IN (${some})`, args: [draft, limit] },
    {
      sql: `DELETE FROM batches WHERE id = ? AND status = 'ingesting'
              AND NOT EXISTS (SELECT 1 FROM tasks WHERE batch = batches.seq)`,
      args: [draft],
    },
  ];
}

export const REMOVED = 2;

/** The names of drafts: left by a crash, where whoever wrote them is gone. */
export const DRAFTS: Statement = {
  sql: `SELECT id FROM batches WHERE status = 'ingesting'`,
  args: [],
};

/** Which of these ids are taken, by a task in which batch. */
export function findTaken(ids: string[]): Statement {
  return {
    sql: `SELECT t.id, b.id AS batchId, b.is_bare AS isBare FROM json_each(?) r
          CROSS JOIN tasks t ON t.id = r.value CROSS JOIN batches b ON b.seq = t.batch`,
    args: [JSON.stringify(ids)],
  };
}
