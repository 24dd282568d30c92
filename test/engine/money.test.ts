import { describe, expect, test } from "bun:test";

import { takeFrom } from "../../src/store/take.ts";
import { chatAnswer, fail, gate, startProvider } from "../support/provider.ts";
import { client, type Json, startServer, until } from "../support/server.ts";

/** A dollar at the price of gpt-4, and a little more. */
const DOLLAR = { prompt_tokens: 33_334, completion_tokens: 0, total_tokens: 33_334 };

const many = (count: number, fields: object = {}) =>
  Array.from({ length: count }, (_, i) => ({ prompt: `p${i}`, ...fields }));

type App = Awaited<ReturnType<typeof startServer>>;

const dear = async (request: Parameters<typeof chatAnswer>[0]) => ({
  ...chatAnswer(request),
  usage: DOLLAR,
});

async function givenKey(app: App, fields: object = {}) {
  const { id, key } = (await app.post("/api-keys", { name: "k", scopes: ["write"], ...fields }))
    .body.data;
  const spent = async () => (await app.get(`/api-keys/${id}`)).body.data.usage.month.costUsd;
  return { id: String(id), ...client(app.url, key), spent };
}

const paused = (app: App, id: string) =>
  until<Json>(async () => {
    const { data } = (await app.get(`/batches/${id}`)).body;
    return data.status === "paused" && data.progress.running === 0 ? data : undefined;
  });

test("a claim of rows as a dry run gets none if the batch is not a dry run any more", async () => {
  const held = gate();
  await using provider = await startProvider(async (request) => {
    await held.opened;
    return chatAnswer(request);
  });
  await using app = await startServer({ ...provider.env, MAX_CONCURRENCY: "2" });
  await app.post("/batches", { id: "b", tasks: many(4), config: { model: "gpt-4" } });
  await app.post("/batches/b/execute");
  await until(() => provider.requests.length > 0 || undefined);
  const [batch] = (await app.ctx.client.execute("SELECT seq FROM batches WHERE id = 'b'")).rows;
  const lane = { lane: Number(batch?.["seq"]), model: "gpt-4", limit: 9, isLimited: true };
  const taken = async (price: "dryRun" | "free") => {
    const claim = takeFrom({ ...lane, price, byAge: false }, 99, 1, Date.now());
    await app.ctx.writer.write({ claim });
    return (await app.ctx.client.execute("SELECT task FROM queue WHERE owner = 99")).rows.length;
  };
  expect(await taken("dryRun")).toBe(0);
  expect(await taken("free")).toBeGreaterThan(0);
  held.open();
});

