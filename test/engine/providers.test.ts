import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { temporaryFolder } from "../support/process.ts";
import { type Behaviour, fail, gate, hang, startProvider } from "../support/provider.ts";
import { type Json, startServer, until } from "../support/server.ts";

const wait = { prefer: "wait=20" };
const many = (count: number, fields: object = {}) =>
  Array.from({ length: count }, (_, i) => ({ prompt: `p${i}`, ...fields }));

/** Two providers and a server that knows them from a file: `one` takes `one-*`, `two` takes `two-*`. */
async function givenTwo(
  behave: { one?: Behaviour; two?: Behaviour },
  more: { one?: object; two?: object; file?: object; env?: Record<string, string> } = {},
) {
  const folder = temporaryFolder();
  const one = await startProvider(behave.one);
  const two = await startProvider(behave.two);
  const path = join(folder.path, "providers.json");
  const file = {
    providers: [
      { name: "one", baseUrl: one.url, models: ["one-*"], ...more.one },
      { name: "two", baseUrl: two.url, models: ["two-*"], ...more.two },
    ],
    ...more.file,
  };
  writeFileSync(path, JSON.stringify(file));
  const app = await startServer({ PROVIDERS_FILE: path, DEFAULT_MODEL: "one-a", ...more.env });
  return {
    one,
    two,
    app,
    async [Symbol.asyncDispose]() {
      await app[Symbol.asyncDispose]();
      await one[Symbol.asyncDispose]();
      await two[Symbol.asyncDispose]();
      folder[Symbol.dispose]();
    },
  };
}

const FALLBACK = { file: { fallbacks: { "one-a": ["two-b"] } } };
const down: Behaviour = (_request, response) => void response.socket?.destroy();

describe("with several providers", () => {
  test("each task goes to the provider of its model, with that provider's key, headers and prices", async () => {
    await using world = await givenTwo(
      {},
      {
        one: { apiKeyEnv: "KEY_ONE", headers: { "X-Team": "red" } },
        two: { apiKeyEnv: "KEY_TWO", prices: { "two-*": { input: 1, output: 2 } } },
        env: { KEY_ONE: "key-of-one", KEY_TWO: "key-of-two" },
      },
    );
    const { one, two, app } = world;
    const tasks = [...many(20, { model: "one-a" }), ...many(20, { model: "two-b" })];
    await app.post("/batches", { id: "b", tasks });
    await app.post("/batches/b/execute");
    expect((await app.finished("b")).progress).toMatchObject({ completed: 40 });
    expect([one.requests.length, two.requests.length]).toEqual([20, 20]);
    expect(one.requests[0]?.headers).toMatchObject({
      authorization: "Bearer key-of-one",
      "x-team": "red",
    });
    expect(two.requests[0]?.headers.authorization).toBe("Bearer key-of-two");
    const { body } = await app.post("/tasks?execute=true", { prompt: "x", model: "two-b" }, wait);
    expect(body.data).toMatchObject({
      provider: "two",
      result: { costUsd: (10 * 1 + 5 * 2) / 1e6 },
    });
    const unpriced = await app.post("/tasks?execute=true", { prompt: "x", model: "one-a" }, wait);
    expect(unpriced.body.data.result.costUsd).toBeNull();
  });

  test("a model without a provider is refused for a task, a batch and a row", async () => {
    await using world = await givenTwo({});
    const { app } = world;
    const task = await app.post("/tasks", { prompt: "x", model: "three" });
    expect([task.status, task.body.error.code]).toEqual([400, "MODEL_NOT_SUPPORTED"]);
    expect(task.body.error.message).toContain("no provider of PROVIDERS_FILE takes it");
    const batch = await app.post("/batches", { tasks: [{ prompt: "x", model: "three" }] });
    expect(batch.status).toBe(400);
  });

  test("no provider gets more calls than its maxConcurrency, however many go to others", async () => {
    const opened = gate();
    const behave: Behaviour = async () => void (await opened.opened);
    await using world = await givenTwo({ one: behave }, { one: { maxConcurrency: 3 } });
    const { one, two, app } = world;
    const tasks = [...many(30, { model: "one-a" }), ...many(30, { model: "two-b" })];
    await app.post("/batches", { id: "b", tasks });
    await app.post("/batches/b/execute");
    await until(() => (two.requests.length === 30 && one.state.open === 3) || undefined);
    opened.open();
    await app.finished("b");
    expect(one.state.mostOpen).toBe(3);
  });

  test("the limits of each model are kept, and a throttled provider does not slow the other", async () => {
    await using world = await givenTwo({}, { one: { limits: { "one-*": { rpm: 60 } } } });
    const { one, two, app } = world;
    const tasks = [...many(300, { model: "one-a" }), ...many(300, { model: "two-b" })];
    await app.post("/batches", { id: "b", tasks });
    await app.post("/batches/b/execute");
    await until(() => two.requests.length === 300 || undefined);
    expect(one.requests.length).toBeLessThan(60);
    expect((await app.get("/batches/b")).body.data.waiting).toMatchObject({ reason: "rate_limit" });
  });

  test("the status shows each provider's models, their limits, and why it gets no calls", async () => {
    await using world = await givenTwo({}, { two: { limits: { "*": { rpm: 600, tpm: 90_000 } } } });
    const { app } = world;
    await app.post("/tasks?execute=true", { prompt: "x", model: "two-b" }, wait);
    const { details } = (await app.get("/status/services/openai")).body.data;
    expect(details.provider).toBe("one");
    expect(details.providers.map(({ provider }: Json) => provider)).toEqual(["one", "two"]);
    expect(details.providers[1]).toMatchObject({ breaker: "closed", openUntil: null, keysOut: 0 });
    expect(details.providers[1].pacers[0]).toMatchObject({
      model: "two-b",
      requests: { source: "configured", perMinute: 600 },
      tokens: { source: "configured", perMinute: 90_000 },
      blockedUntil: null,
    });
  });
});

