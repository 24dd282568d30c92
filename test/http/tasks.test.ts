import { describe, expect, test } from "bun:test";

import { DOCUMENTED_TASK } from "../support/documented.ts";
import { gate, startProvider } from "../support/provider.ts";
import { startServer, until } from "../support/server.ts";

const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

describe("creating a task", () => {
  test("answers as documented and stores the request", async () => {
    await using app = await startServer();
    const answer = await app.post("/tasks", DOCUMENTED_TASK);

    expect(answer.status).toBe(201);
    expect(answer.body).toEqual({
      success: true,
      data: { id: "task-001", status: "pending", createdAt: expect.stringMatching(ISO) },
      message: "Task created successfully",
      timestamp: expect.stringMatching(ISO),
    });
    const { body } = await app.get("/tasks/task-001");
    expect(body.data).toMatchObject({
      prompt: "Write a haiku about programming",
      messages: [{ role: "system" }, { role: "user" }],
      model: "gpt-4",
      temperature: 0.7,
      maxTokens: 1000,
      metadata: { category: "creative", priority: "high" },
      batchId: "batch-001",
      priority: "normal",
      result: null,
    });
  });

  test("makes a sortable id if none is given", async () => {
    await using app = await startServer();
    const ids = [];
    for (let i = 0; i < 5; i++) {
      ids.push((await app.post("/tasks", { prompt: "x" })).body.data.id);
      await Bun.sleep(2);
    }
    expect(ids.every((id) => /^task-[0-9a-z]{25}$/.test(id))).toBe(true);
    expect(ids.toSorted()).toEqual(ids);
  });

  test("with ?execute=true and Prefer: wait answers with the result", async () => {
    await using provider = await startProvider();
    await using app = await startServer(provider.env);
    const answer = await app.post(
      "/tasks?execute=true",
      { prompt: "Say hi", parameters: { seed: 7, stop: ["x"] } },
      { prefer: "wait=20" },
    );
    expect(answer.status).toBe(201);
    expect(answer.headers.get("preference-applied")).toBe("wait=20");
    expect(answer.body.data).toMatchObject({
      status: "completed",
      attempts: 1,
      provider: "openai",
      result: {
        content: "re: Say hi",
        finishReason: "stop",
        usage: { promptTokens: 10, completionTokens: 5, totalTokens: 15 },
        costUsd: 0.0000045,
      },
    });
    expect(provider.requests[0]?.body).toEqual({
      model: "gpt-4o-mini",
      messages: [{ role: "user", content: "Say hi" }],
      seed: 7,
      stop: ["x"],
    });
    expect(provider.requests[0]?.headers.authorization).toBe("Bearer sk-test");
  });

  test("refuses an id that is in use, and stores nothing of the second task", async () => {
    await using app = await startServer();
    await app.post("/tasks", { id: "a", prompt: "first" });
    const again = await app.post("/tasks", { id: "a", prompt: "second", batchId: "b" });
    expect(again.status).toBe(409);
    expect(again.body.error.code).toBe("TASK_ALREADY_EXISTS");
    expect((await app.get("/tasks/a")).body.data.prompt).toBe("first");
    expect((await app.get("/batches/b")).status).toBe(404);
  });

  test("refuses a batch that has begun", async () => {
    await using app = await startServer();
    await app.post("/batches", { id: "b", tasks: [{ prompt: "x" }] });
    await app.post("/batches/b/execute");
    const late = await app.post("/tasks", { prompt: "late", batchId: "b" });
    expect(late.status).toBe(409);
    expect(late.body.error.code).toBe("BATCH_RUNNING");
  });

  test("accepts a model that the provider does not list", async () => {
    await using app = await startServer();
    expect((await app.post("/tasks", { prompt: "x", model: "gpt-99" })).status).toBe(201);
  });

  test("accepts the models of ALLOWED_MODELS and no others", async () => {
    await using app = await startServer({ ALLOWED_MODELS: "llama-*, mistral" });
    expect((await app.post("/tasks", { prompt: "x", model: "llama-3" })).status).toBe(201);
    expect((await app.post("/tasks", { prompt: "x", model: "mistral" })).status).toBe(201);
    const refused = await app.post("/tasks", { prompt: "x", model: "mistral-2" });
    expect(refused.status).toBe(400);
    expect(refused.body.error).toMatchObject({ code: "MODEL_NOT_SUPPORTED" });
  });
});

