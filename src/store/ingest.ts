import { DATABASE_NOW } from "../db/now.ts";
import type { Statement } from "../db/unit.ts";
import { SINGLE_TASKS } from "../domain/batch.ts";
import type { ChainStatus } from "../domain/chain.ts";
import type { InputFound } from "../domain/input-found.ts";
import type { OpenAiTerms } from "../domain/openai-batch.ts";
import type { TaskStatus } from "../domain/task.ts";
import { insertEvent } from "./events.ts";
import { laneOfTask } from "./flex.ts";
import { type Idempotency, idempotencyArgs, KEY_IS_UNUSED } from "./idempotency.ts";
import { forEachMark } from "./marks.ts";
import { addCreated } from "./rollups.ts";
import { laneOfSingle } from "./room.ts";
import { overValues } from "./values.ts";
import { ALWAYS, both, hasRow, type Which } from "./which.ts";

/*
 * A batch is written as a draft: under a name that no client can use (`~…`) and with the status `ingesting`, which no
 * answer shows. Its last unit gives it its own name. Until then it does not exist for clients, and what a crash
 * leaves of it is removed at the next start.
 */

export type NewBatch = {
  /** Its name while it is being written. */
  draft: string;
  id: string;
  name: string;
  description: string | null;
  apiKey: number;
  /** The node that writes it; 0 for none. */
  owner: number;
  inputFile: string | null;
  inputBatch: string | null;
  /** `waiting`: it has no rows yet. A draft that replaces such a batch becomes `made`. */
  chainStatus: ChainStatus | null;
  outputFile: string | null;
  columns: string[] | null;
  input: InputFound | null;
  /** The batch whose answers it reuses. */
  baseBatch: string | null;
  config: object;
  metadata: object | null;
  maxConcurrency: number | null;
  maxCostUsd: number | null;
  idempotency: Idempotency | null;
  /** Trace context of the request that creates it. */
  trace: string | null;
  /** Set if it was created through OpenAI's Batch API, which starts it by itself. */
  openAi: OpenAiTerms | null;
  deadlineAt: number | null;
  payer: number | null;
  now: number;
  /** The steady clock that waits are measured by; it does not jump. */
  steadyNow: number;
};

export type NewRow = {
  id: string;
  position: number;
  model: string;
  priority: number;
  maxRetries: number | null;
  timeoutMs: number | null;
  flexMinutes: number | null;
  maxRepairs: number | null;
  escalateTo: string | null;
  endpoint: string;
  body: string;
  cacheKey: string | null;
  /** The execution whose answer it reuses. */
  baseTask: number | null;
  baseRun: number | null;
  prompt: string | null;
  metadata: string | null;
  /** The stored row of the file: a JSON array of a CSV's cells, or an unchanged JSONL line. */
  cells: string | null;
  idempotencyKey: string | null;
  fingerprint: string | null;
  /** It ends at once, as cancelled. */
  isSkipped: boolean;
};