describe("when a provider cannot be reached", () => {
  test("the fallback of its models is called, and the execution says so", async () => {
    await using world = await givenTwo({ one: down }, FALLBACK);
    const { two, app } = world;
    const { body } = await app.post("/tasks?execute=true", { id: "t", prompt: "x" }, wait);
    expect(body.data).toMatchObject({ status: "completed", model: "one-a", provider: "two" });
    expect(two.requests[0]?.body.model).toBe("two-b");
    const [execution] = (await app.get("/tasks/t/executions")).body.data.executions;
    expect(execution).toMatchObject({ fallbackFrom: "one-a", provider: "two", model: "two-b" });
    // The breaker sends a probe from time to time, so there may be a third call.
    const [last, ...earlier] = execution.attempts.toReversed();
    expect(last).toMatchObject({ provider: "two", outcome: "completed" });
    expect(earlier.length).toBeGreaterThanOrEqual(2);
    expect(earlier.every(({ provider }: Json) => provider === "one")).toBe(true);
    await app.post("/batches", { id: "b", tasks: many(200) });
    await app.post("/batches/b/execute");
    expect((await app.finished("b")).progress).toMatchObject({ completed: 200, failed: 0 });
    expect(await app.differences()).toEqual([]);
  });

  test("and can be reached again, it gets its calls again", async () => {
    await using world = await givenTwo({ one: down }, FALLBACK);
    const { one, app } = world;
    await app.post("/tasks?execute=true", { prompt: "x" }, wait);
    one.state.behave = () => undefined;
    const before = one.requests.length;
    await until(async () => {
      const { body } = await app.post("/tasks?execute=true", { prompt: "again" }, wait);
      expect(body.data.status).toBe("completed");
      return body.data.provider === "one" || undefined;
    });
    expect(one.requests.length).toBeGreaterThan(before);
  });

  test("a batch without a fallback waits, says so, and loses no task, however long the outage lasts", async () => {
    const overloaded: Behaviour = (_request, response) => fail(response, 503);
    await using world = await givenTwo({ one: overloaded }, { env: { MAX_RETRIES: "1" } });
    const { one, app } = world;
    await app.post("/batches", { id: "b", tasks: many(300), config: { maxConcurrency: 5 } });
    await app.post("/batches/b/execute");
    const { waiting } = await until(async () => {
      const { data } = (await app.get("/batches/b")).body;
      return data.waiting?.reason === "provider_unavailable" ? data : undefined;
    });
    expect(waiting).toBeDefined();
    // Probes of the breaker do not count as attempts.
    const asked = one.requests.length;
    await until(() => one.requests.length >= asked + 20 || undefined);
    one.state.behave = () => undefined;
    expect((await app.finished("b")).progress).toMatchObject({ completed: 300, failed: 0 });
    expect(await app.differences()).toEqual([]);
  });

  test("calls that a user cancelled do not count as its failures", async () => {
    await using world = await givenTwo({ one: hang }, FALLBACK);
    const { one, app } = world;
    await app.post("/batches", { id: "b", tasks: many(40) });
    await app.post("/batches/b/execute");
    await until(() => one.state.open === 40 || undefined);
    await app.post("/batches/b/cancel");
    await until(() => one.state.open === 0 || undefined);
    one.state.behave = () => undefined;
    const { body } = await app.post("/tasks?execute=true", { prompt: "x" }, wait);
    expect(body.data.provider).toBe("one");
  });
});