describe("idempotency", () => {
  test("the same request with the same key is executed once, however many race", async () => {
    await using app = await startServer();
    const answers = await Promise.all(
      Array.from({ length: 40 }, () => app.post("/tasks", { prompt: "x", idempotencyKey: "k" })),
    );
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(39);
    expect(new Set(answers.map(({ body }) => body.data.id)).size).toBe(1);
    const replays = answers.filter(({ headers }) => headers.get("idempotency-replayed") === "true");
    expect(replays).toHaveLength(39);
    expect((await app.get("/tasks")).body.data.pagination.total).toBe(1);
    expect(await app.differences()).toEqual([]);
  });

  test("the key may be in the header, quoted or bare", async () => {
    await using app = await startServer();
    const first = await app.post("/tasks", { prompt: "x", idempotencyKey: "k" });
    const quoted = await app.post("/tasks", { prompt: "x" }, { "idempotency-key": '"k"' });
    const bare = await app.post("/tasks", { prompt: "x" }, { "idempotency-key": "k" });
    expect([quoted.body.data.id, bare.body.data.id]).toEqual([
      first.body.data.id,
      first.body.data.id,
    ]);
    const differing = await app.post(
      "/tasks",
      { prompt: "x", idempotencyKey: "a" },
      { "idempotency-key": "b" },
    );
    expect(differing.status).toBe(400);
  });

  test("another request with the same key is refused", async () => {
    await using app = await startServer();
    await app.post("/tasks", { prompt: "x", idempotencyKey: "k" });
    const other = await app.post("/tasks", { prompt: "y", idempotencyKey: "k" });
    expect(other.status).toBe(409);
    expect(other.body.error.code).toBe("IDEMPOTENCY_KEY_REUSED");
    const batch = await app.post("/batches", { tasks: [{ prompt: "x" }], idempotencyKey: "k" });
    expect(batch.body.error.code).toBe("IDEMPOTENCY_KEY_REUSED");
  });

  test("of many different requests that race for one id exactly one wins", async () => {
    await using app = await startServer();
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, i) => app.post("/tasks", { id: "same", prompt: `p${i}` })),
    );
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
    expect(answers.filter(({ status }) => status === 409)).toHaveLength(19);
  });

  test("keys are scoped to the API key", async () => {
    await using app = await startServer({ API_KEYS: "test-key,other" });
    const mine = await app.post("/tasks", { prompt: "x", idempotencyKey: "k" });
    const theirs = await app.post(
      "/tasks",
      { prompt: "x", idempotencyKey: "k" },
      { authorization: "Bearer other" },
    );
    expect(theirs.status).toBe(201);
    expect(theirs.body.data.id).not.toBe(mine.body.data.id);
  });
});

