import { createClient } from "@libsql/client";

const MINUTE = 60_000;
const MONTH = 30 * 24 * 60 * MINUTE;
const AT_ONCE = 500_000;
const TASKS_PER_BATCH = 1000;
/** The newest tasks have failed, so that lists of failures are equally long for any history. */
const NEWEST_FAILED = 600;

/**
 * Stores a history of finished tasks, spread over the last month, in a database that no process has open. Ten million
 * take a few minutes, because indexes are created after the rows and nothing is synced. Bodies and answers, which lists
 * and sums do not read, are left out.
 */
export async function fillHistory(path: string, tasks: number): Promise<void> {
  const client = createClient({ url: `file:${path}`, concurrency: 1 });
  for (const pragma of ["journal_mode = OFF", "synchronous = OFF", "foreign_keys = OFF"])
    await client.execute(`PRAGMA ${pragma}`);
  const { rows: indexes } = await client.execute(
    `SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL
     AND tbl_name IN ('tasks', 'batches', 'webhook_deliveries')`,
  );
  for (const { name } of indexes) await client.execute(`DROP INDEX ${String(name)}`);
  await fillTasks(client, tasks);
  await fillNewestBatch(client);
  await fillDeliveries(client, Math.floor(tasks / 10));
  for (const { sql } of indexes) await client.execute(String(sql));
  await fillRollups(client, tasks);
  await client.execute("PRAGMA journal_mode = WAL");
  client.close();
}

type Client = ReturnType<typeof createClient>;

/** SQL for a table `n(i)` of the numbers from `from`, or 0, to below `count`. */
const numbers = (count: number, from = 0) =>
  `WITH RECURSIVE n(i) AS (SELECT ${from} UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ${count})`;

async function fillTasks(client: Client, tasks: number): Promise<void> {
  const now = Date.now();
  const at = `${now - MONTH} + CAST(${MONTH - MINUTE} * (i / ${tasks}.0) AS INTEGER)`;
  const batches = Math.ceil(tasks / TASKS_PER_BATCH);
  const hasFailed = `(i % 100 = 0 OR i >= ${tasks - NEWEST_FAILED})`;
  const { rows } = await client.execute("SELECT max(seq) AS seq FROM batches");
  const first = Number(rows[0]?.["seq"] ?? 0) + 1;
  for (let from = 0; from < tasks; from += AT_ONCE) {
    const to = Math.min(tasks, from + AT_ONCE);
    await client.execute(
      `${numbers(to, from)}
       INSERT INTO tasks (id, batch, position, status, model, priority, api_key, run, attempts, created_at,
         updated_at, started_at, completed_at)
       SELECT printf('history-%08d', i), ${first} + i / ${TASKS_PER_BATCH}, i % ${TASKS_PER_BATCH},
         iif(${hasFailed}, 'failed', 'completed'), 'gpt-4o-mini', 2, 1, 1, 1, ${at}, ${at} + 2000, ${at} + 1000,
         ${at} + 2000
       FROM n`,
    );
  }
  await client.execute(
    `INSERT INTO executions (task, run, status, is_dry_run, queued_at, completed_at, attempts, error)
     SELECT seq, run, status, 0, created_at, completed_at, 1,
       '{"code":"PROVIDER_TIMEOUT","message":"No answer"}'
     FROM tasks WHERE status = 'failed'`,
  );
  await client.execute(
    `${numbers(batches)}
     INSERT INTO batches (seq, id, name, status, api_key, config, created_at, updated_at, started_at,
       completed_at, total, completed, failed, prompt_tokens, completion_tokens, cost_usd)
     SELECT ${first} + i, printf('batch-%08d', i), printf('History %d', i), 'completed', 1,
       '{"model":"gpt-4o-mini","temperature":0.2}', t.at, t.at + 60000, t.at, t.at + 60000,
       ${TASKS_PER_BATCH}, ${TASKS_PER_BATCH - 10}, 10, 10000, 5000, 0.5
     FROM n JOIN (SELECT batch, min(created_at) AS at FROM tasks GROUP BY batch) t ON t.batch = ${first} + i`,
  );
}

/** A last batch with bodies, whose tasks are read one by one. */
async function fillNewestBatch(client: Client): Promise<void> {
  const now = Date.now();
  await client.batch(
    [
      `INSERT INTO batches (id, name, status, api_key, config, created_at, updated_at, started_at,
         completed_at, total, completed)
       VALUES ('newest', 'Newest', 'completed', 1, '{}', ${now}, ${now}, ${now}, ${now}, 1000, 1000)`,
      `${numbers(1000)}
       INSERT INTO tasks (id, batch, position, status, model, priority, api_key, run, attempts, created_at,
         updated_at, started_at, completed_at)
       SELECT printf('newest-%04d', i), b.seq, i, 'completed', 'gpt-4o-mini', 2, 1, 1, 1, ${now}, ${now},
         ${now}, ${now}
       FROM n, batches b WHERE b.id = 'newest'`,
      `INSERT INTO task_inputs (task, endpoint, body)
       SELECT t.seq, '/v1/chat/completions', '{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hello"}]}'
       FROM tasks t JOIN batches b ON b.seq = t.batch WHERE b.id = 'newest'`,
    ],
    "write",
  );
}

async function fillDeliveries(client: Client, deliveries: number): Promise<void> {
  const now = Date.now();
  await client.execute(
    `INSERT INTO webhooks (id, url, events, secret, is_active, cursor, created_at, updated_at)
     VALUES ('wh-history', 'https://example.com/hook', '["task.completed"]', '', 0, ${deliveries}, ${now}, ${now})`,
  );
  for (let from = 0; from < deliveries; from += AT_ONCE)
    await client.execute(
      `${numbers(Math.min(deliveries, from + AT_ONCE), from)}
       INSERT INTO webhook_deliveries (webhook, event, type, task, body, at, status, attempts, completed_at)
       SELECT (SELECT seq FROM webhooks WHERE id = 'wh-history'), i + 1, 'task.completed',
         printf('history-%08d', i), '{"type":"task.completed","data":{}}', ${now} - 1000, 'delivered', 1, ${now}
       FROM n`,
    );
}

/** Rollups of two models, completed and failed, for each minute of two days and each hour of a month. */
async function fillRollups(client: Client, tasks: number): Promise<void> {
  const minute = Math.floor(Date.now() / MINUTE) * MINUTE;
  for (const [span, count] of [
    [MINUTE, 2880],
    [60 * MINUTE, 720],
  ] as const)
    await client.execute(
      `${numbers(count)}
       INSERT INTO rollups (span, at, status, model, provider, api_key, tasks, duration_ms, b10, b15, b20)
       SELECT ${span}, ${Math.floor(minute / span) * span} - i * ${span}, s.value, m.value, 'openai', 1,
         ${tasks} / ${count}, 1000, 5, 5, 5
       FROM n, json_each('["completed", "failed"]') s, json_each('["gpt-4o", "gpt-4o-mini"]') m`,
    );
}