describe("when a key is refused or its quota is used up", () => {
  const spent: Behaviour = (_request, response) =>
    fail(response, 429, { code: "insufficient_quota", message: "You exceeded your quota" });

  test("the fallback is called, and the batch is not paused", async () => {
    await using world = await givenTwo({ one: spent }, FALLBACK);
    const { app } = world;
    await app.post("/batches", { id: "b", tasks: many(100) });
    await app.post("/batches/b/execute");
    const batch = await app.finished("b");
    expect(batch).toMatchObject({ status: "completed", progress: { completed: 100 } });
    const single = await app.post("/tasks?execute=true", { prompt: "x" }, wait);
    expect(single.body.data).toMatchObject({ status: "completed", provider: "two" });
  });

  test("without a fallback the batch is paused, and continues when it is resumed", async () => {
    await using world = await givenTwo({ one: spent });
    const { one, app } = world;
    await app.post("/batches", { id: "b", tasks: many(20) });
    await app.post("/batches/b/execute");
    const paused = await until(async () => {
      const { data } = (await app.get("/batches/b")).body;
      return data.status === "paused" ? data : undefined;
    });
    expect(paused.pauseReason.code).toBe("provider_quota_exceeded");
    one.state.behave = () => undefined;
    await app.post("/batches/b/resume");
    expect((await app.finished("b")).progress).toMatchObject({ completed: 20 });
  });

  test("a call from before a resume that is refused after it does not pause the batch again", async () => {
    const late = gate();
    const behave: Behaviour = async ({ earlier, prompt }, response) => {
      if (earlier > 0) return undefined;
      if (prompt === "p1") await late.opened;
      return fail(response, 429, { code: "insufficient_quota" });
    };
    await using world = await givenTwo({ one: behave });
    const { app } = world;
    await app.post("/batches", { id: "b", tasks: many(2) });
    await app.post("/batches/b/execute");
    const status = async () => (await app.get("/batches/b")).body.data.status;
    await until(async () => (await status()) === "paused" || undefined);
    await app.post("/batches/b/resume");
    late.open();
    expect((await app.finished("b")).progress).toMatchObject({ completed: 2 });
  });

  test("of all keys, the batch is paused, and a resume tries them at once", async () => {
    await using world = await givenTwo(
      { one: spent },
      {
        one: { apiKeyEnv: ["FIRST", "SECOND"] },
        env: { FIRST: "first-key", SECOND: "second-key" },
      },
    );
    const { one, app } = world;
    await app.post("/batches", { id: "b", tasks: many(20) });
    await app.post("/batches/b/execute");
    await until(
      async () => (await app.get("/batches/b")).body.data.status === "paused" || undefined,
    );
    one.state.behave = () => undefined;
    await app.post("/batches/b/resume");
    expect((await app.finished("b")).progress).toMatchObject({ completed: 20 });
  });

  test("its other keys are used", async () => {
    const refuseFirst: Behaviour = ({ headers }, response) =>
      headers.authorization === "Bearer first-key"
        ? fail(response, 401, { code: "invalid_api_key" })
        : undefined;
    await using world = await givenTwo(
      { one: refuseFirst },
      {
        one: { apiKeyEnv: ["FIRST", "SECOND"] },
        env: { FIRST: "first-key", SECOND: "second-key" },
      },
    );
    const { app } = world;
    await app.post("/batches", { id: "b", tasks: many(100) });
    await app.post("/batches/b/execute");
    expect((await app.finished("b")).progress).toMatchObject({ completed: 100, failed: 0 });
    // Answers to the other key do not end the pause of the refused key.
    await app.post("/batches", { id: "again", tasks: many(200) });
    await app.post("/batches/again/execute");
    await app.finished("again");
    const reported = "SELECT data FROM events WHERE type = 'system.alert'";
    const alerts = (await app.ctx.client.execute(reported)).rows.map(({ data }) =>
      JSON.parse(String(data)),
    );
    expect(alerts).toEqual([
      expect.objectContaining({ code: "provider.unauthorized", status: "raised", subject: "one" }),
    ]);
  });
});

test("the limits of several keys of a provider add up", async () => {
  const perKey = new Map<string, number>();
  const count: Behaviour = ({ headers }) => {
    const key = headers.authorization ?? "";
    perKey.set(key, (perKey.get(key) ?? 0) + 1);
    return undefined;
  };
  await using world = await givenTwo(
    { one: count },
    {
      one: { apiKeyEnv: ["FIRST", "SECOND", "THIRD"], limits: { "*": { rpm: 120 } } },
      env: { FIRST: "first-key", SECOND: "second-key", THIRD: "third-key" },
    },
  );
  const { app } = world;
  const begun = Date.now();
  await app.post("/batches", { id: "b", tasks: many(18) });
  await app.post("/batches/b/execute");
  await app.finished("b");
  // At 2 to 4 a second each, one key alone would need four seconds or more.
  expect(Date.now() - begun).toBeLessThan(3500);
  expect([...perKey.values()].every((calls) => calls >= 4)).toBe(true);
  expect(perKey.size).toBe(3);
});
