import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";

import { parse } from "csv-parse/sync";

import { startProvider } from "../support/provider.ts";
import { type Json, startServer, type TestServer, until } from "../support/server.ts";

let provider: Awaited<ReturnType<typeof startProvider>>;
let app: TestServer;
beforeAll(async () => {
  provider = await startProvider();
  app = await startServer(provider.env);
});
afterAll(async () => {
  await app[Symbol.asyncDispose]();
  await provider[Symbol.asyncDispose]();
});

async function givenBatch(id: string, rows: number, more: object = {}): Promise<void> {
  const tasks = Array.from({ length: rows }, (_, i) => ({
    id: `${id}-${i}`,
    prompt: `${id} ${i}`,
  }));
  const made = await app.post("/batches", { id, tasks, config: { model: "gpt-4o" }, ...more });
  expect(made.status).toBe(201);
}

/** The batch once so many of its tasks have ended. */
function ended(id: string, rows: number): Promise<Json> {
  return until(async () => {
    const { data } = (await app.get(`/batches/${id}?limit=100`)).body;
    return data.progress.completed + data.progress.failed === rows ? data : undefined;
  });
}

const callsOf = (id: string) =>
  provider.requests.filter(({ prompt }) => prompt.startsWith(`${id} `)).map(({ prompt }) => prompt);

