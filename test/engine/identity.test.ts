import { describe, expect, test } from "bun:test";

import type { ClaimedRun } from "../../src/engine/claimed-run.ts";
import { createInFlight } from "../../src/engine/in-flight.ts";
import { createLaneBook } from "../../src/engine/lane-book.ts";
import type { Outcome } from "../../src/engine/outcome.ts";
import type { Claimed } from "../../src/store/claim.ts";
import { DOCUMENTED_BATCH, DOCUMENTED_TASK } from "../support/documented.ts";
import { fail, startProvider } from "../support/provider.ts";
import { startServer, until } from "../support/server.ts";

describe("a task that is cancelled and executed again before its first call is reported", () => {
  const inFlight = () => createInFlight({ maxRetries: 0, retryBaseMs: 1, retryMaxMs: 1 }, () => 0);
  const row = { task: 1, batch: 0, lane: 0, model: "m", failures: 0 } as Claimed;
  const called = (run: ClaimedRun) =>
    ({
      kind: "called",
      run,
      failure: null,
      final: { task: 1, claim: run.claim, status: "completed", at: 1, provider: "p" },
    }) as Outcome;

  test("is settled only by the newest claim, even if both calls are reported together", () => {
    const runs = inFlight();
    const lane = createLaneBook(8).laneOf(0, "m");
    const first = runs.begin(row, 1, lane);
    const second = runs.begin(row, 2, lane);
    const outcomes = [called(first), called(second)];
    const { finals } = runs.decide(outcomes, () => false, 0);
    expect(finals.map(({ claim }) => claim)).toEqual([2]);
    runs.forget(outcomes, [], () => {});
    expect(runs.size()).toBe(0);
  });

  test("is not settled by the older claim after the newer one was", () => {
    const runs = inFlight();
    const lane = createLaneBook(8).laneOf(0, "m");
    const first = runs.begin(row, 1, lane);
    const second = runs.begin(row, 2, lane);
    runs.forget([called(second)], [], () => {});
    expect(runs.decide([called(first)], () => false, 0).finals).toEqual([]);
  });
});

describe("a batch that is created under an id that tasks named earlier", () => {
  const filled = [
    { id: "x1", prompt: "a" },
    { id: "x2", prompt: "b" },
  ];

  test("keeps the answer to the same request, and its cost", async () => {
    await using provider = await startProvider();
    await using app = await startServer(provider.env);
    const asked = { id: "x1", batchId: "bb", prompt: "a", model: "gpt-4" };
    await app.post("/tasks?execute=true", asked);
    const before = await app.ended("x1");
    const config = { model: "gpt-4" };
    expect((await app.post("/batches", { id: "bb", tasks: filled, config })).status).toBe(201);
    expect((await app.get("/tasks/x1")).body.data).toMatchObject({
      status: "completed",
      result: { content: before.result.content },
    });
    await app.post("/batches/bb/execute");
    const batch = await app.finished("bb");
    expect(batch.progress).toMatchObject({ total: 2, completed: 2 });
    expect(batch.usage).toMatchObject({ promptTokens: 20, completionTokens: 10 });
    expect(batch.costUsd).toBeCloseTo(2 * before.result.costUsd, 9);
    expect(provider.counts).toEqual(
      new Map([
        ["a", 1],
        ["b", 1],
      ]),
    );
    expect(await app.differences()).toEqual([]);
  });

  test("calls again if the request differs, and keeps the old answer among the executions", async () => {
    await using provider = await startProvider();
    await using app = await startServer(provider.env);
    await app.post("/tasks?execute=true", { id: "x1", batchId: "bb", prompt: "other" });
    await app.ended("x1");
    // Nor does the answer of a dry run count.
    await app.post("/tasks", { id: "x2", batchId: "bb", prompt: "b" });
    await app.post("/tasks/x2/execute", { isDryRun: true });
    await app.ended("x2");
    await app.post("/batches", { id: "bb", tasks: filled });
    for (const id of ["x1", "x2"])
      expect((await app.get(`/tasks/${id}`)).body.data.status).toBe("pending");
    await app.post("/batches/bb/execute");
    await app.finished("bb");
    const { executions } = (await app.get("/tasks/x1/executions")).body.data;
    expect(executions).toHaveLength(2);
    expect([provider.counts.get("a"), provider.counts.get("b")]).toEqual([1, 1]);
    expect(await app.differences()).toEqual([]);
  });
});

describe("after the clock was set back", () => {
  test("a retry runs what had failed", async () => {
    let isWell = false;
    await using provider = await startProvider((_, response) =>
      isWell ? undefined : fail(response, 400),
    );
    await using app = await startServer(provider.env);
    await app.post("/batches", { id: "y", tasks: [{ prompt: "a" }, { prompt: "b" }] });
    await app.post("/batches/y/execute");
    expect((await app.finished("y")).status).toBe("failed");
    isWell = true;
    app.ctx.clock.now = () => Date.now() - 10_000;
    expect((await app.post("/batches/y/retry")).status).toBe(200);
    expect(await app.finished("y")).toMatchObject({ status: "completed" });
  });

  test("a provider with limits keeps its pace, and retries run when they are due", async () => {
    await using provider = await startProvider(({ earlier, prompt }, response) =>
      prompt === "p0" && earlier === 0
        ? fail(response, 503, {}, { "retry-after-ms": "300" })
        : undefined,
    );
    await using app = await startServer({ ...provider.env, PROVIDER_RPM: "1200" });
    const tasks = Array.from({ length: 60 }, (_, i) => ({ prompt: `p${i}` }));
    await app.post("/batches", { id: "w", tasks });
    await app.post("/batches/w/execute");
    await until(async () => {
      const { rows } = await app.ctx.client.execute("SELECT task FROM queue WHERE run_at > 0");
      return rows.length === 1 || undefined;
    });
    app.ctx.clock.now = () => Date.now() - 3_600_000;
    expect((await app.finished("w")).progress.completed).toBe(60);
  });
});

test("a task and the batch that it names work as the documentation prints them", async () => {
  await using app = await startServer();
  expect((await app.post("/tasks", DOCUMENTED_TASK)).status).toBe(201);
  await app.post("/tasks/task-001/execute");
  await app.ended("task-001");
  const created = await app.post("/batches", DOCUMENTED_BATCH);
  expect(created.body.data).toMatchObject({ id: "batch-001", status: "pending", taskCount: 2 });
  await app.post("/batches/batch-001/execute");
  expect((await app.finished("batch-001")).progress).toMatchObject({ completed: 2, total: 2 });
  expect(await app.differences()).toEqual([]);
});
