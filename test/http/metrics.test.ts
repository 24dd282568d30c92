import { describe, expect, test } from "bun:test";

import type { Reads } from "../../src/db/reads.ts";
import { rowsOf } from "../../src/db/unit.ts";
import { bucketOf, BUCKET_BOUNDS_MS, quantileOf } from "../../src/domain/latency.ts";
import { createSystemClock } from "../../src/lib/clock.ts";
import { readStock } from "../../src/store/stock.ts";
import { cancelTask } from "../../src/store/task-moves.ts";
import { fail, gate, startProvider } from "../support/provider.ts";
import { type Json, startServer, type TestServer, until } from "../support/server.ts";

/** The rollups of each period, beside the sums of the executions themselves. */
async function books(app: TestServer): Promise<Json> {
  const buckets = BUCKET_BOUNDS_MS.map((_, i) => `sum(b${i}) AS b${i}`).join();
  const sums = `sum(tasks) AS tasks, sum(duration_ms) AS duration, sum(attempts) AS attempts, sum(prompt_tokens) AS prompt`;
  const rolled = await app.ctx.client.execute(
    `SELECT span, status, ${sums}, ${buckets} FROM rollups WHERE status IN ('completed', 'failed') GROUP BY 1, 2 ORDER BY 1, 2`,
  );
  const took = "completed_at - started_at";
  const counted = await app.ctx.client.execute(
    `SELECT spans.value AS span, status, count(*) AS tasks, sum(${took}) AS duration, sum(attempts) AS attempts,
       sum(coalesce(prompt_tokens, 0)) AS prompt,
       ${BUCKET_BOUNDS_MS.map((to, i) => `sum(${took} <= ${to} AND ${took} > ${BUCKET_BOUNDS_MS[i - 1] ?? -1}) AS b${i}`).join()}
     FROM executions, json_each('[60000, 3600000]') spans WHERE status IN ('completed', 'failed') GROUP BY 1, 2 ORDER BY 1, 2`,
  );
  return { rolled: rowsOf<Json>(rolled), counted: rowsOf<Json>(counted) };
}

