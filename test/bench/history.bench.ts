import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { createClient } from "@libsql/client";

import { executeLatencies } from "./latency.bench.ts";
import {
  median,
  printTable,
  quantile,
  round,
  startRunner,
  startScript,
  untilFinished,
} from "./support.ts";

/** Whether the time to start, to claim and to run a batch stays the same as the history grows. */
export async function benchHistory(): Promise<void> {
  const provider = await startScript("provider.ts", { ARRIVALS: "1" });
  const rows = [];
  for (const history of [0, 10_000, 1_000_000]) {
    const folder = mkdtempSync(join(tmpdir(), "bench-history-"));
    const env = {
      DATA_DIR: folder,
      OPENAI_BASE_URL: provider.url,
      OPENAI_API_KEY: "x",
      MAX_CONCURRENCY: "1024",
    };
    await (await startRunner(env)).stop();
    await fillHistory(join(folder, "task-runner.db"), history);
    const ready: number[] = [];
    for (let i = 0; i < 5; i++) {
      const once = await startRunner(env);
      ready.push(once.readyMs);
      await once.stop();
    }
    const runner = await startRunner(env);
    const latencies = await executeLatencies(runner, provider.url);
    const rates: number[] = [];
    for (let i = 0; i < 4; i++) {
      const tasks = Array.from({ length: 10_000 }, (_, n) => ({ prompt: `p${n}` }));
      const begun = Date.now();
      await runner.api("POST", "/batches", { id: `b${i}`, tasks });
      await runner.api("POST", `/batches/b${i}/execute`);
      const { completedAt } = await untilFinished(runner, `b${i}`);
      if (i > 0) rates.push((10_000 / (Date.parse(completedAt) - begun)) * 1000);
    }
    await runner.stop();
    rmSync(folder, { recursive: true });
    rows.push({
      "stored tasks": history,
      "ready after ms": round(median(ready)),
      "execute to request p50 ms": round(quantile(latencies, 0.5), 2),
      "p99 ms": round(quantile(latencies, 0.99), 2),
      "tasks/s": round(median(rates)),
    });
  }
  await provider.stop();
  printTable("With history", rows);
}

/** Writes finished tasks with their inputs and executions, as if they had run. */
async function fillHistory(path: string, count: number): Promise<void> {
  if (count === 0) return;
  const client = createClient({ url: `file:${path}`, concurrency: 1 });
  await client.execute("PRAGMA journal_mode = WAL");
  await client.execute({
    sql: `INSERT INTO batches (id, name, status, config, created_at, updated_at, total, completed)
          VALUES ('history', 'History', 'completed', '{}', 1, 1, ?, ?)`,
    args: [count, count],
  });
  for (let from = 0; from < count; from += 50_000) {
    const numbers = `WITH RECURSIVE n(i) AS (SELECT ${from} UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ${Math.min(count, from + 50_000)})`;
    await client.batch(
      [
        `${numbers} INSERT INTO tasks (id, batch, position, status, model, priority, run, attempts, created_at, updated_at, started_at, completed_at)
         SELECT 'history-' || i, b.seq, i, 'completed', 'gpt-4o-mini', 2, 1, 1, 1700000000000 + i, 1700000000000 + i, 1700000000000 + i, 1700000001000 + i
         FROM n, batches b WHERE b.id = 'history'`,
        `${numbers} INSERT INTO task_inputs (task, endpoint, body)
         SELECT t.seq, '/v1/chat/completions', '{"model":"gpt-4o-mini","messages":[{"role":"user","content":"' || i || '"}]}'
         FROM n JOIN tasks t ON t.id = 'history-' || i`,
        `${numbers} INSERT INTO executions (task, run, status, is_dry_run, queued_at, started_at, claimed_at, completed_at, attempts, provider, model, request_id, prompt_tokens, completion_tokens, cost_usd, response)
         SELECT t.seq, 1, 'completed', 0, 1700000000000, 1700000000000, 1700000000000, 1700000001000, 1, 'openai', 'gpt-4o-mini', 'req', 12, 8, 0.000007,
           '{"id":"x","object":"chat.completion","model":"gpt-4o-mini","choices":[{"index":0,"message":{"role":"assistant","content":"Answer number ' || i || '"},"finish_reason":"stop"}],"usage":{"prompt_tokens":12,"completion_tokens":8,"total_tokens":20}}'
         FROM n JOIN tasks t ON t.id = 'history-' || i`,
        `${numbers} INSERT INTO events (at, type, task, batch, task_seq, run)
         SELECT 1700000001000, 'task.completed', 'history-' || i, 'history', t.seq, 1 FROM n JOIN tasks t ON t.id = 'history-' || i`,
      ],
      "write",
    );
  }
  client.close();
}