describe("listing tasks", () => {
  test("filters by status, batch and time, and counts the matches", async () => {
    await using app = await startServer();
    await app.post("/tasks", { id: "old", prompt: "x" });
    await Bun.sleep(5);
    const between = new Date().toISOString();
    await Bun.sleep(5);
    await app.post("/tasks?execute=true", { id: "new", prompt: "x" }, { prefer: "wait=20" });
    await app.post("/tasks", { id: "in-batch", prompt: "x", batchId: "b" });
    const idsOf = async (query: string) => {
      const { body } = await app.get(`/tasks?${query}`);
      expect(body.data.pagination.total).toBe(body.data.tasks.length);
      return body.data.tasks.map(({ id }: { id: string }) => id);
    };
    expect(await idsOf("")).toEqual(["in-batch", "new", "old"]);
    expect(await idsOf("order=asc")).toEqual(["old", "new", "in-batch"]);
    expect(await idsOf("sort=id&order=asc")).toEqual(["in-batch", "new", "old"]);
    expect(await idsOf("status=completed")).toEqual(["new"]);
    expect(await idsOf("status=pending")).toEqual(["in-batch", "old"]);
    expect(await idsOf("batchId=b")).toEqual(["in-batch"]);
    expect(await idsOf("batchId=none")).toEqual([]);
    expect(await idsOf(`createdAfter=${between}`)).toEqual(["in-batch", "new"]);
    expect(await idsOf(`createdBefore=${between}&status=pending`)).toEqual(["old"]);
  });

  test("pages by number and by cursor, and both see every task once", async () => {
    await using app = await startServer();
    await app.post("/batches", {
      id: "b",
      tasks: Array.from({ length: 23 }, (_, i) => ({
        id: `t${String(i).padStart(2, "0")}`,
        prompt: "x",
      })),
    });
    for (const query of [
      "batchId=b&order=asc",
      "batchId=b",
      "order=asc",
      "sort=id",
      "status=pending",
    ]) {
      const byNumber: string[] = [];
      for (let page = 1; page <= 3; page++)
        byNumber.push(
          ...(await app.get(`/tasks?${query}&limit=10&page=${page}`)).body.data.tasks.map(
            ({ id }: { id: string }) => id,
          ),
        );
      const byCursor: string[] = [];
      let cursor: string | null = "";
      while (cursor !== null) {
        const { body } = await app.get(`/tasks?${query}&limit=10${cursor && `&cursor=${cursor}`}`);
        byCursor.push(...body.data.tasks.map(({ id }: { id: string }) => id));
        cursor = body.data.pagination.nextCursor;
      }
      expect(byCursor).toEqual(byNumber);
      expect(new Set(byCursor).size).toBe(23);
    }
    const deep = await app.get("/tasks?limit=100&page=102");
    expect([deep.status, deep.body.error.details.issues[0].path]).toEqual([400, "page"]);
    expect(deep.text).toContain("nextCursor");
    expect((await app.get("/tasks?limit=100&page=101")).status).toBe(200);
    const { body } = await app.get("/tasks?batchId=b&limit=10&page=3");
    expect(body.data.pagination).toEqual({
      page: 3,
      limit: 10,
      total: 23,
      totalPages: 3,
      nextCursor: null,
    });
    const foreign = (await app.get("/tasks?limit=1&sort=id")).body.data.pagination.nextCursor;
    expect((await app.get(`/tasks?cursor=${foreign}`)).status).toBe(400);
  });
});

