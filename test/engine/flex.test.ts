import { describe, expect, test } from "bun:test";

import { FLEX_GIVEN_UP, FLEX_TIMEOUT_MS } from "../../src/domain/flex.ts";
import { type Behaviour, chatAnswer, fail, startProvider } from "../support/provider.ts";
import { type Json, startServer, until } from "../support/server.ts";

const wait = { prefer: "wait=20" };
/** A model with prices of 2.50 and 10 USD per million tokens. */
const MODEL = "gpt-4o";
const STANDARD = (10 * 2.5 + 5 * 10) / 1e6;
const noRoom: Json = { code: "resource_unavailable", message: "Resource unavailable" };

/** Serves flex calls while there is room, and all other calls always. */
function provider(hasRoom: () => boolean): Behaviour {
  return (request, response) => {
    const isFlex = request.body.service_tier === "flex";
    if (isFlex && !hasRoom()) return fail(response, 429, noRoom);
    return { ...chatAnswer(request), service_tier: isFlex ? "flex" : "default" };
  };
}

async function givenProvider(hasRoom: () => boolean) {
  const upstream = await startProvider(provider(hasRoom));
  const env = { ...upstream.env, DEFAULT_MODEL: MODEL, RETRY_BASE_MS: "20", RETRY_MAX_MS: "100" };
  const app = await startServer(env);
  return {
    upstream,
    app,
    async [Symbol.asyncDispose]() {
      await app[Symbol.asyncDispose]();
      await upstream[Symbol.asyncDispose]();
    },
  };
}

