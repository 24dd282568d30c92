import { describe, expect, test } from "bun:test";

import { fail, hang, startProvider } from "../support/provider.ts";
import { type Json, startServer, type TestServer, until } from "../support/server.ts";

/** A provider whose answers wait until the gate is opened. */
async function startGatedProvider() {
  let open = () => {};
  const opened = new Promise<void>((resolve) => (open = resolve));
  const provider = await startProvider(async () => {
    await opened;
    return undefined;
  });
  return { ...provider, open };
}

function prompts(count: number, prefix = "t"): Json[] {
  return Array.from({ length: count }, (_, i) => ({
    id: `${prefix}${i}`,
    prompt: `${prefix}${i}`,
  }));
}

async function progress(app: TestServer, id: string): Promise<Json> {
  const { data } = (await app.get(`/batches/${id}`)).body;
  const { total, completed, failed, cancelled, pending, running } = data.progress;
  expect(completed + failed + cancelled + pending + running).toBe(total);
  return data;
}

describe("a paused batch", () => {
  test("finishes what is in flight and starts nothing new until it is resumed", async () => {
    await using provider = await startGatedProvider();
    await using app = await startServer(provider.env);
    await app.post("/batches", { id: "b", tasks: prompts(20), config: { maxConcurrency: 4 } });
    await app.post("/batches/b/execute");
    await until(() => provider.state.open === 4);
    const { body } = await app.post("/batches/b/pause");
    expect(body.data).toMatchObject({ status: "paused", pauseReason: { code: "requested" } });
    provider.open();
    await until(async () => (await progress(app, "b")).progress.running === 0);
    expect((await progress(app, "b")).progress).toMatchObject({ completed: 4, pending: 16 });
    // Meanwhile a single task runs through the whole engine, so a claim for the batch would be visible.
    await app.post("/tasks?execute=true", { id: "single", prompt: "single" });
    await app.ended("single");
    expect(provider.requests.length).toBe(5);
    expect((await app.post("/batches/b/pause")).status).toBe(200);
    expect((await app.post("/batches/b/resume")).body.data.pauseReason).toBeNull();
    expect((await app.finished("b")).progress).toMatchObject({ completed: 20, pending: 0 });
    expect(await app.differences()).toEqual([]);
  });

  test("stays paused through a restart", async () => {
    await using provider = await startGatedProvider();
    await using app = await startServer(provider.env);
    await app.post("/batches", { id: "b", tasks: prompts(5), config: { maxConcurrency: 2 } });
    await app.post("/batches/b/execute");
    await until(() => provider.state.open === 2);
    await app.post("/batches/b/pause");
    await app.stop();
    provider.open();
    await using next = await startServer({ ...provider.env, DATA_DIR: app.dir });
    expect((await progress(next, "b")).status).toBe("paused");
    await next.post("/batches/b/resume");
    expect((await next.finished("b")).progress.completed).toBe(5);
  });

  test("cannot be a batch that has not begun or has ended", async () => {
    await using app = await startServer();
    await app.post("/batches", { id: "b", tasks: prompts(1) });
    for (const action of ["pause", "resume"])
      expect((await app.post(`/batches/b/${action}`)).body.error.code).toBe("BATCH_NOT_RUNNING");
    await app.post("/batches/b/execute");
    await app.finished("b");
    for (const action of ["pause", "resume", "cancel", "retry"])
      expect((await app.post(`/batches/b/${action}`)).body.error.code).toBe("BATCH_FINISHED");
    for (const action of ["pause", "resume", "cancel", "retry", "execute"])
      expect((await app.post(`/batches/none/${action}`)).body.error.code).toBe("BATCH_NOT_FOUND");
  });
});