export function openDraft(batch: NewBatch): Statement {
  return {
    sql: `INSERT INTO batches (id, name, description, status, api_key, input_file, input_batch, chain_status, output_file, columns,
            input, base_batch, config, metadata, max_concurrency, max_cost_usd,
            open_ai, deadline_at, payer, created_at, draft_owner, updated_at)
          VALUES (?, ?, ?, 'ingesting', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ${DATABASE_NOW})`,
    args: [
      batch.draft,
      batch.name,
      batch.description,
      batch.apiKey,
      batch.inputFile,
      batch.inputBatch,
      batch.chainStatus,
      batch.outputFile,
      batch.columns && JSON.stringify(batch.columns),
      batch.input && JSON.stringify(batch.input),
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

/** Writes rows into a draft. Fails as a whole if one of the ids is taken. */
export function insertRows(
  batch: NewBatch,
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
      { before: [batch.now, batch.apiKey, batch.now, batch.now], after: [batch.draft] },
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
      {},
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

/** Which of these idempotency keys were used before. */
export function findUsedKeys(apiKey: number, keys: string[]): Statement<{ key: string }> {
  return {
    sql: `SELECT k.key FROM json_each(?) r
          CROSS JOIN idempotency_keys k ON k.key = r.value AND k.api_key = ?`,
    args: [JSON.stringify(keys), apiKey],
  };
}

/**
 * How many rows of a batch were written, in total and by model; how many reuse an answer; and the rows that adopt
 * existing tasks instead.
 */
export type WrittenRows = {
  written: number;
  models: ReadonlyMap<string, number>;
  reused: number;
  adopted: NewRow[];
};

export type PublishUnit = {
  takenOver: Statement[];
  key: Statement | undefined;
  event: Statement;
  created: Statement;
  published: Statement<{ total: number; reused: number }>;
};

/**
 * Gives a draft of `rows` rows its name, and takes over the tasks of a bare batch with that name: `adopted` are those
 * that the input describes again, the others follow at the end. If that is impossible, or `when` does not hold,
 * nothing is changed; otherwise `published` has a row with the number of the batch's tasks. `takenOver` replaces the
 * statements that free the name, if there is no bare batch to take over.
 */
export function publishDraft(
  batch: NewBatch,
  rowsOfDraft: WrittenRows,
  when: Which = ALWAYS,
  takenOver = takeOver(batch, rowsOfDraft, when),
): PublishUnit {
  const { written: rows, models, adopted, reused } = rowsOfDraft;
  const { now, trace, idempotency } = batch;
  const isFree = {
    // No other node has begun to remove it because this one was silent.
    where: `id = ? AND draft_owner = ? AND NOT EXISTS (SELECT 1 FROM batches b WHERE b.id = ?)
      AND NOT EXISTS (SELECT 1 FROM idempotency_keys k
                      WHERE k.api_key = ? AND k.key = ? AND k.batch IS NOT batches.seq)`,
    args: [batch.draft, batch.owner, batch.id, ...idempotencyArgs(idempotency)],
  };
  const which = both(isFree, when);
  const data = { total: rows + adopted.length };
  const can = hasRow("batches", which);
  return {
    takenOver,
    key: idempotency ? keepKey(idempotency, which, now) : undefined,
    event: insertEvent(
      { type: "batch.created", at: now, task: null, batch: batch.id, data, trace },
      can,
    ),
    created: addCreated(models, batch.apiKey, now, can),
    published: {
      sql: `UPDATE batches SET id = ?, status = 'pending', total = ${countOf("")},
              completed = ${countOf("completed")}, failed = ${countOf("failed")},
              cancelled = ${countOf("cancelled")}, skipped = (SELECT count(*) FROM tasks t
                WHERE t.batch = batches.seq AND t.is_skipped AND t.status = 'cancelled'), updated_at = ?,
              reused = ?
              ${forEachMark(
                ({ counter, mark }) => `${counter} = (SELECT count(*) FROM tasks t
                  WHERE t.batch = batches.seq AND t.status = 'completed' AND t.${mark})`,
              )}
            WHERE ${which.where} RETURNING total, reused`,
      args: [batch.id, now, reused, ...which.args],
    },
  };
}

function countOf(status: "" | TaskStatus): string {
  const which = status === "" ? "" : ` AND t.status = '${status}'`;
  return `(SELECT count(*) FROM tasks t WHERE t.batch = batches.seq${which})`;
}

/** Moves the tasks of a bare batch into the draft and removes it, if it may be filled in. */
function takeOver(
  batch: NewBatch,
  { written: rows, adopted }: WrittenRows,
  when: Which,
): Statement[] {
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
  const describeAnew: Statement[] = [
    {
      // Without MATERIALIZED SQLite reads every task of the database and looks each up in the array. A negative
      // position marks, for a later statement, a task that has its position already. An answer to the same request is
      // kept; otherwise the task counts as one whose request has changed.
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
    {
      // Runs that were queued by themselves and have not begun.
      sql: `DELETE FROM queue WHERE task IN (
              SELECT seq FROM tasks WHERE batch = ${bare} AND is_skipped AND status = 'cancelled')`,
      args: bareArgs,
    },
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
      // The cost of the answers moves with them.
      sql: `UPDATE batches SET prompt_tokens = b.prompt_tokens, completion_tokens = b.completion_tokens,
              cached_tokens = b.cached_tokens, reasoning_tokens = b.reasoning_tokens,
              cost_usd = b.cost_usd, unpriced = b.unpriced, dearest_usd = b.dearest_usd
            FROM batches b WHERE batches.id = ? AND b.seq = ${bare}`,
      args: [batch.draft, ...bareArgs],
    },
    {
      // Queued tasks are under the cap of the new batch from now on.
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
      // Its tasks have moved, so only its name is left.
      sql: `DELETE FROM batches WHERE id = ? AND is_bare = 1
              AND NOT EXISTS (SELECT 1 FROM tasks WHERE batch = batches.seq) AND ${KEY_IS_UNUSED}
              AND ${when.where}`,
      args: [batch.id, ...key, ...when.args],
    },
  ];
}

function keepKey(idempotency: Idempotency, which: Which, now: number): Statement {
  return {
    sql: `INSERT INTO idempotency_keys (api_key, key, fingerprint, batch, created_at)
          SELECT ?, ?, ?, seq, ? FROM batches WHERE ${which.where}`,
    args: [idempotency.apiKey, idempotency.key, idempotency.fingerprint, now, ...which.args],
  };
}

export type RemoveUnit = {
  touched: Statement;
  inputs: Statement;
  keys: Statement;
  tasks: Statement;
  draft: Statement;
};

/**
 * Removes up to `limit` tasks of a draft, and the draft itself once it has none left. From the first call on, the
 * draft belongs to the node that removes it, so a process that still writes it cannot publish it.
 */
export function removeFromDraft(draft: string, limit: number, node: number): RemoveUnit {
  const some = `SELECT seq FROM tasks
                WHERE batch = (SELECT seq FROM batches WHERE id = ? AND status = 'ingesting') LIMIT ?`;
  const of = (table: string, column: string): Statement => ({
    sql: `DELETE FROM ${table} WHERE ${column} IN (${some})`,
    args: [draft, limit],
  });
  return {
    touched: touchDraft(draft, -node),
    inputs: of("task_inputs", "task"),
    keys: of("idempotency_keys", "task"),
    tasks: of("tasks", "seq"),
    draft: {
      sql: `DELETE FROM batches WHERE id = ? AND status = 'ingesting'
              AND NOT EXISTS (SELECT 1 FROM tasks WHERE batch = batches.seq)`,
      args: [draft],
    },
  };
}

/** True of a row `b` of a draft. */
const IS_FORSAKEN = "b.draft_owner <> 0 AND abs(b.draft_owner) NOT IN (SELECT seq FROM nodes)";

/**
 * The names of drafts of dead nodes, and of those that were not changed for `silentMs`, by the database's clock:
 * their writer has failed, and could not remove them.
 */
export function findLeftDrafts(silentMs: number): Statement<{ id: string }> {
  return {
    sql: `SELECT id FROM batches b WHERE status = 'ingesting'
            AND (${IS_FORSAKEN} OR updated_at < ${DATABASE_NOW} - ?)`,
    args: [silentMs],
  };
}

/** Records that a draft is being worked on; with `owner`, changes its owner. */
function touchDraft(draft: string, owner: number | null = null): Statement {
  return {
    sql: `UPDATE batches SET updated_at = ${DATABASE_NOW}, draft_owner = coalesce(?, draft_owner)
          WHERE id = ? AND status = 'ingesting'`,
    args: [owner, draft],
  };
}

/** The names of all drafts. On a local file those that this process is not writing are left from a crash. */
export const DRAFTS: Statement<{ id: string }> = {
  sql: `SELECT id FROM batches WHERE status = 'ingesting'`,
  args: [],
};

/** `isLeft`: the batch is a draft of a dead node, or is being removed. */
export type Taken = { id: string; batchId: string; isBare: number; isLeft: number | null };

/** The ids among these that are taken, with the batch of the task. */
export function findTaken(ids: string[]): Statement<Taken> {
  return {
    sql: `SELECT t.id, b.id AS batchId, b.is_bare AS isBare,
            b.status = 'ingesting' AND (b.draft_owner < 0 OR ${IS_FORSAKEN}) AS isLeft
          FROM json_each(?) r
          CROSS JOIN tasks t ON t.id = r.value CROSS JOIN batches b ON b.seq = t.batch`,
    args: [JSON.stringify(ids)],
  };
}

/** The names of drafts that begin with `~` and a prefix of letters, digits and `-`. */
export function findDrafts(prefix: string): Statement<{ id: string }> {
  return {
    sql: `SELECT id FROM batches WHERE id > ? AND id < ? AND status = 'ingesting'`,
    args: [`~${prefix}`, `~${prefix}~`],
  };
}