describe("a pilot", () => {
  test("is not repeated by the real run that follows a dry run", async () => {
    await givenBatch("rehearsed", 3);
    await app.post("/batches/rehearsed/execute", { limit: 2 });
    await ended("rehearsed", 2);
    await app.post("/batches/rehearsed/execute?isDryRun=true");
    await app.finished("rehearsed");
    const results = parse((await app.get("/batches/rehearsed/results")).text, { columns: true });
    expect(results.map((row: Json) => [row.prompt, row.is_dry_run])).toEqual([
      ["rehearsed 0", "false"],
      ["rehearsed 1", "false"],
      ["rehearsed 2", "true"],
    ]);
    await app.post("/batches/rehearsed/execute");
    const after = await until(async () => {
      const { data } = (await app.get("/batches/rehearsed")).body;
      return data.status === "completed" && !data.isDryRun ? data : undefined;
    });
    expect(after.progress).toMatchObject({ total: 3, completed: 3 });
    expect(callsOf("rehearsed").toSorted()).toEqual(["rehearsed 0", "rehearsed 1", "rehearsed 2"]);
  });

  test("runs the first rows, and execution continues with the rest without repeats", async () => {
    await givenBatch("first", 8, { outputFile: "first.csv" });
    const pilot = await app.post("/batches/first/execute", { limit: 3 });
    expect(pilot.body.data).toMatchObject({ status: "running", rows: 3 });
    const after = await ended("first", 3);
    expect(after).toMatchObject({
      status: "pending",
      output: null,
      progress: { total: 8, completed: 3, pending: 5 },
    });
    expect(after.executionId).toBe(pilot.body.data.executionId);
    expect(callsOf("first").toSorted()).toEqual(["first 0", "first 1", "first 2"]);
    expect(existsSync(join(app.filesDir, "first.csv"))).toBe(false);
    const { measured } = (await app.get("/batches/first/estimate")).body.data;
    expect(measured).toMatchObject({ rows: 3, promptTokensPerRow: 10, completionTokensPerRow: 5 });
    expect(measured.costUsd).toBeCloseTo(measured.costUsdPerRow * 5, 6);
    expect(measured.costUsd).toBeGreaterThan(0);

    expect((await app.post("/batches/first/execute", { limit: 2 })).body.data.rows).toBe(2);
    await ended("first", 5);
    expect((await app.post("/batches/first/execute")).status).toBe(200);
    expect((await app.finished("first")).progress.completed).toBe(8);
    expect(callsOf("first").toSorted()).toEqual(Array.from({ length: 8 }, (_, i) => `first ${i}`));
    await until(() => existsSync(join(app.filesDir, "first.csv")) || undefined);
    const events = await app.ctx.client.execute(
      "SELECT type FROM events WHERE batch = 'first' AND task IS NULL ORDER BY id",
    );
    const types = events.rows.map(({ type }) => String(type));
    expect(types.filter((type) => type !== "batch.progress")).toEqual([
      "batch.created",
      "batch.started",
      "batch.completed",
    ]);
    expect(await app.differences()).toEqual([]);
  });

  test("of a sample runs random rows, at most all, and each once", async () => {
    await givenBatch("some", 60);
    expect((await app.post("/batches/some/execute", { sample: 20 })).body.data.rows).toBe(20);
    await ended("some", 20);
    const first = new Set(callsOf("some"));
    expect(first.size).toBe(20);
    expect([...first].some((prompt) => Number(prompt.split(" ")[1]) >= 20)).toBe(true);
    expect((await app.post("/batches/some/execute", { sample: 50 })).body.data.rows).toBe(40);
    await ended("some", 60);
    expect(new Set(callsOf("some")).size).toBe(60);
    expect(callsOf("some")).toHaveLength(60);
    const { status, body } = await app.post("/batches/some/execute", { sample: 1 });
    expect([status, body.error.code]).toEqual([409, "BATCH_FINISHED"]);
    await app.post("/batches/some/execute");
    expect((await app.finished("some")).status).toBe("completed");
  });

  test("of racing requests runs no row twice", async () => {
    await givenBatch("race", 30);
    const answers = await Promise.all(
      Array.from({ length: 6 }, () => app.post("/batches/race/execute", { limit: 5 })),
    );
    const rows = answers.reduce((sum, { body }) => sum + (body.data?.rows ?? 0), 0);
    expect(answers.every(({ status }) => status === 200 || status === 409)).toBe(true);
    await ended("race", rows);
    expect(callsOf("race")).toHaveLength(rows);
    expect(await app.differences()).toEqual([]);
  });

  test("stays within the cap of its batch", async () => {
    await givenBatch("cap", 40, { config: { model: "gpt-4o", maxCostUsd: 0.0000001 } });
    await app.post("/batches/cap/execute", { limit: 40 });
    await until(() => callsOf("cap").length > 0 || undefined);
    await until(async () => {
      const { data } = (await app.get("/batches/cap")).body;
      return data.progress.running === 0 && data.progress.completed > 0 ? data : undefined;
    });
    expect(callsOf("cap").length).toBeLessThan(40);
    const { body } = await app.post("/batches/cap/execute", { limit: 1 });
    expect(body.error.code).toBe("QUOTA_EXCEEDED");
  });

  test.each([
    [{ limit: 0 }, "limit"],
    [{ limit: 101 }, "limit"],
    [{ sample: 1.5 }, "sample"],
    [{ limit: 1, sample: 1 }, "sample"],
    [{ limit: 1, isDryRun: true }, "limit"],
  ])("is refused: %j", async (options, path) => {
    const { status, body } = await app.post("/batches/race/execute", options);
    expect([status, body.error.details.issues[0].path]).toEqual([400, path]);
  });

  test("has a new number after a restore of the database", async () => {
    await givenBatch("restored", 2);
    await app.ctx.writer.write({
      epoch: {
        sql: "INSERT INTO timeline (id, epoch, broken_after, continued_after) VALUES (1, 2, 0, 0)",
        args: [],
      },
    });
    const pilot = (await app.post("/batches/restored/execute", { limit: 1 })).body.data;
    expect(pilot.executionId).toEndWith("-2000001");
    expect((await ended("restored", 1)).executionId).toBe(pilot.executionId);
  });

  test("is for a batch that has not been started", async () => {
    const { status, body } = await app.post("/batches/first/execute", { limit: 1 });
    expect([status, body.error.code]).toEqual([409, "BATCH_FINISHED"]);
    expect((await app.post("/batches/none/execute", { limit: 1 })).status).toBe(404);
  });
});
