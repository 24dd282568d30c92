import { describe, expect, test } from "bun:test";

import { startProcess, temporaryFolder } from "../support/process.ts";
import { fail, gate, hang, startProvider } from "../support/provider.ts";
import { type Json, startServer, until } from "../support/server.ts";

const COST = 0.0006;

const same = (count: number, fields: object = {}) =>
  Array.from({ length: count }, (_, i) => ({ id: `t${i}`, prompt: "x", ...fields }));

const config = { model: "gpt-4", cache: true };

type App = Pick<Awaited<ReturnType<typeof startServer>>, "get" | "post" | "finished">;

async function startBatch(app: App, tasks: object[], more: object = {}): Promise<void> {
  await app.post("/batches", { id: "b", tasks, config: { ...config, ...more } });
  await app.post("/batches/b/execute");
}

const running = (app: App, count: number) =>
  until(
    async () => (await app.get("/batches/b")).body.data.progress.running === count || undefined,
  );

describe("identical requests in flight at the same time", () => {
  test("are sent once each, and paid once each", async () => {
    const held = gate();
    await using provider = await startProvider(async () => void (await held.opened));
    await using app = await startServer(provider.env);
    const tasks = Array.from({ length: 200 }, (_, i) => ({ prompt: `p${i % 10}` }));
    await startBatch(app, tasks);
    // The most that one process claims at once: ten calls, and the tasks that wait for them.
    await running(app, 60);
    held.open();
    const batch = await app.finished("b");
    expect(provider.requests).toHaveLength(10);
    expect(batch).toMatchObject({
      status: "completed",
      progress: { total: 200, completed: 200 },
      usage: { promptTokens: 100, completionTokens: 50 },
    });
    expect(batch.costUsd).toBeCloseTo(10 * COST, 9);
    const results: Json[] = JSON.parse((await app.get("/batches/b/results?format=json")).text);
    expect(results.map(({ result }) => result)).toEqual(tasks.map(({ prompt }) => `re: ${prompt}`));
    expect(results.filter(({ cached }) => cached)).toHaveLength(190);
    expect(await app.differences()).toEqual([]);

    await app.post("/batches", { id: "again", tasks, config });
    await app.post("/batches/again/execute");
    expect(await app.finished("again")).toMatchObject({
      progress: { completed: 200 },
      usage: { totalTokens: 0 },
      costUsd: 0,
    });
    expect(provider.requests).toHaveLength(10);
  });

  test("continue in turn if the first fails, until one is answered", async () => {
    await using provider = await startProvider(({ earlier }, response) =>
      earlier < 3 ? fail(response, earlier === 1 ? 429 : 500) : undefined,
    );
    await using app = await startServer(provider.env);
    await startBatch(app, same(50));
    expect(await app.finished("b")).toMatchObject({ progress: { completed: 50 } });
    expect(provider.requests).toHaveLength(4);
    expect(provider.state.mostOpen).toBe(1);
    const { executions } = (await app.get("/tasks/t0/executions")).body.data;
    expect(executions[0].attempts.map(({ outcome }: Json) => outcome).at(-1)).toBe("completed");
    const { attempts } = (await app.get("/tasks/t49")).body.data;
    expect(attempts).toBe(1);
    expect(await app.differences()).toEqual([]);
  });

  test("each fail separately if they are refused permanently", async () => {
    const held = gate();
    await using provider = await startProvider(async ({ earlier }, response) => {
      if (earlier > 0) await held.opened;
      return fail(response, 400);
    });
    await using app = await startServer(provider.env);
    await startBatch(app, same(40));
    await until(() => provider.state.open > 1 || undefined);
    held.open();
    expect(await app.finished("b")).toMatchObject({ status: "failed", progress: { failed: 40 } });
    expect(provider.requests).toHaveLength(40);
  });

  test("wait in the queue while their batch is paused because the quota is used up", async () => {
    const state = { hasQuota: false };
    await using provider = await startProvider((_, response) =>
      state.hasQuota ? undefined : fail(response, 429, { code: "insufficient_quota" }),
    );
    await using app = await startServer(provider.env);
    await startBatch(app, same(20));
    await until(async () => {
      const { status, progress } = (await app.get("/batches/b")).body.data;
      return (status === "paused" && progress.running === 0) || undefined;
    });
    expect(provider.requests).toHaveLength(1);
    expect(await app.differences()).toEqual([]);
    state.hasQuota = true;
    await app.post("/batches/b/resume");
    expect(await app.finished("b")).toMatchObject({ progress: { completed: 20 } });
    expect(provider.requests).toHaveLength(2);
  });

  test("survive the cancellation of the first, and of one that waits", async () => {
    await using provider = await startProvider(({ earlier }) =>
      earlier === 0 ? hang() : undefined,
    );
    await using app = await startServer(provider.env);
    await startBatch(app, same(10));
    await running(app, 10);
    await until(() => provider.requests.length === 1 || undefined);
    expect((await app.post("/tasks/t5/cancel")).body.data.status).toBe("cancelled");
    expect((await app.post("/tasks/t0/cancel")).body.data.status).toBe("cancelled");
    expect(await app.finished("b")).toMatchObject({ progress: { completed: 8, cancelled: 2 } });
    expect(provider.requests).toHaveLength(2);
    expect(await app.differences()).toEqual([]);
  });

  test("are answered while the server stops, if the first is in time", async () => {
    using folder = temporaryFolder();
    const held = gate();
    await using provider = await startProvider(async () => void (await held.opened));
    const env = { DATA_DIR: folder.path, ...provider.env };
    const app = await startServer(env);
    await startBatch(app, same(20));
    await running(app, 20);
    const stopped = app.runner.stop(20_000);
    held.open();
    await stopped;
    await app.stop();
    await using again = await startServer(env);
    expect((await again.get("/batches/b")).body.data).toMatchObject({ status: "completed" });
    expect(provider.requests).toHaveLength(1);
  });

  test("are released if it is not, as if they had not been started", async () => {
    using folder = temporaryFolder();
    await using provider = await startProvider(({ earlier }) =>
      earlier === 0 ? hang() : undefined,
    );
    const env = { DATA_DIR: folder.path, ...provider.env };
    const app = await startServer(env);
    await startBatch(app, same(20));
    await running(app, 20);
    await until(() => provider.requests.length === 1 || undefined);
    await app.stop();
    await using again = await startServer(env);
    expect(await again.finished("b")).toMatchObject({ progress: { completed: 20 } });
    const outcomes = async (id: string) =>
      (await again.get(`/tasks/${id}/executions`)).body.data.executions[0].attempts.map(
        ({ outcome }: Json) => outcome,
      );
    expect(await outcomes("t0")).toEqual(["interrupted", "completed"]);
    expect(await outcomes("t1")).toEqual(["completed"]);
    expect(provider.requests).toHaveLength(2);
    expect(await again.differences()).toEqual([]);
  });

  test("are queued again after a kill", async () => {
    using folder = temporaryFolder();
    await using provider = await startProvider(({ earlier }) =>
      earlier === 0 ? hang() : undefined,
    );
    const env = { DATA_DIR: folder.path, ...provider.env };
    await using app = await startProcess(env);
    await startBatch(app, same(20));
    await running(app, 20);
    await until(() => provider.requests.length === 1 || undefined);
    await app.kill("SIGKILL");
    await using again = await startProcess(env);
    expect(await again.finished("b")).toMatchObject({ progress: { total: 20, completed: 20 } });
    expect(provider.requests).toHaveLength(2);
    expect((await again.get(`${again.url}/readyz?deep=1`)).status).toBe(200);
  });

  test("use no turn at the pacer", async () => {
    await using provider = await startProvider();
    await using app = await startServer({ ...provider.env, PROVIDER_RPM: "60" });
    const started = performance.now();
    await startBatch(app, same(500));
    expect(await app.finished("b")).toMatchObject({ progress: { completed: 500 } });
    expect(provider.requests).toHaveLength(1);
    // At the pacer 500 requests would take eight minutes.
    expect(performance.now() - started).toBeLessThan(60_000);
  });
});
