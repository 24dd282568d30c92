import { describe, expect, test } from "bun:test";

import { chatAnswer, fail, gate, startProvider } from "../support/provider.ts";
import { type Json, startServer, until } from "../support/server.ts";

const wait = { prefer: "wait=20" };
const many = (count: number, fields: object = {}) =>
  Array.from({ length: count }, (_, i) => ({ prompt: `p${i}`, ...fields }));

describe("a provider that answers with Retry-After", () => {
  test("is called again at that time, and the wait is recorded but is not an attempt", async () => {
    const times: number[] = [];
    await using provider = await startProvider(({ earlier }, response) => {
      times.push(Date.now());
      return earlier < 2 ? fail(response, 429, {}, { "retry-after-ms": "250" }) : undefined;
    });
    await using app = await startServer({ ...provider.env, MAX_RETRIES: "0" });
    const { body } = await app.post("/tasks?execute=true", { id: "t", prompt: "x" }, wait);
    expect(body.data).toMatchObject({ status: "completed", attempts: 1 });
    const [execution] = (await app.get("/tasks/t/executions")).body.data.executions;
    expect(execution.attempts.map(({ outcome }: Json) => outcome)).toEqual([
      "throttled",
      "throttled",
      "completed",
    ]);
    expect((times[2] ?? 0) - (times[0] ?? 0)).toBeGreaterThanOrEqual(500);
    expect(await app.differences()).toEqual([]);
  });

  test("causes one start event per task, however often it postpones the task", async () => {
    await using provider = await startProvider(({ earlier }, response) =>
      earlier < 2 ? fail(response, 429, {}, { "retry-after-ms": "5" }) : undefined,
    );
    await using app = await startServer(provider.env);
    await app.post("/tasks?execute=true", { id: "t", prompt: "x" }, wait);
    const { rows } = await app.ctx.client.execute(
      "SELECT count(*) AS n FROM events WHERE type = 'task.started'",
    );
    expect(rows[0]?.["n"]).toBe(1);
  });

  test("lets waiting tasks hold nothing: no slot, no claim, no connection", async () => {
    await using provider = await startProvider(({ body }, response) =>
      body.model === "scarce" ? fail(response, 429, {}, { "retry-after": "60" }) : undefined,
    );
    await using app = await startServer({ ...provider.env, MAX_CONCURRENCY: "4" });
    await app.post("/batches", { id: "b", tasks: many(50, { model: "scarce" }) });
    await app.post("/batches/b/execute");
    await until(() => provider.requests.length > 0 || undefined);
    const { body } = await app.post("/tasks?execute=true", { prompt: "x", model: "free" }, wait);
    expect(body.data.status).toBe("completed");
    const scarce = () => provider.requests.filter((request) => request.body.model === "scarce");
    await until(async () => {
      const { progress } = (await app.get("/batches/b")).body.data;
      return (progress.running === 0 && progress.pending === 50) || undefined;
    });
    expect(scarce().length).toBeLessThanOrEqual(4);
    expect(provider.state.open).toBe(0);
  });

  test("does not slow another model of the same batch down", async () => {
    await using provider = await startProvider(({ body }, response) =>
      body.model === "scarce" ? fail(response, 429, {}, { "retry-after": "60" }) : undefined,
    );
    await using app = await startServer(provider.env);
    const tasks = Array.from({ length: 3000 }, (_, i) => ({
      prompt: `p${i}`,
      model: i % 2 === 0 ? "scarce" : "free",
    }));
    await app.post("/batches", { id: "b", tasks });
    await app.post("/batches/b/execute");
    await until(async () => {
      const { progress } = (await app.get("/batches/b")).body.data;
      return progress.completed === 1500 || undefined;
    });
  });
});

