import { createClient } from "@libsql/client";

const AT_ONCE = 100_000;

/** Stores a batch `million` of finished rows with requests and answers in a database that no process has open. */
export async function fillMillion(path: string, rows = 1_000_000): Promise<void> {
  const client = createClient({ url: `file:${path}`, concurrency: 1 });
  for (const pragma of ["journal_mode = OFF", "synchronous = OFF", "foreign_keys = OFF"])
    await client.execute(`PRAGMA ${pragma}`);
  await client.execute({
    sql: `INSERT INTO batches (id, name, status, config, created_at, updated_at, started_at, completed_at, total, completed)
          VALUES ('million', 'A million rows', 'completed', '{}', 1, 1, 1, 2, ?, ?)`,
    args: [rows, rows],
  });
  for (let from = 0; from < rows; from += AT_ONCE) {
    const numbers = `WITH RECURSIVE n(i) AS (SELECT ${from} UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ${Math.min(rows, from + AT_ONCE)})`;
    await client.execute(
      `${numbers} INSERT INTO tasks (id, batch, position, status, model, priority, run, attempts, created_at, updated_at, started_at, completed_at)
       SELECT printf('million-%07d', i), b.seq, i, 'completed', 'gpt-4o-mini', 2, 1, 1, 1700000000000 + i, 1700000000000 + i, 1700000000000 + i, 1700000001000 + i
       FROM n, batches b WHERE b.id = 'million'`,
    );
    const these = `FROM tasks t JOIN batches b ON b.seq = t.batch AND b.id = 'million' WHERE t.position >= ${from} AND t.position < ${from + AT_ONCE}`;
    await client.execute(
      `INSERT INTO task_inputs (task, endpoint, body)
       SELECT t.seq, '/v1/chat/completions', '{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Describe entry ' || t.position || '"}]}' ${these}`,
    );
    await client.execute(
      `INSERT INTO executions (task, run, status, is_dry_run, queued_at, started_at, claimed_at, completed_at, attempts, provider, model, request_id, prompt_tokens, completion_tokens, cost_usd, response)
       SELECT t.seq, 1, 'completed', 0, 1700000000000, 1700000000000, 1700000000000, 1700000001000, 1, 'openai', 'gpt-4o-mini', 'req', 12, 8, 0.000007,
         '{"id":"x","object":"chat.completion","model":"gpt-4o-mini","choices":[{"index":0,"message":{"role":"assistant","content":"Answer number ' || t.position || '"},"finish_reason":"stop"}],"usage":{"prompt_tokens":12,"completion_tokens":8,"total_tokens":20}}' ${these}`,
    );
  }
  await client.execute("PRAGMA journal_mode = WAL");
  client.close();
}