describe("a cancelled batch", () => {
  test("aborts its calls, cancels the rest, and keeps what was done", async () => {
    let started = 0;
    await using provider = await startProvider(async () => {
      if (++started <= 3) return undefined;
      await new Promise(() => {});
      return undefined;
    });
    await using app = await startServer(provider.env);
    await app.post("/batches", { id: "b", tasks: prompts(3000), config: { maxConcurrency: 4 } });
    await app.post("/batches/b/execute");
    await until(async () => (await progress(app, "b")).progress.completed === 3);
    await until(() => provider.state.open === 4);
    const { body } = await app.post("/batches/b/cancel");
    expect(body.data.status).toBe("cancelled");
    const ended = await until(async () => {
      const batch = await progress(app, "b");
      return batch.completedAt ? batch : undefined;
    });
    expect(ended.progress).toMatchObject({ completed: 3, cancelled: 2997, pending: 0, running: 0 });
    await until(() => provider.state.open === 0);
    const { rows } = await app.ctx.client.execute(
      "SELECT type, count(*) AS n FROM events WHERE type LIKE '%.cancelled' GROUP BY type",
    );
    expect(rows.map((row) => [row["type"], row["n"]])).toEqual([
      ["batch.cancelled", 1],
      ["task.cancelled", 2997],
    ]);
    expect(await app.differences()).toEqual([]);
    expect((await app.post("/batches/b/cancel")).body.error.code).toBe("BATCH_FINISHED");
    expect((await app.get("/batches/b/results?format=jsonl")).text.trim().split("\n").length).toBe(
      3000,
    );
  });

  test("may be a batch that has not begun", async () => {
    await using app = await startServer();
    await app.post("/batches", { id: "b", tasks: prompts(3) });
    await app.post("/batches/b/cancel");
    expect((await app.finished("b")).progress).toMatchObject({ cancelled: 3 });
    expect((await app.post("/batches/b/execute")).body.error.code).toBe("BATCH_FINISHED");
  });

  test("runs the cancelled tasks on a retry", async () => {
    await using app = await startServer();
    await app.post("/batches", { id: "b", tasks: prompts(3) });
    await app.post("/batches/b/cancel");
    expect((await app.post("/batches/b/retry")).body.error.code).toBe("BATCH_FINISHED");
    expect((await app.post("/batches/b/retry", { statuses: ["cancelled"] })).status).toBe(200);
    expect((await app.finished("b")).progress).toMatchObject({ completed: 3, cancelled: 0 });
  });
});

describe("retrying", () => {
  test("runs the failed tasks again, each once, and leaves the others alone", async () => {
    let isDown = true;
    await using provider = await startProvider(({ prompt }, response) =>
      isDown && Number(prompt.slice(1)) % 2 === 0 ? fail(response, 400) : undefined,
    );
    await using app = await startServer(provider.env);
    await app.post("/batches", { id: "b", tasks: prompts(2500) });
    await app.post("/batches/b/execute");
    expect((await app.finished("b")).progress).toMatchObject({ completed: 1250, failed: 1250 });
    isDown = false;
    const [first, second] = await Promise.all([
      app.post("/batches/b/retry"),
      app.post("/batches/b/retry"),
    ]);
    expect([first.status, second.status].toSorted()).toEqual([200, 409]);
    const batch = await app.finished("b");
    expect(batch.progress).toMatchObject({ completed: 2500, failed: 0 });
    expect(batch.executionId).toEndWith("-2");
    for (const { prompt } of provider.requests)
      expect(provider.counts.get(prompt)).toBe(Number(prompt.slice(1)) % 2 === 0 ? 2 : 1);
    expect(await app.differences()).toEqual([]);
  });

  test("estimates its end from the tasks that run again", async () => {
    await using provider = await startProvider(({ prompt, earlier }, response) => {
      if (!prompt.startsWith("bad")) return undefined;
      if (earlier === 0) return fail(response, 400);
      return prompt === "bad0" ? undefined : hang();
    });
    await using app = await startServer(provider.env);
    await app.post("/batches", { id: "b", tasks: [...prompts(16), ...prompts(4, "bad")] });
    await app.post("/batches/b/execute");
    expect((await app.finished("b")).progress).toMatchObject({ completed: 16, failed: 4 });
    let now = Date.now();
    app.ctx.clock.now = () => now;
    await app.post("/batches/b/retry");
    await until(async () => (await progress(app, "b")).progress.completed === 17);
    now += 100_000;
    const { estimatedCompletionAt } = await progress(app, "b");
    expect(Date.parse(estimatedCompletionAt) - now).toBe(3 * 100_000);
  });

  test("may fail again", async () => {
    await using provider = await startProvider((_request, response) => fail(response, 400));
    await using app = await startServer(provider.env);
    await app.post("/batches", { id: "b", tasks: prompts(3) });
    for (const action of ["execute", "retry", "retry"]) {
      await app.post(`/batches/b/${action}`);
      expect((await app.finished("b")).progress).toMatchObject({ failed: 3 });
    }
    expect((await app.get("/tasks/t1/executions")).body.data.executions.length).toBe(3);
  });
});