describe("a cap", () => {
  test("holds even if the first call fails and its cost is unknown", async () => {
    await using provider = await startProvider((request, response) =>
      request.prompt === "p0" ? fail(response, 400) : dear(request),
    );
    await using app = await startServer({ ...provider.env, MAX_CONCURRENCY: "200" });
    await app.post("/batches", {
      id: "b",
      tasks: many(300),
      config: { model: "gpt-4", maxCostUsd: 3.5 },
    });
    await app.post("/batches/b/execute");
    const batch = await paused(app, "b");
    expect(batch.pauseReason.code).toBe("max_cost_reached");
    expect(provider.requests.length).toBe(4);
    expect(batch.costUsd).toBeLessThanOrEqual(3.5);
    expect(await app.differences()).toEqual([]);
  });

  test("also holds for tasks of the batch that are executed one by one", async () => {
    await using provider = await startProvider(dear);
    await using app = await startServer({ ...provider.env, MAX_CONCURRENCY: "200" });
    const tasks = Array.from({ length: 40 }, (_, i) => ({ id: `t${i}`, prompt: `p${i}` }));
    await app.post("/batches", { id: "b", tasks, config: { model: "gpt-4", maxCostUsd: 3.5 } });
    const answers = await Promise.all(tasks.map(({ id }) => app.post(`/tasks/${id}/execute`)));
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    const cost = async () => (await app.get("/batches/b")).body.data.costUsd;
    await until(async () => (await cost()) > 3 || undefined);
    await app.post("/tasks?execute=true", { id: "last", prompt: "x", model: "gpt-4" });
    await app.ended("last");
    expect(provider.requests).toHaveLength(3 + 1);
    const refused = await app.post("/tasks/t39/cancel").then(() => app.post("/tasks/t39/execute"));
    expect([refused.status, refused.body.error.code]).toEqual([429, "QUOTA_EXCEEDED"]);

    await app.patch("/batches/b", { maxCostUsd: null });
    for (const { id } of tasks.slice(0, 39))
      expect(await app.ended(id)).toMatchObject({ status: "completed" });
    expect(await app.differences()).toEqual([]);
  });

  test("holds when long requests follow short ones, which say nothing of their cost", async () => {
    const isLong = ({ prompt }: { prompt: string }) => prompt.length > 1000;
    await using provider = await startProvider((request) =>
      isLong(request) ? dear(request) : undefined,
    );
    await using app = await startServer({ ...provider.env, MAX_CONCURRENCY: "100" });
    const long = many(50).map(({ prompt }) => ({ prompt: `${prompt} ${"word ".repeat(2000)}` }));
    await app.post("/batches", {
      id: "b",
      tasks: [...many(50), ...long],
      config: { model: "gpt-4", maxCostUsd: 3.5 },
    });
    await app.post("/batches/b/execute");
    const batch = await paused(app, "b");
    expect(batch.pauseReason.code).toBe("max_cost_reached");
    expect(provider.requests.filter(isLong)).toHaveLength(3);
    expect(batch.costUsd).toBeLessThanOrEqual(3.5);
  });

  test("counts the costs of failed attempts", async () => {
    await using provider = await startProvider(async (request) => {
      const { choices, ...answer } = await dear(request);
      return {
        ...answer,
        choices: [{ ...choices[0], message: { role: "assistant", content: "" } }],
      };
    });
    await using app = await startServer({ ...provider.env, RETRY_BASE_MS: "1" });
    const key = await givenKey(app);
    await key.post("/batches", {
      id: "b",
      tasks: many(10),
      config: { model: "gpt-4", maxCostUsd: 3.5, maxRetries: 20 },
    });
    await key.post("/batches/b/execute");
    const batch = await paused(app, "b");
    expect(provider.requests).toHaveLength(3);
    expect(batch.costUsd).toBeCloseTo(3, 3);
    expect(await key.spent()).toBeCloseTo(3, 3);
  });

  test("counts them in the usage of the task, its batch and its key, as in the cost", async () => {
    const usage = (prompt: number, completion: number) => ({
      prompt_tokens: prompt,
      completion_tokens: completion,
      total_tokens: prompt + completion,
      prompt_tokens_details: { cached_tokens: 1 },
      completion_tokens_details: { reasoning_tokens: 2 },
    });
    await using provider = await startProvider((request) => {
      const { choices, ...answer } = chatAnswer(request);
      if (provider.requests.length > 1) return { ...answer, choices, usage: usage(100, 30) };
      const message = { role: "assistant", content: "" };
      return { ...answer, choices: [{ ...choices[0], message }], usage: usage(100, 7) };
    });
    await using app = await startServer({ ...provider.env, RETRY_BASE_MS: "1" });
    const key = await givenKey(app);
    const tasks = [{ id: "t", prompt: "x" }];
    await key.post("/batches", { id: "b", tasks, config: { model: "gpt-4" } });
    await key.post("/batches/b/execute", undefined, { prefer: "wait=20" });
    const { result, attempts } = (await key.get("/tasks/t")).body.data;
    const costUsd = (200 * 30 + 37 * 60) / 1e6;
    expect(attempts).toBe(2);
    expect(result.usage).toEqual({
      promptTokens: 200,
      completionTokens: 37,
      totalTokens: 237,
      cachedTokens: 2,
      reasoningTokens: 4,
    });
    expect(result.costUsd).toBeCloseTo(costUsd, 9);
    const batch = (await key.get("/batches/b")).body.data;
    expect(batch.usage).toMatchObject({ promptTokens: 200, completionTokens: 37 });
    expect(batch.costUsd).toBeCloseTo(costUsd, 9);
    const { month } = (await app.get(`/api-keys/${key.id}`)).body.data.usage;
    expect(month).toMatchObject({ promptTokens: 200, completionTokens: 37 });
    expect(month.costUsd).toBeCloseTo(costUsd, 9);
    const { text } = await key.get("/batches/b/results?format=jsonl");
    expect(JSON.parse(text.trim()).usage).toMatchObject({ promptTokens: 200 });
  });

  test("does not apply to free answers of the built-in provider", async () => {
    await using app = await startServer();
    await app.post("/batches", {
      id: "b",
      tasks: many(20),
      config: { model: "priceless", maxCostUsd: 0.000001 },
    });
    await app.post("/batches/b/execute");
    expect(await app.finished("b")).toMatchObject({ progress: { completed: 20 }, costUsd: 0 });
  });

  test("is not used up by the dry run before", async () => {
    await using provider = await startProvider();
    await using app = await startServer(provider.env);
    await app.post("/batches", {
      id: "b",
      tasks: many(5),
      config: { model: "gpt-4", maxCostUsd: 0.003 },
    });
    await app.post("/batches/b/execute", { isDryRun: true });
    expect((await app.finished("b")).costUsd).toBeGreaterThan(0.003);
    await app.post("/batches/b/execute");
    const batch = await app.finished("b");
    expect(batch).toMatchObject({ progress: { completed: 5 } });
    expect(batch.costUsd).toBeCloseTo(0.003, 9);
  });
});

