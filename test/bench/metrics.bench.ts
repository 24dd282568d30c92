import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { createClient } from "@libsql/client";

import { median, printTable, quantile, type Row, round, startRunner } from "./support.ts";

const PATHS = [
  "/metrics",
  "/metrics/tasks?period=hour",
  "/metrics/tasks?period=day",
  "/metrics/tasks?period=month",
];
const REQUESTS = 200;
const TASKS_PER_BATCH = 50_000;
const MINUTE = 60_000;

/**
 * What asking for metrics costs with ten thousand and with millions of tasks stored (`METRICS_TASKS`
 * names other numbers), after a month of work at every minute. They read batches and rollups only,
 * so that tasks are stored without bodies and answers.
 */
export async function benchMetrics(): Promise<void> {
  const sizes = (process.env["METRICS_TASKS"] ?? "10000,1000000").split(",").map(Number);
  const rows: Row[] = [];
  for (const size of sizes) {
    const folder = mkdtempSync(join(tmpdir(), "bench-metrics-"));
    await (await startRunner({ DATA_DIR: folder })).stop();
    await fill(join(folder, "task-runner.db"), size);
    const runner = await startRunner({ DATA_DIR: folder });
    for (const path of PATHS) {
      const times: number[] = [];
      for (let i = 0; i < REQUESTS; i++) {
        const begun = performance.now();
        await runner.api("GET", path);
        times.push(performance.now() - begun);
      }
      const before = rows.find((row) => row["path"] === path);
      const p50 = round(median(times), 2);
      rows.push({
        "stored tasks": size,
        path,
        "p50 ms": p50,
        "p99 ms": round(quantile(times, 0.99), 2),
        "ratio to first": before ? round(p50 / Number(before["p50 ms"]), 2) : 1,
      });
    }
    await runner.stop();
    rmSync(folder, { recursive: true });
  }
  printTable("Metrics with history", rows);
}

async function fill(path: string, tasks: number): Promise<void> {
  const client = createClient({ url: `file:${path}`, concurrency: 1 });
  await client.execute("PRAGMA journal_mode = WAL");
  for (let from = 0; from < tasks; from += TASKS_PER_BATCH) {
    const count = Math.min(TASKS_PER_BATCH, tasks - from);
    await client.batch(
      [
        `INSERT INTO batches (id, name, status, config, created_at, updated_at, total, completed)
         VALUES ('b${from}', 'History', 'completed', '{}', 1, 1, ${count}, ${count})`,
        `WITH RECURSIVE n(i) AS (SELECT ${from} UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ${from + count})
         INSERT INTO tasks (id, batch, position, status, model, priority, run, attempts, created_at, updated_at, started_at, completed_at)
         SELECT 'history-' || i, b.seq, i, 'completed', 'gpt-4o-mini', 2, 1, 1, 1700000000000 + i, 1700000000000 + i, 1700000000000 + i, 1700000001000 + i
         FROM n, batches b WHERE b.id = 'b${from}'`,
      ],
      "write",
    );
  }
  // Two models, completed and failed, each minute of two days and each hour of a month.
  const minute = Math.floor(Date.now() / MINUTE) * MINUTE;
  for (const [span, count] of [
    [MINUTE, 2880],
    [60 * MINUTE, 720],
  ] as const)
    await client.execute(
      `WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ${count})
       INSERT INTO rollups (span, at, status, model, provider, api_key, tasks, duration_ms, b10, b15, b20)
       SELECT ${span}, ${Math.floor(minute / span) * span} - i * ${span}, s.value, m.value, 'openai', 1, ${tasks} / ${count}, 1000, 5, 5, 5
       FROM n, json_each('["completed", "failed"]') s, json_each('["gpt-4o", "gpt-4o-mini"]') m`,
    );
  client.close();
}
