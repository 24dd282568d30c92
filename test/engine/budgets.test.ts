import { describe, expect, test } from "bun:test";

import { gate, startProvider } from "../support/provider.ts";
import { client, type Json, startServer, until } from "../support/server.ts";

const many = (count: number, fields: object = {}) =>
  Array.from({ length: count }, (_, i) => ({ prompt: `p${i}`, ...fields }));

/** What an answer of the test's provider costs: 10 tokens in, 5 out, at 30 and 60 USD a million. */
const COST = 0.0006;

type App = Awaited<ReturnType<typeof startServer>>;

const paused = (app: App, id: string) =>
  until<Json>(async () => {
    const { data } = (await app.get(`/batches/${id}`)).body;
    return data.status === "paused" && data.progress.running === 0 ? data : undefined;
  });

describe("maxCostUsd", () => {
  test("pauses the batch when it is reached, with hardly a call too many, and the batch continues when it is raised", async () => {
    await using provider = await startProvider();
    await using app = await startServer({ ...provider.env, MAX_CONCURRENCY: "16" });
    const config = { model: "gpt-4", maxCostUsd: COST * 20 };
    await app.post("/batches", { id: "b", tasks: many(60), config });
    await app.post("/batches/b/execute");
    const batch = await paused(app, "b");
    expect(batch).toMatchObject({
      pauseReason: { code: "max_cost_reached" },
      waiting: { reason: "max_cost_reached" },
    });
    expect(batch.costUsd).toBeCloseTo(COST * batch.progress.completed, 6);
    expect(batch.progress.completed).toBeGreaterThanOrEqual(20);
    expect(batch.progress.completed).toBeLessThanOrEqual(21);
    expect(provider.requests).toHaveLength(batch.progress.completed);

    const refused = await app.post("/batches/b/resume");
    expect([refused.status, refused.body.error.code]).toEqual([429, "QUOTA_EXCEEDED"]);
    expect((await app.patch("/batches/b", { maxCostUsd: 1 })).body.data.config.maxCostUsd).toBe(1);
    await app.post("/batches/b/resume");
    expect(await app.finished("b")).toMatchObject({ progress: { completed: 60 } });
    expect(await app.differences()).toEqual([]);
  });

  test("cannot be enforced without a known price, and the batch says so", async () => {
    await using provider = await startProvider();
    await using app = await startServer(provider.env);
    await app.post("/batches", {
      id: "b",
      tasks: many(20),
      config: { model: "priceless", maxCostUsd: 1 },
    });
    await app.post("/batches/b/execute");
    const batch = await paused(app, "b");
    expect(batch).toMatchObject({ pauseReason: { code: "price_unknown" }, costUsd: 0 });
    expect(provider.requests).toEqual([]);
    await app.patch("/batches/b", { maxCostUsd: null });
    await app.post("/batches/b/resume");
    expect(await app.finished("b")).toMatchObject({ progress: { completed: 20 } });
  });

  test("does not concern dry runs, and zero or less is refused", async () => {
    await using app = await startServer();
    await app.post("/batches", {
      id: "b",
      tasks: many(5),
      config: { model: "gpt-4", maxCostUsd: 1e-9 },
    });
    await app.post("/batches/b/execute", { isDryRun: true });
    expect(await app.finished("b")).toMatchObject({ progress: { completed: 5 } });
    for (const maxCostUsd of [0, -1])
      expect((await app.post("/batches", { tasks: many(1), config: { maxCostUsd } })).status).toBe(
        400,
      );
  });
});

test("a key that has spent its monthlyBudgetUsd gets no new work, and its batches pause", async () => {
  await using provider = await startProvider();
  await using app = await startServer({ ...provider.env, MAX_CONCURRENCY: "4" });
  const created = await app.post("/api-keys", {
    name: "poor",
    scopes: ["read", "write"],
    monthlyBudgetUsd: COST * 10,
  });
  const poor = client(app.url, created.body.data.key);
  await poor.post("/batches", { id: "b", tasks: many(40), config: { model: "gpt-4" } });
  await poor.post("/batches/b/execute");
  const batch = await paused(app, "b");
  expect(batch.pauseReason.code).toBe("budget_exceeded");
  expect(batch.progress.completed).toBeGreaterThanOrEqual(10);
  expect(batch.progress.completed).toBeLessThanOrEqual(13);
  for (const answer of [
    await poor.post("/tasks?execute=true", { prompt: "x" }),
    await poor.post("/batches", { tasks: many(1) }),
  ]) {
    expect([answer.status, answer.body.error.code]).toEqual([429, "QUOTA_EXCEEDED"]);
    expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(0);
  }
  expect((await app.post("/tasks", { prompt: "x" })).status).toBe(201);
  const { rows } = await app.ctx.client.execute("SELECT code, subject FROM alerts");
  expect(rows[0]).toMatchObject({ code: "budget.exceeded", subject: created.body.data.id });
});

test("single tasks of a key that has spent its budget wait for a larger one, and are not lost", async () => {
  await using provider = await startProvider();
  await using app = await startServer({ ...provider.env, MAX_CONCURRENCY: "4" });
  const created = await app.post("/api-keys", { name: "poor", monthlyBudgetUsd: COST * 10 });
  const { id, key } = created.body.data;
  const poor = client(app.url, key);
  const opened = gate();
  provider.state.behave = async () => void (await opened.opened);
  await Promise.all(
    many(40, { model: "gpt-4" }).map((task, i) =>
      poor.post("/tasks?execute=true", { ...task, id: `t${i}` }),
    ),
  );
  const other = await app.post("/tasks?execute=true", { id: "other", prompt: "x", model: "gpt-4" });
  expect(other.status).toBe(201);
  opened.open();
  await app.ended("other");
  await until(async () => {
    const { rows } = await app.ctx.client.execute("SELECT subject FROM alerts");
    return rows[0]?.["subject"] === id || undefined;
  });
  await until(() => runningNow(app));
  expect(provider.requests.length).toBeGreaterThanOrEqual(11);
  expect(provider.requests.length).toBeLessThanOrEqual(10 + 4 + 1);
  expect((await app.get("/tasks/t39")).body.data).toMatchObject({ status: "pending" });

  await app.patch(`/api-keys/${id}`, { monthlyBudgetUsd: COST * 100 });
  for (let i = 0; i < 40; i++)
    expect(await app.ended(`t${i}`)).toMatchObject({ status: "completed" });
  const { rows } = await app.ctx.client.execute("SELECT * FROM alerts");
  expect(rows).toEqual([]);
  expect(await app.differences()).toEqual([]);
});

const runningNow = async (app: App) => {
  const { details } = (await app.get("/status/services/workers")).body.data;
  return details.inFlight === 0 || undefined;
};