describe("metrics", () => {
  test("of an empty system are complete", async () => {
    await using app = await startServer();
    const { body } = await app.get("/metrics");
    expect(body.data).toEqual({
      tasks: { total: 0, completed: 0, failed: 0, pending: 0, running: 0, cancelled: 0 },
      performance: { averageExecutionTime: 0, successRate: 1, throughput: 0 },
      queue: { depth: 0, oldestAge: 0 },
      system: {
        cpuUsage: expect.any(Number),
        memoryUsage: expect.any(Number),
        activeConnections: 1,
        eventLoopLag: expect.any(Number),
      },
    });
    expect(body.data.system.memoryUsage).toBeWithin(0.0001, 1);
    const { data } = (await app.get("/metrics/tasks?period=hour")).body;
    expect(data.series).toHaveLength(60);
    expect(data.latency).toEqual({ p50: null, p95: null, p99: null });
    expect(Date.parse(data.series.at(-1).time)).toBe(Math.floor(Date.now() / 60_000) * 60_000);
  });

  test("count created, completed, failed, retried and cancelled tasks by model, provider and key", async () => {
    await using provider = await startProvider(({ prompt, earlier }, response) => {
      if (prompt === "bad") return fail(response, 400);
      if (prompt === "again" && earlier === 0) return fail(response, 500);
      return undefined;
    });
    await using app = await startServer(provider.env);
    const tasks = ["a", "b", "c", "bad", "again"].map((prompt) => ({ prompt, model: "gpt-4o" }));
    await app.post("/batches", { id: "b", tasks });
    await app.post("/batches/b/execute");
    await app.finished("b");
    await app.post("/tasks?execute=true", { id: "one", prompt: "x", model: "gpt-4o-mini" });
    await app.ended("one");
    await app.post("/tasks", { id: "two", prompt: "x", model: "gpt-4o-mini" });
    await app.post("/tasks/two/cancel");
    await app.post("/batches", { id: "c", tasks: [{ prompt: "y", model: "gpt-4o" }] });
    await app.post("/batches/c/cancel");
    await app.finished("c");

    expect((await app.get("/metrics")).body.data).toMatchObject({
      tasks: { total: 8, completed: 5, failed: 1, pending: 0, running: 0, cancelled: 2 },
      performance: { successRate: 0.8333, throughput: 1 },
      queue: { depth: 0, oldestAge: 0 },
    });
    const { data } = (await app.get("/metrics/tasks?period=hour")).body;
    expect(data.totals).toMatchObject({
      created: 8,
      completed: 5,
      failed: 1,
      cancelled: 2,
      retries: 1,
      tokens: { prompt: 50, completion: 25, total: 75 },
    });
    expect(data.latency.p99).toBeGreaterThan(0);
    expect(data.costUsd).toBeGreaterThan(0);
    expect(data.byModel).toMatchObject([
      { model: "gpt-4o", created: 6, completed: 4, failed: 1, cancelled: 1 },
      { model: "gpt-4o-mini", created: 2, completed: 1, failed: 0, cancelled: 1 },
    ]);
    expect(data.byProvider).toMatchObject([{ provider: "openai", completed: 5, failed: 1 }]);
    expect(data.byKey).toMatchObject([{ keyId: expect.stringMatching(/^key-/), created: 8 }]);
    for (const period of ["hour", "day", "week", "month"]) {
      const { series, totals } = (await app.get(`/metrics/tasks?period=${period}`)).body.data;
      const sum = series.reduce((n: number, point: Json) => n + point.completed, 0);
      expect([sum, totals.completed]).toEqual([5, 5]);
    }
    const { rolled, counted } = await books(app);
    expect(rolled).toEqual(counted);
  });

  test("can be filtered by status and model", async () => {
    await using app = await startServer();
    await app.post("/tasks?execute=true", { id: "t", prompt: "x", model: "gpt-4o" });
    await app.ended("t");
    const totals = async (query: string) =>
      (await app.get(`/metrics/tasks?${query}`)).body.data.totals;
    expect(await totals("model=gpt-4o")).toMatchObject({ created: 1, completed: 1 });
    expect(await totals("model=gpt-4")).toMatchObject({ created: 0, completed: 0 });
    expect(await totals("status=completed")).toMatchObject({ created: 0, completed: 1 });
    expect(await totals("status=running")).toMatchObject({ created: 0, completed: 0 });
    expect((await app.get("/metrics/tasks?period=year")).body.error.code).toBe("VALIDATION_ERROR");
  });

  test("ignore an answer that came too late, but count the others of its commit", async () => {
    const { opened, open } = gate();
    await using provider = await startProvider(async () => {
      await opened;
      return undefined;
    });
    await using app = await startServer(provider.env);
    const tasks = Array.from({ length: 6 }, (_, i) => ({ id: `t${i}`, prompt: `p${i}` }));
    await app.post("/batches", { id: "b", tasks });
    await app.post("/batches/b/execute");
    await until(() => provider.requests.length === 6 || undefined);
    // As another node does it: this node's engine gets no signal and reports the answer.
    await app.ctx.writer.write(cancelTask("t3", null, Date.now()));
    open();
    expect((await app.finished("b")).progress).toMatchObject({ completed: 5, cancelled: 1 });
    const { data } = (await app.get("/metrics/tasks")).body;
    expect(data.totals).toMatchObject({ completed: 5, cancelled: 1, failed: 0 });
    const { rolled, counted } = await books(app);
    expect(rolled).toEqual(counted);
  });
});

describe("percentiles from buckets", () => {
  test("are close, at any scale", () => {
    for (const median of [3, 40, 777, 12_345]) {
      const counts: number[] = Array.from({ length: BUCKET_BOUNDS_MS.length + 1 }, () => 0);
      for (let i = 0; i < 1001; i++) {
        const bucket = bucketOf((median * (i + 1)) / 501);
        counts[bucket] = (counts[bucket] ?? 0) + 1;
      }
      expect(quantileOf(counts, 0.5)).toBeWithin(median * 0.7, median * 1.3);
      expect(quantileOf(counts, 0.99)).toBeWithin(median * 2 * 0.7, median * 2 * 1.3);
    }
  });

  test("put a duration into the first bucket whose bound is not below it", () => {
    expect([0, 1, 1.01, 750_000, 750_001].map(bucketOf)).toEqual([0, 0, 1, 35, 36]);
  });
});

test.each([
  [2000, 2],
  [40_000, 1],
])(
  "the sums over %i batches are read %i times by two who ask at once",
  async (batches, expected) => {
    let reads = 0;
    const client = {
      execute: async () => {
        reads++;
        return { columns: ["batches", "total"], rows: [[batches, reads]] };
      },
    };
    const ctx = { reads: { client } as unknown as Reads, clock: createSystemClock() };
    await readStock(ctx);
    await readStock(ctx);
    expect(reads).toBe(expected);
    // The retention period has ended.
    await until(async () => (await readStock(ctx)).total > expected || undefined);
  },
);