describe("changing a task", () => {
  test("replaces the given fields, merges metadata, and keeps prompt and message in step", async () => {
    await using app = await startServer();
    await app.post("/tasks", {
      id: "t",
      prompt: "old",
      messages: [
        { role: "system", content: "s" },
        { role: "user", content: "old" },
      ],
      maxTokens: 5,
      metadata: { category: "creative", priority: "high" },
    });
    const { status, body } = await app.patch("/tasks/t", {
      prompt: "Updated prompt text",
      model: "gpt-4-turbo",
      temperature: 0.8,
      maxTokens: null,
      metadata: { priority: "urgent" },
      priority: "high",
    });
    expect(status).toBe(200);
    expect(body.data).toMatchObject({
      prompt: "Updated prompt text",
      messages: [
        { role: "system", content: "s" },
        { role: "user", content: "Updated prompt text" },
      ],
      model: "gpt-4-turbo",
      temperature: 0.8,
      maxTokens: null,
      metadata: { category: "creative", priority: "urgent" },
      priority: "high",
    });
  });

  test("a finished task whose request changes is pending again and keeps its executions", async () => {
    await using app = await startServer();
    await app.post("/tasks?execute=true", { id: "t", prompt: "x" }, { prefer: "wait=20" });
    const same = await app.patch("/tasks/t", { metadata: { seen: true } });
    expect(same.body.data.status).toBe("completed");
    const other = await app.patch("/tasks/t", { prompt: "y" });
    expect(other.body.data).toMatchObject({ status: "pending", result: null, completedAt: null });
    const { executions } = (await app.get("/tasks/t/executions")).body.data;
    expect(executions).toHaveLength(1);
    expect(executions[0].result.content).toContain("“x”");
    expect(await app.differences()).toEqual([]);
  });

  test("many concurrent changes are all applied", async () => {
    await using app = await startServer();
    await app.post("/tasks", { id: "t", prompt: "x" });
    await Promise.all(
      Array.from({ length: 8 }, (_, i) => app.patch("/tasks/t", { metadata: { [`k${i}`]: i } })),
    );
    const { metadata } = (await app.get("/tasks/t")).body.data;
    expect(Object.keys(metadata)).toHaveLength(8);
  });

  test("and keys, webhooks, schedules and batches keep what others change at the same time", async () => {
    await using app = await startServer();
    await app.post("/tasks", { id: "t", prompt: "x" });
    await app.post("/batches", { id: "b", tasks: [{ prompt: "x" }] });
    const inputFile = "in.csv";
    const made = await Promise.all([
      app.post("/api-keys", { name: "k" }),
      app.post("/webhooks", { url: "https://hooks.invalid", events: ["task.failed"] }),
      app.post("/scheduled-tasks", {
        name: "s",
        schedule: "0 0 1 1 *",
        timezone: "UTC",
        inputFile,
      }),
    ]);
    const [key, webhook, schedule] = made.map(({ body }) => body.data.id);
    const changes: [path: string, fields: Record<string, unknown>][] = [
      ["/tasks/t", { priority: "high", maxRetries: 1, timeoutMs: 5000, metadata: { a: 1 } }],
      ["/batches/b", { name: "n", description: "d" }],
      [`/api-keys/${key}`, { name: "n", rateLimitPerMinute: 5, monthlyBudgetUsd: 3 }],
      [`/webhooks/${webhook}`, { description: "d", isActive: false, events: ["batch.*"] }],
      [`/scheduled-tasks/${schedule}`, { name: "n", description: "d", isActive: false }],
    ];
    const answers = await Promise.all(
      changes.flatMap(([path, fields]) =>
        Object.entries(fields).map(([name, value]) => app.patch(path, { [name]: value })),
      ),
    );
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    for (const [path, fields] of changes)
      expect((await app.get(path)).body.data).toMatchObject(fields);
  });

  test("a running task is not changed", async () => {
    const held = gate();
    await using provider = await startProvider(async () => void (await held.opened));
    await using app = await startServer(provider.env);
    await app.post("/tasks?execute=true", { id: "t", prompt: "x" });
    await until(() => provider.requests.length > 0 || undefined);
    const answer = await app.patch("/tasks/t", { prompt: "y" });
    expect(answer.body.error.code).toBe("TASK_RUNNING");
    held.open();
    expect((await app.ended("t")).prompt).toBe("x");
  });
});

describe("executing a task", () => {
  test("answers as documented and runs it", async () => {
    await using app = await startServer();
    await app.post("/tasks", { id: "t", prompt: "x" });
    const { body } = await app.post("/tasks/t/execute");
    expect(body).toMatchObject({
      data: { executionId: "exec-000000001-1", status: "running" },
      message: "Task execution started",
    });
    expect(await app.ended("t")).toMatchObject({ status: "completed", attempts: 1 });
    const execution = await app.get(`/executions/${body.data.executionId}`);
    expect(execution.body.data).toMatchObject({
      taskId: "t",
      status: "completed",
      attempts: [{ attempt: 1, outcome: "completed" }],
    });
  });

  test("a finished task runs again as a new execution", async () => {
    await using provider = await startProvider();
    await using app = await startServer(provider.env);
    await app.post("/tasks?execute=true", { id: "t", prompt: "x" }, { prefer: "wait=20" });
    const again = await app.post("/tasks/t/execute", {}, { prefer: "wait=20" });
    expect(again.body.data).toMatchObject({
      status: "completed",
      executionId: "exec-000000001-2",
    });
    expect((await app.get("/tasks/t/executions")).body.data.executions).toHaveLength(2);
    expect(provider.requests).toHaveLength(2);
  });

  test("only one of many racing calls starts it", async () => {
    const held = gate();
    await using provider = await startProvider(async () => void (await held.opened));
    await using app = await startServer(provider.env);
    await app.post("/tasks", { id: "t", prompt: "x" });
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => app.post("/tasks/t/execute")),
    );
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    expect(answers.filter(({ body }) => body.error?.code === "TASK_RUNNING")).toHaveLength(9);
    held.open();
    await app.ended("t");
    expect(provider.requests).toHaveLength(1);
  });

  test("a dry run calls the simulator and says so", async () => {
    await using provider = await startProvider();
    await using app = await startServer(provider.env);
    await app.post("/tasks", { id: "t", prompt: "x" });
    const { body } = await app.post("/tasks/t/execute", { isDryRun: true }, { prefer: "wait=20" });
    expect(body.data).toMatchObject({ provider: "simulator", result: { isDryRun: true } });
    expect(provider.requests).toEqual([]);
  });

  test("Prefer: wait ends in time and returns the current state", async () => {
    const held = gate();
    await using provider = await startProvider(async () => void (await held.opened));
    await using app = await startServer(provider.env);
    await app.post("/tasks", { id: "t", prompt: "x" });
    const { body, headers } = await app.post("/tasks/t/execute", {}, { prefer: "wait=1" });
    expect(body.data.status).toBe("running");
    expect(headers.get("preference-applied")).toBeNull();
    held.open();
  });

  test("a Prefer: wait that is no whole number of seconds is ignored, without Preference-Applied", async () => {
    await using provider = await startProvider();
    await using app = await startServer(provider.env);
    const applied = async (prefer: string) => {
      const { status, headers } = await app.post(
        "/tasks?execute=true",
        { prompt: "x" },
        { prefer },
      );
      expect(status).toBe(201);
      return headers.get("preference-applied");
    };
    for (const prefer of ["wait=abc", "wait=1.5", "wait=5s", "wait=-3", "wait", "return=minimal"])
      expect([prefer, await applied(prefer)]).toEqual([prefer, null]);
    expect(await applied("return=minimal, wait=999999999")).toBe("wait=60");
  });
});

