import { describe, expect, test } from "bun:test";

import { gate, hang, startProvider } from "../support/provider.ts";
import { startServer, until } from "../support/server.ts";

const many = (count: number, fields: object = {}) =>
  Array.from({ length: count }, (_, i) => ({ prompt: `p${i}`, ...fields }));

describe("while a batch uses all slots that it may use", () => {
  test("a single task starts at once", async () => {
    await using provider = await startProvider(({ prompt }) =>
      prompt === "single" ? undefined : hang(),
    );
    await using app = await startServer({ ...provider.env, MAX_CONCURRENCY: "8" });
    await app.post("/batches", { id: "b", tasks: many(100) });
    await app.post("/batches/b/execute");
    await until(() => provider.requests.length === 7 || undefined);
    const { body } = await app.post(
      "/tasks?execute=true",
      { prompt: "single" },
      { prefer: "wait=20" },
    );
    expect(body.data.status).toBe("completed");
    expect(provider.state.mostOpen).toBe(8);
  });

  test("another batch gets its share as soon as calls end", async () => {
    await using provider = await startProvider(() => Bun.sleep(2) as Promise<undefined>);
    await using app = await startServer({ ...provider.env, MAX_CONCURRENCY: "8" });
    await app.post("/batches", { id: "large", tasks: many(3000) });
    await app.post("/batches", { id: "small", tasks: many(20) });
    await app.post("/batches/large/execute");
    await until(() => provider.requests.length > 20 || undefined);
    await app.post("/batches/small/execute");
    await app.finished("small");
    const { progress } = (await app.get("/batches/large")).body.data;
    expect(progress.completed).toBeLessThan(1000);
    await app.post("/tasks", { prompt: "end" });
  });

  test("the slots in use never exceed MAX_CONCURRENCY", async () => {
    await using provider = await startProvider(() => Bun.sleep(1) as Promise<undefined>);
    await using app = await startServer({ ...provider.env, MAX_CONCURRENCY: "5" });
    await app.post("/batches", { id: "a", tasks: many(200) });
    await app.post("/batches", { id: "b", tasks: many(200) });
    await Promise.all([app.post("/batches/a/execute"), app.post("/batches/b/execute")]);
    await Promise.all(
      Array.from({ length: 30 }, () =>
        app.post("/tasks?execute=true", { prompt: "s" }, { prefer: "wait=20" }),
      ),
    );
    await Promise.all([app.finished("a"), app.finished("b")]);
    expect(provider.state.mostOpen).toBe(5);
    expect(await app.differences()).toEqual([]);
  });
});

test("all slots are used, although a turn fills only a few hundred of them", async () => {
  await using app = await startServer({ MAX_CONCURRENCY: "600", SIMULATOR_LATENCY_MS: "60000" });
  await app.post("/batches", { id: "b", tasks: many(700) });
  await app.post("/batches/b/execute");
  // Nine are kept for single tasks.
  const running = async () => (await app.get("/batches/b?limit=1")).body.data.progress.running;
  await until(async () => (await running()) === 591 || undefined);
});

describe("a task of low priority", () => {
  test("has its turn while others of high priority never end", async () => {
    await using provider = await startProvider(() => Bun.sleep(2) as Promise<undefined>);
    await using app = await startServer({ ...provider.env, MAX_CONCURRENCY: "4" });
    const low = await app.post("/tasks", { id: "low", prompt: "low", priority: "low" });
    const over = new AbortController();
    const sendHigh = async () => {
      while (!over.signal.aborted)
        await app.post(
          "/tasks?execute=true",
          { prompt: "high", priority: "high" },
          { prefer: "wait=20" },
        );
    };
    // Three tasks for each slot, so that a task of high priority always waits.
    const clients = Array.from({ length: 12 }, sendHigh);
    await until(() => provider.requests.length > 20 || undefined);
    const before = provider.requests.length;
    await app.post(`/tasks/${low.body.data.id}/execute`, {});
    await app.ended("low");
    over.abort();
    await Promise.all(clients);
    const at = provider.requests.findIndex(({ prompt }) => prompt === "low");
    expect(at - before).toBeLessThan(300);
  });
});

describe("a model that hangs", () => {
  test("does not keep another model of the same batch from its tasks", async () => {
    await using provider = await startProvider(({ body }) =>
      body.model === "slow" ? hang() : undefined,
    );
    await using app = await startServer({ ...provider.env, MAX_CONCURRENCY: "16" });
    const tasks = Array.from({ length: 4000 }, (_, i) => ({
      prompt: `p${i}`,
      model: i % 2 === 0 ? "slow" : "fast",
    }));
    await app.post("/batches", { id: "b", tasks });
    await app.post("/batches/b/execute");
    await until(async () => {
      const { progress } = (await app.get("/batches/b")).body.data;
      return progress.completed === 2000 || undefined;
    });
  });

  test("does not keep another batch from finishing", async () => {
    await using provider = await startProvider(({ body }) =>
      body.model === "slow" ? hang() : undefined,
    );
    await using app = await startServer({ ...provider.env, MAX_CONCURRENCY: "8" });
    await app.post("/batches", { id: "hangs", tasks: many(100, { model: "slow" }) });
    await app.post("/batches", { id: "works", tasks: many(100, { model: "fast" }) });
    await app.post("/batches/hangs/execute");
    await until(() => provider.state.open > 0 || undefined);
    await app.post("/batches/works/execute");
    expect(await app.finished("works")).toMatchObject({ progress: { completed: 100 } });
  });
});

describe("priority", () => {
  test("decides which task of a lane is next, in a batch and among single tasks", async () => {
    const held = gate();
    await using provider = await startProvider(async ({ prompt }) => {
      if (prompt === "first") await held.opened;
    });
    await using app = await startServer({ ...provider.env, MAX_CONCURRENCY: "1" });
    await app.post("/tasks?execute=true", { id: "first", prompt: "first" });
    await until(() => provider.requests.length === 1 || undefined);
    for (const priority of ["low", "normal", "urgent", "high"])
      await app.post("/tasks?execute=true", { id: priority, prompt: priority, priority });
    await app.post("/tasks", { id: "overridden", prompt: "overridden", priority: "low" });
    await app.post("/tasks/overridden/execute", { priority: "urgent" });
    held.open();
    await app.ended("low");
    expect(provider.requests.map(({ prompt }) => prompt)).toEqual([
      "first",
      "urgent",
      "overridden",
      "high",
      "normal",
      "low",
    ]);

    const tasks = ["normal", "low", "high"].map((priority) => ({
      prompt: `b-${priority}`,
      priority,
    }));
    await app.post("/batches", { id: "b", tasks });
    await app.post("/batches/b/execute");
    await app.finished("b");
    expect(provider.requests.slice(-3).map(({ prompt }) => prompt)).toEqual([
      "b-high",
      "b-normal",
      "b-low",
    ]);
  });
});