test("a model that must wait does not fill the queue while another is fed, and gets its turn later", async () => {
  const end = gate();
  await using provider = await startProvider(async ({ body }) => {
    if (body.model === "scarce") await end.opened;
  });
  await using app = await startServer(provider.env);
  const tasks = Array.from({ length: 8000 }, (_, i) => ({
    prompt: `p${i}`,
    model: i % 2 === 0 ? "scarce" : "free",
  }));
  await app.post("/batches", { id: "b", tasks });
  await app.post("/batches/b/execute");
  let longest = 0;
  await until(async () => {
    const { rows } = await app.ctx.client.execute(
      "SELECT count(*) AS n FROM queue WHERE model = 'scarce'",
    );
    longest = Math.max(longest, Number(rows[0]?.["n"]));
    const { progress } = (await app.get("/batches/b?limit=1")).body.data;
    return progress.completed === 4000 || undefined;
  });
  expect(longest).toBeLessThan(3500);
  end.open();
  expect(
    await until(async () => {
      const { data } = (await app.get("/batches/b?limit=1")).body;
      return data.status === "completed" ? data : undefined;
    }),
  ).toMatchObject({ progress: { completed: 8000 } });
  expect(await app.differences()).toEqual([]);
});

describe("a provider without capacity", () => {
  test.each([
    ["Groq's 498", 498, {}],
    ["Anthropic's 529", 529, {}],
    ["a 429 that names it", 429, { code: "NoCapacity", message: "no capacity" }],
    ["a 503 of an overloaded model", 503, { message: "The model is overloaded" }],
    ["LM Studio, of which a model must be loaded,", 404, { message: "No models loaded. Please" }],
  ] as const)("is waited for, and %s teaches no rate", async (_who, status, error) => {
    const headers = { "retry-after-ms": "5" };
    await using provider = await startProvider(({ earlier }, response) =>
      earlier < 3 ? fail(response, status, error, headers) : undefined,
    );
    await using app = await startServer({ ...provider.env, MAX_RETRIES: "0" });
    await app.post("/batches", { id: "b", tasks: many(12) });
    await app.post("/batches/b/execute");
    expect((await app.finished("b")).progress).toMatchObject({ completed: 12, failed: 0 });
    // None of the waits was an attempt.
    const { executions } = (await app.get("/tasks/b-1/executions")).body.data;
    expect(executions[0].attempts.map(({ outcome }: Json) => outcome)).toEqual([
      "throttled",
      "throttled",
      "throttled",
      "completed",
    ]);
    const { details } = (await app.get("/status/services/openai")).body.data;
    expect(details.providers[0].pacers).toMatchObject([
      { requests: { source: "open" }, tokens: { source: "open" } },
    ]);
  });

  test("unlike one that refuses for the rate, which it learns", async () => {
    await using provider = await startProvider(({ earlier }, response) =>
      earlier < 1 ? fail(response, 429, {}, { "retry-after-ms": "5" }) : undefined,
    );
    await using app = await startServer(provider.env);
    await app.post("/batches", { id: "b", tasks: many(12) });
    await app.post("/batches/b/execute");
    const source = await until(async () => {
      const { details } = (await app.get("/status/services/openai")).body.data;
      const [pacer] = details.providers[0].pacers;
      return pacer && pacer.requests.source !== "open" ? pacer.requests.source : undefined;
    });
    expect(source).toBe("learned");
  });
});

describe("a batch whose calls the provider refuses permanently", () => {
  test.each([
    [429, { code: "insufficient_quota" }, "provider_quota_exceeded", "provider.quota_exceeded"],
    [401, { code: "invalid_api_key" }, "provider_unauthorized", "provider.unauthorized"],
  ] as const)(
    "is paused by a %i with %p, says so, and goes on when resumed",
    async (status, error, code, alert) => {
      let isRefusing = true;
      await using provider = await startProvider((_request, response) =>
        isRefusing ? fail(response, status, error) : undefined,
      );
      await using app = await startServer({ ...provider.env, MAX_CONCURRENCY: "4" });
      await app.post("/batches", { id: "b", tasks: many(50) });
      await app.post("/batches/b/execute");
      const paused = await until(async () => {
        const { data } = (await app.get("/batches/b")).body;
        return data.status === "paused" && data.progress.running === 0 ? data : undefined;
      });
      expect(paused).toMatchObject({
        pauseReason: { code, message: expect.any(String) },
        waiting: { reason: code, until: null },
        progress: { total: 50, pending: 50, failed: 0 },
      });
      const { rows } = await app.ctx.client.execute(
        "SELECT type, data FROM events WHERE type IN ('system.alert', 'batch.paused') ORDER BY id",
      );
      expect(rows.map(({ type }) => type)).toEqual(["batch.paused", "system.alert"]);
      expect(JSON.parse(String(rows[1]?.["data"]))).toMatchObject({
        code: alert,
        status: "raised",
      });

      isRefusing = false;
      await app.post("/batches/b/resume");
      expect(await app.finished("b")).toMatchObject({ progress: { completed: 50, failed: 0 } });
      await until(async () => {
        const open = await app.ctx.client.execute("SELECT code FROM alerts");
        return open.rows.length === 0 || undefined;
      });
      expect(await app.differences()).toEqual([]);
    },
  );

  test("but a single task fails, because a client waits for it", async () => {
    await using provider = await startProvider((_request, response) => fail(response, 401));
    await using app = await startServer(provider.env);
    const { body } = await app.post("/tasks?execute=true", { prompt: "x" }, wait);
    expect(body.data).toMatchObject({
      status: "failed",
      error: { code: "PROVIDER_UNAUTHORIZED" },
    });
  });
});