describe("a dry run", () => {
  test("is marked in the results, and leaves the batch free for the real run", async () => {
    await using provider = await startProvider();
    await using app = await startServer(provider.env);
    await app.post("/batches", { id: "b", tasks: prompts(3) });
    await app.post("/batches/b/execute", { isDryRun: true });
    expect((await app.finished("b")).isDryRun).toBe(true);
    expect(provider.requests).toEqual([]);
    const csv = (await app.get("/batches/b/results")).text.split("\n");
    expect(csv[0]).toEndWith(",refusal,is_dry_run");
    expect(csv[1]).toEndWith(",true");
    const line = (await app.get("/batches/b/results?format=jsonl")).text.split("\n")[0] ?? "";
    expect(JSON.parse(line).isDryRun).toBe(true);
    expect((await app.post("/batches/b/execute")).status).toBe(200);
    const real = await app.finished("b");
    expect(real).toMatchObject({ isDryRun: false, progress: { completed: 3 } });
    expect(provider.requests.length).toBe(3);
    expect((await app.get("/batches/b/results")).text.split("\n")[0]).toEndWith(",refusal");
    expect((await app.post("/batches/b/execute")).body.error.code).toBe("BATCH_FINISHED");
    expect(await app.differences()).toEqual([]);
  });
});

describe("changing a batch", () => {
  test("applies a new maxConcurrency while it runs", async () => {
    await using provider = await startGatedProvider();
    await using app = await startServer(provider.env);
    await app.post("/batches", { id: "b", tasks: prompts(20), config: { maxConcurrency: 2 } });
    await app.post("/batches/b/execute");
    await until(() => provider.state.open === 2);
    const { body } = await app.patch("/batches/b", { maxConcurrency: 5, name: "renamed" });
    expect(body.data).toMatchObject({ name: "renamed", config: { maxConcurrency: 5 } });
    await until(() => provider.state.open === 5);
    await app.patch("/batches/b", { maxConcurrency: null });
    await until(() => provider.state.open === 20);
    provider.open();
    await app.finished("b");
    expect(provider.state.mostOpen).toBe(20);
  });

  test("refuses fields that cannot be changed, by name", async () => {
    await using app = await startServer();
    await app.post("/batches", { id: "b", tasks: prompts(1) });
    const { status, body } = await app.patch("/batches/b", { model: "gpt-4", maxConcurrency: 0 });
    expect(status).toBe(400);
    expect(body.error.details.issues.map(({ path }: Json) => path).toSorted()).toEqual([
      "maxConcurrency",
      "model",
    ]);
    expect((await app.patch("/batches/none", {})).body.error.code).toBe("BATCH_NOT_FOUND");
  });
});

describe("deleting a batch", () => {
  test("removes its tasks and results, and frees their ids", async () => {
    await using app = await startServer();
    await app.post("/batches", { id: "b", tasks: prompts(2500), idempotencyKey: "k" });
    await app.post("/batches/b/execute");
    await app.finished("b");
    expect((await app.del("/batches/b")).body).toMatchObject({ success: true });
    expect((await app.get("/batches/b")).status).toBe(404);
    expect((await app.get("/tasks/t1")).status).toBe(404);
    for (const table of ["tasks", "task_inputs", "executions", "queue", "idempotency_keys"]) {
      const { rows } = await app.ctx.client.execute(`SELECT count(*) AS n FROM ${table}`);
      expect(rows[0]?.["n"]).toBe(0);
    }
    const again = { id: "b", tasks: prompts(2), idempotencyKey: "k" };
    expect((await app.post("/batches", again)).status).toBe(201);
  });

  test("refuses a running batch without force, and with it aborts its calls", async () => {
    await using provider = await startGatedProvider();
    await using app = await startServer(provider.env);
    await app.post("/batches", { id: "b", tasks: prompts(10) });
    await app.post("/batches/b/execute");
    await until(() => provider.state.open === 10);
    expect((await app.del("/batches/b")).body.error.code).toBe("BATCH_RUNNING");
    expect((await app.del("/batches/b?force=true")).status).toBe(200);
    await until(() => provider.state.open === 0);
    expect((await app.get("/batches/b")).status).toBe(404);
    expect((await app.get("/tasks")).body.data.pagination.total).toBe(0);
  });
});