describe("cancelling and deleting", () => {
  test("cancels a pending task, and refuses a finished one", async () => {
    await using app = await startServer();
    await app.post("/tasks", { id: "t", prompt: "x" });
    const cancelled = await app.post("/tasks/t/cancel");
    expect(cancelled.body.data).toMatchObject({ status: "cancelled" });
    const again = await app.post("/tasks/t/cancel");
    expect(again.status).toBe(409);
    expect(again.body.error.code).toBe("TASK_FINISHED");
    expect(await app.differences()).toEqual([]);
  });

  test("cancelling a running task closes its connection and its late answer changes nothing", async () => {
    const held = gate();
    await using provider = await startProvider(async () => void (await held.opened));
    await using app = await startServer(provider.env);
    await app.post("/tasks?execute=true", { id: "t", prompt: "x" });
    await until(() => provider.state.open === 1 || undefined);
    const { body } = await app.post("/tasks/t/cancel");
    expect(body.data.status).toBe("cancelled");
    await until(() => provider.state.open === 0 || undefined);
    held.open();
    await Bun.sleep(50);
    expect((await app.get("/tasks/t")).body.data.status).toBe("cancelled");
    const [execution] = (await app.get("/tasks/t/executions")).body.data.executions;
    expect(execution).toMatchObject({ status: "cancelled", attempts: [{ outcome: "cancelled" }] });
    expect(await app.differences()).toEqual([]);
  });

  test("deletes a task with everything that belongs to it", async () => {
    await using app = await startServer();
    await app.post("/tasks?execute=true", { id: "t", prompt: "x" }, { prefer: "wait=20" });
    const { status, body } = await app.del("/tasks/t");
    expect(status).toBe(200);
    expect(body).toMatchObject({ success: true, message: "Task deleted successfully" });
    expect((await app.get("/tasks/t")).status).toBe(404);
    expect((await app.get("/executions/exec-000000001-1")).body.error.code).toBe(
      "EXECUTION_NOT_FOUND",
    );
    expect((await app.post("/tasks", { id: "t", prompt: "new" })).status).toBe(201);
    expect(await app.differences()).toEqual([]);
  });

  test("a running task is deleted only with force", async () => {
    await using provider = await startProvider(() => new Promise(() => {}));
    await using app = await startServer(provider.env);
    await app.post("/tasks?execute=true", { id: "t", prompt: "x" });
    await until(() => provider.state.open === 1 || undefined);
    expect((await app.del("/tasks/t")).body.error.code).toBe("TASK_RUNNING");
    expect((await app.del("/tasks/t?force=true")).status).toBe(200);
    await until(() => provider.state.open === 0 || undefined);
    expect((await app.get("/tasks/t")).status).toBe(404);
    expect(await app.differences()).toEqual([]);
  });
});