test("a batch shows that it waits for the provider's limits, until when, and when it should end", async () => {
  await using provider = await startProvider();
  await using app = await startServer({ ...provider.env, PROVIDER_RPM: "30" });
  await app.post("/batches", { id: "b", tasks: many(30) });
  await app.post("/batches/b/execute");
  const batch = await until(async () => {
    const { data } = (await app.get("/batches/b")).body;
    return data.waiting && data.estimatedCompletionAt ? data : undefined;
  });
  expect(batch.waiting.reason).toBe("rate_limit");
  expect(Date.parse(batch.waiting.until) - Date.now()).toBeLessThan(5000);
  expect(Date.parse(batch.estimatedCompletionAt)).toBeGreaterThan(Date.now());
});

describe("limits", () => {
  test("that are configured apply to batches and single tasks of the model together", async () => {
    await using provider = await startProvider();
    await using app = await startServer({ ...provider.env, PROVIDER_RPM: "20" });
    await app.post("/batches", { id: "b", tasks: many(30) });
    await app.post("/batches/b/execute");
    await until(() => provider.requests.length > 2 || undefined);
    for (let i = 0; i < 10; i++) await app.post("/tasks?execute=true", { prompt: `single ${i}` });
    await Bun.sleep(1500);
    // A second and a half is worth half a request; twice that, and what a bucket starts with.
    expect(provider.requests.length).toBeLessThanOrEqual(6);
  });

  test("from answers are kept from the next call on", async () => {
    await using provider = await startProvider((request, response) => {
      response.writeHead(200, {
        "content-type": "application/json",
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": String(Math.max(0, 4 - provider.requests.length)),
        "x-ratelimit-reset-requests": "57s",
      });
      response.end(JSON.stringify(chatAnswer(request)));
      return null;
    });
    await using app = await startServer(provider.env);
    await app.post("/tasks?execute=true", { prompt: "first" }, wait);
    await app.post("/batches", { id: "b", tasks: many(50) });
    await app.post("/batches/b/execute");
    await Bun.sleep(600);
    expect(provider.requests.length).toBeLessThanOrEqual(5);
    expect(provider.requests.length).toBeGreaterThanOrEqual(2);
  });

  test("of tokens hold back calls that would exceed them, counted by a tokenizer", async () => {
    await using provider = await startProvider((request) => ({
      ...chatAnswer(request),
      usage: { prompt_tokens: 410, completion_tokens: 5, total_tokens: 415 },
    }));
    await using app = await startServer({ ...provider.env, PROVIDER_TPM: "6000" });
    const prompt = "word ".repeat(400);
    await app.post("/batches", {
      id: "b",
      tasks: many(20, {}).map((_, i) => ({ prompt: `${i} ${prompt}`, maxTokens: 10 })),
    });
    await app.post("/batches/b/execute");
    await Bun.sleep(1200);
    expect(provider.requests.length).toBeGreaterThanOrEqual(1);
    expect(provider.requests.length).toBeLessThanOrEqual(3);
  });

  test("of tokens do not delay a single task that fits into them", async () => {
    await using provider = await startProvider();
    await using app = await startServer({ ...provider.env, PROVIDER_TPM: "1000000" });
    const begun = Date.now();
    for (let i = 0; i < 10; i++) {
      const { body } = await app.post("/tasks?execute=true", { prompt: `p${i}` }, wait);
      expect(body.data.status).toBe("completed");
    }
    // Before, each waited for the dispatcher's next look at the database, every two seconds.
    expect(Date.now() - begun).toBeLessThan(4000);
  });
});