describe("a key's budget", () => {
  test("accounts for the calls in flight", async () => {
    await using provider = await startProvider(dear);
    await using app = await startServer({ ...provider.env, MAX_CONCURRENCY: "200" });
    const key = await givenKey(app, { monthlyBudgetUsd: 3.5 });
    await key.post("/batches", { id: "b", tasks: many(300), config: { model: "gpt-4" } });
    await key.post("/batches/b/execute");
    expect((await paused(app, "b")).pauseReason.code).toBe("budget_exceeded");
    // A key's calls differ in cost, so the last one may cost more than the rest of the budget.
    expect(provider.requests).toHaveLength(4);
  });

  test("holds when a model is called that is more expensive than all before", async () => {
    const isDear = ({ body }: { body: Json }) => body.model === "gpt-4";
    await using provider = await startProvider((request) =>
      isDear(request) ? dear(request) : undefined,
    );
    await using app = await startServer({ ...provider.env, MAX_CONCURRENCY: "100" });
    const key = await givenKey(app, { monthlyBudgetUsd: 3.5 });
    await key.post("/batches", { id: "b", tasks: many(50), config: { model: "gpt-4o-mini" } });
    await key.post("/batches/b/execute");
    await app.finished("b");
    await Promise.all(
      many(50, { model: "gpt-4" }).map((task) => key.post("/tasks?execute=true", task)),
    );
    await until(async () => (await key.spent()) > 3.5 || undefined);
    // As above, one call may cost more than is left.
    expect(provider.requests.filter(isDear)).toHaveLength(4);

    await app.patch(`/api-keys/${key.id}`, { monthlyBudgetUsd: null });
    const other = await givenKey(app, { monthlyBudgetUsd: 3.5 });
    const call = (model: string) =>
      other.post(`${app.url}/v1/chat/completions`, {
        model,
        max_tokens: 17_000,
        messages: [{ role: "user", content: "live" }],
      });
    for (let i = 0; i < 5; i++) expect((await call("gpt-4o-mini")).status).toBe(200);
    await until(async () => (await other.spent()) > 0 || undefined);
    const live = await Promise.all(many(50).map(() => call("gpt-4")));
    expect(live.filter(({ status }) => status === 200)).toHaveLength(4);
    expect(await other.spent()).toBeLessThan(4.1);
  });

  test("that is set while calls are in flight leaves room for them", async () => {
    const [early, late] = [gate(), gate()];
    await using provider = await startProvider(async (request) => {
      await (provider.requests.length <= 4 ? early.opened : late.opened);
      return dear(request);
    });
    await using app = await startServer({ ...provider.env, MAX_CONCURRENCY: "20" });
    const key = await givenKey(app);
    const tasks = many(4, { model: "gpt-4" });
    await Promise.all(tasks.map((task) => key.post("/tasks?execute=true", task)));
    await until(() => provider.requests.length === 4 || undefined);
    await app.patch(`/api-keys/${key.id}`, { monthlyBudgetUsd: 5.5 });
    late.open();
    await Promise.all(
      many(10, { model: "gpt-4" }).map((task) => key.post("/tasks?execute=true", task)),
    );
    await app.post("/tasks?execute=true", { id: "other", prompt: "x" });
    await app.ended("other");
    expect(provider.requests).toHaveLength(4 + 1);
    early.open();
    await until(async () => (await key.spent()) > 5.5 || undefined);
    expect(provider.requests).toHaveLength(6 + 1);
  });

  test("that is spent pauses every batch of the key, and resume says why it is refused", async () => {
    const opened = gate();
    await using provider = await startProvider(async (request) => {
      if (request.prompt === "p0") await opened.opened;
      return dear(request);
    });
    await using app = await startServer(provider.env);
    const key = await givenKey(app, { monthlyBudgetUsd: 0.5 });
    for (const id of ["a", "b"]) {
      await key.post("/batches", { id, tasks: many(5), config: { model: "gpt-4" } });
      await key.post(`/batches/${id}/execute`);
    }
    opened.open();
    for (const id of ["a", "b"])
      expect((await paused(app, id)).pauseReason.code).toBe("budget_exceeded");
    expect(provider.requests).toHaveLength(1);
    const refused = await app.post("/batches/b/resume");
    expect([refused.status, refused.body.error.code]).toEqual([429, "QUOTA_EXCEEDED"]);
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);

    await app.patch(`/api-keys/${key.id}`, { monthlyBudgetUsd: 100 });
    for (const id of ["a", "b"]) {
      expect((await app.post(`/batches/${id}/resume`)).status).toBe(200);
      expect(await app.finished(id)).toMatchObject({ progress: { completed: 5 } });
    }
  });

  test("that is lowered below the spending pauses a batch without calls in flight", async () => {
    await using provider = await startProvider(dear);
    await using app = await startServer({ ...provider.env, PROVIDER_RPM: "1" });
    const key = await givenKey(app, { monthlyBudgetUsd: 100 });
    await key.post("/batches", { id: "b", tasks: many(5), config: { model: "gpt-4" } });
    await key.post("/batches/b/execute");
    await until(async () => (await key.spent()) > 1 || undefined);
    await app.patch(`/api-keys/${key.id}`, { monthlyBudgetUsd: 1 });
    expect((await app.get("/batches/b")).body.data).toMatchObject({
      status: "paused",
      pauseReason: { code: "budget_exceeded" },
    });
  });

  test("is not charged if another key executes or retries its tasks; that key's budget is", async () => {
    await using provider = await startProvider((request, response) =>
      request.prompt === "once" && request.earlier === 0 ? fail(response, 400) : dear(request),
    );
    await using app = await startServer(provider.env);
    const owner = await givenKey(app, { monthlyBudgetUsd: 2 });
    const other = await givenKey(app);
    await owner.post("/tasks", { id: "t", prompt: "x", model: "gpt-4" });
    await owner.post("/batches", { id: "b", tasks: many(5), config: { model: "gpt-4" } });
    for (let i = 0; i < 5; i++)
      expect((await other.post("/tasks/t/execute", undefined, { prefer: "wait=20" })).status).toBe(
        200,
      );
    await other.post("/batches/b/execute");
    expect(await app.finished("b")).toMatchObject({ progress: { completed: 5 } });
    expect(await owner.spent()).toBe(0);
    expect(await other.spent()).toBeCloseTo(10, 3);
    const { byKey } = (await app.get("/metrics/tasks?period=hour")).body.data;
    expect(byKey.find(({ keyId }: Json) => keyId === other.id).completed).toBe(10);

    const rich = await givenKey(app);
    await rich.post("/batches", {
      id: "c",
      tasks: [{ prompt: "once" }],
      config: { model: "gpt-4" },
    });
    await rich.post("/batches/c/execute");
    await app.finished("c");
    await other.post("/batches/c/retry");
    await until(async () => (await other.spent()) > 10.5 || undefined);
    expect(await rich.spent()).toBe(0);
  });

  test("that has no room at present delays no other key, however many tasks are queued for it", async () => {
    const opened = gate();
    const crowded = gate();
    await using provider = await startProvider(async (request) => {
      if (provider.state.open >= 6) crowded.open();
      await (request.prompt === "other" ? crowded.opened : opened.opened);
      return chatAnswer(request);
    });
    await using app = await startServer({ ...provider.env, MAX_CONCURRENCY: "8" });
    const poor = await givenKey(app, { monthlyBudgetUsd: 100 });
    await Promise.all(
      many(200, { model: "gpt-4" }).map((task) => poor.post("/tasks?execute=true", task)),
    );
    await until(async () => provider.requests.length > 0 || undefined);
    await app.post("/batches", { id: "b", tasks: many(100).map(() => ({ prompt: "other" })) });
    await app.post("/batches/b/execute");
    await app.post("/tasks?execute=true", { id: "t", prompt: "other", model: "gpt-4" });
    expect(await app.ended("t")).toMatchObject({ status: "completed" });
    expect(await app.finished("b")).toMatchObject({ progress: { completed: 100 } });
    expect(provider.requests.filter(({ prompt }) => prompt !== "other")).toHaveLength(1);
    opened.open();
  });

  test("refuses a task whose price is not known, and holds one that was queued before", async () => {
    await using provider = await startProvider();
    await using app = await startServer(provider.env);
    const key = await givenKey(app, { monthlyBudgetUsd: 1 });
    const refused = await key.post("/tasks?execute=true", { prompt: "x", model: "priceless" });
    expect([refused.status, refused.body.error.code]).toEqual([429, "QUOTA_EXCEEDED"]);
    expect(refused.body.error.message).toContain("PRICES_FILE");
    expect((await key.post("/tasks", { id: "t", prompt: "x", model: "priceless" })).status).toBe(
      201,
    );
    expect((await key.post("/tasks/t/execute")).status).toBe(429);
    expect((await key.post("/tasks/t/execute", { isDryRun: true })).status).toBe(200);
    await key.post("/batches", { id: "b", tasks: many(3), config: { model: "priceless" } });
    await key.post("/batches/b/execute");
    expect((await paused(app, "b")).pauseReason.code).toBe("price_unknown");
    expect(provider.requests).toEqual([]);
  });
});