describe("a task with the flex tier", () => {
  test("waits while there is no room, delays no other task, and costs half", async () => {
    let hasRoom = false;
    await using world = await givenProvider(() => hasRoom);
    const { app, upstream } = world;
    await app.post("/tasks?execute=true", { id: "flex", prompt: "x", serviceTier: "flex" });
    await until(() => upstream.requests.length >= 3 || undefined);
    const standard = await app.post("/tasks?execute=true", { prompt: "y" }, wait);
    expect(standard.body.data).toMatchObject({ status: "completed", attempts: 1 });
    expect(standard.body.data.result.costUsd).toBeCloseTo(STANDARD, 12);
    const { pacers } = (await app.get("/status/services/openai")).body.data.details;
    expect(pacers.map(({ model, tier }: Json) => [model, tier])).toEqual([
      [MODEL, "flex"],
      [MODEL, null],
    ]);
    hasRoom = true;
    const task = await app.ended("flex");
    expect(task).toMatchObject({ status: "completed", model: MODEL, serviceTier: "flex" });
    expect(task.result.costUsd).toBeCloseTo(STANDARD / 2, 12);
    const [execution] = (await app.get("/tasks/flex/executions")).body.data.executions;
    expect(execution.adjusted).toEqual([]);
    expect(execution.attempts[0]).toMatchObject({
      outcome: "throttled",
      code: "PROVIDER_OVERLOADED",
    });
  });

  test("has a timeout of fifteen minutes, instead of REQUEST_TIMEOUT_MS", async () => {
    expect(FLEX_TIMEOUT_MS).toBe(15 * 60_000);
    const others = Promise.withResolvers<void>();
    await using upstream = await startProvider(async (request) => {
      await others.promise;
      return chatAnswer(request);
    });
    const limits = { REQUEST_TIMEOUT_MS: "150", MAX_RETRIES: "0", DEFAULT_MODEL: MODEL };
    await using app = await startServer({ ...upstream.env, ...limits });
    const post = (body: object) => app.post("/tasks?execute=true", body, wait);
    const flex = post({ prompt: "x", serviceTier: "flex" });
    const timedOut = await Promise.all([
      post({ prompt: "x" }),
      post({ prompt: "x", serviceTier: "flex", timeoutMs: 150 }),
    ]);
    others.resolve();
    expect(
      [...timedOut, await flex].map(({ body }) => [body.data.status, body.data.error?.code]),
    ).toEqual([
      ["failed", "PROVIDER_TIMEOUT"],
      ["failed", "PROVIDER_TIMEOUT"],
      ["completed", undefined],
    ]);
  });

  test("uses the standard tier after its deadline, says so, and has that tier's cost", async () => {
    await using world = await givenProvider(() => false);
    const { app, upstream } = world;
    const asked = { id: "t", prompt: "x", serviceTier: "flex", flexDeadlineMinutes: 0.005 };
    const { body } = await app.post("/tasks?execute=true", asked, wait);
    expect(body.data).toMatchObject({ status: "completed", flexDeadlineMinutes: 0.005 });
    expect(body.data.result.costUsd).toBeCloseTo(STANDARD, 12);
    expect(upstream.requests[0]?.body.service_tier).toBe("flex");
    expect(upstream.requests.at(-1)?.body).not.toHaveProperty("service_tier");
    const [execution] = (await app.get("/tasks/t/executions")).body.data.executions;
    expect(execution.adjusted).toEqual([FLEX_GIVEN_UP]);
    // When it is executed again, it requests flex again.
    const before = upstream.requests.length;
    await app.post("/tasks/t/execute", {});
    await app.ended("t");
    expect(upstream.requests[before]?.body.service_tier).toBe("flex");
  });

  test("does so as well if a call took until after the deadline, and its answer is asked for again", async () => {
    const deadlineMs = 1200;
    const isFlex = ({ body }: { body: Json }) => body.service_tier === "flex";
    await using upstream = await startProvider(async (request) => {
      if (isFlex(request)) await Bun.sleep(deadlineMs + 100);
      const answer: Json = chatAnswer(request);
      answer.choices[0].message.content = isFlex(request) ? "no JSON" : '{"label":"x"}';
      return answer;
    });
    await using app = await startServer({ ...upstream.env, DEFAULT_MODEL: MODEL });
    const flex = { serviceTier: "flex", flexDeadlineMinutes: deadlineMs / 60_000 };
    const output = {
      type: "object",
      properties: { label: { type: "string" } },
      required: ["label"],
    };
    const run = (more: object) =>
      app.post("/tasks?execute=true", { prompt: "x", output, ...flex, ...more }, wait);
    const ended = await Promise.all([
      run({ maxRepairs: 1 }),
      run({ maxRepairs: 0, escalateTo: "gpt-4.1" }),
    ]);
    for (const { body } of ended)
      expect(body.data).toMatchObject({ status: "completed", attempts: 2 });
    const sent = upstream.requests.map((request) => [isFlex(request), request.body.model]);
    expect(sent.slice(0, 2)).toEqual([
      [true, MODEL],
      [true, MODEL],
    ]);
    expect(sent.slice(2).toSorted()).toEqual([
      [false, "gpt-4.1"],
      [false, MODEL],
    ]);
    expect(await app.differences()).toEqual([]);
  });

  test("does so together with its batch, whose tasks may name another tier", async () => {
    await using world = await givenProvider(() => false);
    const { app, upstream } = world;
    const tasks = Array.from({ length: 30 }, (_, i) => ({ prompt: `p${i}` }));
    await app.post("/batches", {
      id: "b",
      tasks: [...tasks, { prompt: "now", serviceTier: "priority" }],
      config: { serviceTier: "flex", flexDeadlineMinutes: 0.005 },
    });
    await app.post("/batches/b/execute");
    const batch = await app.finished("b");
    expect(batch.progress).toMatchObject({ completed: 31, failed: 0 });
    expect(batch.costUsd).toBeCloseTo(31 * STANDARD, 9);
    const tiers = upstream.requests.filter(({ prompt }) => prompt === "now");
    expect(tiers.map(({ body }) => body.service_tier)).toEqual(["priority"]);
    expect(await app.differences()).toEqual([]);
  });

  test("of whatever kind is sent as it is, and costs what the tier of the answer does", async () => {
    // The provider answers at another tier than the requested one.
    const served: Json = {
      priority: "default",
      auto: "priority",
      default: "default",
      flex: "default",
    };
    await using upstream = await startProvider((request) => ({
      ...chatAnswer(request),
      service_tier: served[request.body.service_tier],
    }));
    await using app = await startServer({ ...upstream.env, DEFAULT_MODEL: MODEL });
    const tiers = ["auto", "default", "priority", "flex"];
    const tasks = tiers.map((serviceTier) => ({
      id: serviceTier,
      prompt: serviceTier,
      serviceTier,
    }));
    expect((await app.post("/batches", { id: "b", tasks })).status).toBe(201);
    await app.post("/batches/b/execute");
    await app.finished("b");
    const costs: number[] = [];
    for (const id of tiers) costs.push((await app.get(`/tasks/${id}`)).body.data.result.costUsd);
    expect(costs.map((usd) => usd / STANDARD)).toEqual(
      [1.7, 1, 1, 1].map((one) => expect.closeTo(one, 9)),
    );
    for (const { prompt, body } of upstream.requests) expect(body.service_tier).toBe(prompt);
    const refused = await app.post("/tasks", { prompt: "x", serviceTier: "cheap" });
    expect(refused.status).toBe(400);
    const whole = { tasks: [{ prompt: "x" }], config: { serviceTier: "cheap" } };
    expect((await app.post("/batches", whole)).status).toBe(400);
  });

  test("returns and changes the tier like any other field, and accepts it only once", async () => {
    await using app = await startServer({ DEFAULT_MODEL: MODEL });
    const twice = { prompt: "x", serviceTier: "flex", parameters: { service_tier: "auto" } };
    expect((await app.post("/tasks", twice)).body.error.message).toContain("given twice");
    await app.post("/tasks", { id: "t", prompt: "x", parameters: { service_tier: "flex", n: 1 } });
    const read = async () => (await app.get("/tasks/t")).body.data;
    expect(await read()).toMatchObject({
      serviceTier: "flex",
      flexDeadlineMinutes: 1440,
      parameters: { n: 1 },
    });
    await app.patch("/tasks/t", { flexDeadlineMinutes: 5 });
    expect(await read()).toMatchObject({ serviceTier: "flex", flexDeadlineMinutes: 5 });
    await app.patch("/tasks/t", { serviceTier: null });
    expect(await read()).toMatchObject({ serviceTier: null, flexDeadlineMinutes: null });
  });

  test("is estimated, also in a dry run, at the price of its tier", async () => {
    await using app = await startServer({ DEFAULT_MODEL: MODEL });
    const costs = async (id: string, config: object) => {
      await app.post("/batches", { id, tasks: [{ prompt: "x" }], config });
      const { costUsd } = (await app.get(`/batches/${id}/estimate`)).body.data;
      await app.post(`/batches/${id}/execute`, { isDryRun: true });
      return [costUsd.max, (await app.finished(id)).costUsd];
    };
    const standard = await costs("standard", {});
    const flex = await costs("flex", { serviceTier: "flex" });
    expect(flex.map((usd, i) => usd / standard[i])).toEqual([
      expect.closeTo(0.5, 2),
      expect.closeTo(0.5, 2),
    ]);
  });
});