describe("an answer without usage", () => {
  const text = "word ".repeat(400);
  const unmetered = (request: Parameters<typeof chatAnswer>[0]) => {
    const { usage: _, ...answer } = chatAnswer(request);
    return answer;
  };

  test("is counted, priced, and marked as an estimate", async () => {
    await using provider = await startProvider(unmetered);
    await using app = await startServer(provider.env);
    const tasks = [{ id: "t", prompt: text, model: "gpt-4" }];
    await app.post("/batches", { id: "b", tasks });
    await app.post("/batches/b/execute");
    await app.finished("b");
    const { result, executionId } = (await app.get("/tasks/t")).body.data;
    const { promptTokens, completionTokens, estimated } = result.usage;
    expect(estimated).toBe(true);
    expect(promptTokens).toBeGreaterThan(380);
    expect(promptTokens).toBeLessThan(450);
    expect(completionTokens).toBeGreaterThan(380);
    expect(result.costUsd).toBeCloseTo((promptTokens * 30 + completionTokens * 60) / 1e6, 9);
    const execution = (await app.get(`/executions/${executionId}`)).body.data;
    expect(execution.result.usage).toEqual(result.usage);
    const [row] = (await app.get("/batches/b/results?format=json")).body;
    expect(row.usage).toEqual({ promptTokens, completionTokens, estimated: true });
  });

  test("counts towards the cap", async () => {
    await using provider = await startProvider(unmetered);
    await using app = await startServer(provider.env);
    await app.post("/batches", {
      id: "b",
      tasks: Array.from({ length: 50 }, (_, i) => ({ prompt: `${i} ${text}` })),
      config: { model: "gpt-4", maxCostUsd: 0.4 },
    });
    await app.post("/batches/b/execute");
    const { costUsd } = await paused(app, "b");
    expect(costUsd).toBeGreaterThan(0.3);
    expect(costUsd).toBeLessThanOrEqual(0.4);
  });

  test("with absurd numbers of tokens is counted like one without usage", async () => {
    await using provider = await startProvider((request) => ({
      ...chatAnswer(request),
      usage: { prompt_tokens: 1e308, completion_tokens: 1e308, total_tokens: 1e308 },
    }));
    await using app = await startServer(provider.env);
    await app.post("/tasks?execute=true", { id: "t", prompt: "x", model: "gpt-4" });
    const { status, result } = await app.ended("t");
    expect(status).toBe("completed");
    expect(result.usage.estimated).toBe(true);
    expect(result.costUsd).toBeLessThan(0.01);
  });
});
