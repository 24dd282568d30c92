import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { temporaryFolder } from "../support/process.ts";
import { type Behaviour, gate, startProvider } from "../support/provider.ts";
import { client, type Json, startServer, type TestServer, until } from "../support/server.ts";

/** Creates a batch `b` of JSONL lines `[path, body]`. */
async function givenLines(app: TestServer, lines: [url: string, body: object][], config = {}) {
  const text = lines.map(([url, body], i) =>
    JSON.stringify({ custom_id: `line-${i}`, method: "POST", url, body }),
  );
  const form = new FormData();
  form.append("file", new Blob([text.join("\n")]), "lines.jsonl");
  const upload = await fetch(`${app.url}/api/v1/files`, {
    method: "POST",
    headers: { authorization: "Bearer test-key" },
    body: form,
  });
  const inputFile = (await upload.json()).data.id;
  await app.post("/batches", { id: "b", inputFile, config });
}

/** The answers of a provider at each endpoint, as OpenAI documents them. */
const ANSWERS: Record<string, Json> = {
  "/v1/moderations": {
    id: "modr-1",
    model: "omni-moderation-latest",
    results: [{ flagged: false }],
  },
  "/v1/images/generations": {
    created: 1_700_000_000,
    data: [{ b64_json: "aGVsbG8g".repeat(5000) }],
    usage: {
      input_tokens: 50,
      output_tokens: 1056,
      total_tokens: 1106,
      input_tokens_details: { text_tokens: 50, image_tokens: 0 },
    },
  },
  "/v1/decisions": { id: "dec-1", model: "gpt-4", decision: "approve" },
};
const answer: Behaviour = ({ path }) => ANSWERS[path];

const image = { model: "gpt-image-1", prompt: "a lighthouse" };
const decision = { model: "gpt-4", input: "May it pass?" };

const paused = (app: TestServer) =>
  until<Json>(async () => {
    const { data } = (await app.get("/batches/b")).body;
    return data.status === "paused" && data.progress.running === 0 ? data : undefined;
  });

describe("a JSONL line may name any path of the provider", () => {
  test("and it is sent there, its answer is stored, and priced where the price is known", async () => {
    await using provider = await startProvider(answer);
    await using app = await startServer(provider.env);
    const moderation = { model: "omni-moderation-latest", input: "hello" };
    await givenLines(app, [
      ["/v1/moderations", moderation],
      ["/v1/images/generations", image],
      ["/v1/decisions", decision],
    ]);
    await app.post("/batches/b/execute");
    const { progress } = await app.finished("b");
    expect(progress).toMatchObject({ completed: 3, failed: 0 });

    const sent = Object.fromEntries(provider.requests.map(({ path, body }) => [path, body]));
    expect(sent).toEqual({
      "/v1/moderations": moderation,
      "/v1/images/generations": image,
      "/v1/decisions": decision,
    });
    const results: Json[] = [];
    for (const id of ["b-1", "b-2", "b-3"])
      results.push((await app.get(`/tasks/${id}`)).body.data.result);
    expect(results.map(({ raw }) => raw)).toEqual(Object.values(ANSWERS));
    const [verdict, picture, decided] = results;
    // The list has OpenAI's moderation models as free.
    expect(verdict.costUsd).toBe(0);
    // 5 USD for a million tokens of the prompt, 40 for those of the image.
    expect(picture.costUsd).toBeCloseTo(50 * 5e-6 + 1056 * 40e-6, 9);
    expect(picture.usage).toEqual({
      promptTokens: 50,
      completionTokens: 1056,
      totalTokens: 1106,
    });
    // The price of gpt-4's tokens says nothing of what a decision costs.
    expect(decided.costUsd).toBeNull();
    expect(decided.usage).toMatchObject({ completionTokens: 0, estimated: true });
    expect((await app.get("/batches/b")).body.data.costUsd).toBeCloseTo(picture.costUsd, 9);
    const { data } = (await app.get("/metrics/tasks?period=hour")).body;
    const unpriced = Object.values<Json>(data.byModel).filter((one) => one.unpriced > 0);
    expect(unpriced).toMatchObject([{ model: "gpt-4", unpriced: 1 }]);
    expect(await app.differences()).toEqual([]);
  });

  test("and neither an estimate nor a dry run invents a price for it", async () => {
    await using provider = await startProvider(answer);
    await using app = await startServer(provider.env);
    await givenLines(app, [["/v1/decisions", decision]]);
    const estimate = (await app.get("/batches/b/estimate")).body.data;
    expect(estimate).toMatchObject({ costUsd: null, unpricedModels: ["gpt-4"] });
    await app.post("/batches/b/execute", { isDryRun: true });
    expect(await app.finished("b")).toMatchObject({ costUsd: null });
    expect(provider.requests).toEqual([]);
  });

  test("and a cap ends a batch at the first answer whose cost is unknown", async () => {
    await using provider = await startProvider(answer);
    await using app = await startServer(provider.env);
    const lines = Array.from({ length: 20 }, (): [string, object] => ["/v1/decisions", decision]);
    await givenLines(app, lines, { maxCostUsd: 1 });
    await app.post("/batches/b/execute");
    expect((await paused(app)).pauseReason.code).toBe("price_unknown");
    expect(provider.requests).toHaveLength(1);
    const alone = await app.post("/tasks/b-20/execute");
    expect([alone.status, alone.body.error.code]).toEqual([429, "QUOTA_EXCEEDED"]);
  });

  test("and a key's budget, too, for batches, single tasks and live calls", async () => {
    await using provider = await startProvider(answer);
    await using app = await startServer({ ...provider.env, OPENAI_ENDPOINTS: "/v1/decisions" });
    const { key } = (
      await app.post("/api-keys", { name: "k", scopes: ["write"], monthlyBudgetUsd: 5 })
    ).body.data;
    const caller = client(app.url, key);
    const lines = Array.from({ length: 20 }, (): [string, object] => ["/v1/decisions", decision]);
    await givenLines(app, lines);
    await caller.post("/batches/b/execute");
    expect((await paused(app)).pauseReason.code).toBe("price_unknown");
    expect(provider.requests).toHaveLength(1);
    expect((await caller.post("/tasks/b-20/execute")).body.error.code).toBe("QUOTA_EXCEEDED");

    const live = async () => (await caller.post(`${app.url}/v1/decisions`, decision)).status;
    expect(await live()).toBe(200);
    const refusal = await until(async () => {
      const status = await live();
      return status === 200 ? undefined : status;
    });
    expect(refusal).toBe(429);
    // Where usage is reported, the budget can be kept.
    const paid = await caller.post(`${app.url}/v1/images/generations`, image);
    expect(paid.status).toBe(200);
  });

  test("and a call that broke off may have cost something, so a cap and a budget end at the first one", async () => {
    await using provider = await startProvider((_request, response) => {
      response.socket?.destroy();
      return null;
    });
    const retries = { MAX_RETRIES: "1", RETRY_BASE_MS: "1" };
    await using app = await startServer({ ...provider.env, ...retries });
    const { id: keyId, key } = (
      await app.post("/api-keys", { name: "k", scopes: ["write"], monthlyBudgetUsd: 5 })
    ).body.data;
    const lines = Array.from({ length: 20 }, (): [string, object] => ["/v1/decisions", decision]);
    await givenLines(app, lines, { maxCostUsd: 1 });
    await client(app.url, key).post("/batches/b/execute");
    expect((await paused(app)).pauseReason.code).toBe("price_unknown");
    expect(provider.requests).toHaveLength(1);
    expect((await app.post("/batches/b/resume")).body.error.code).toBe("QUOTA_EXCEEDED");
    expect((await app.post("/tasks/b-20/execute")).body.error.code).toBe("QUOTA_EXCEEDED");

    await app.patch("/batches/b", { maxCostUsd: null });
    await app.post("/batches/b/resume");
    expect((await paused(app)).pauseReason.code).toBe("price_unknown");
    expect(provider.requests).toHaveLength(2);

    // Without a limit the runs end, and what they cost is unknown, not 0.
    await app.patch(`/api-keys/${keyId}`, { monthlyBudgetUsd: null });
    await app.post("/batches/b/resume");
    expect(await app.finished("b")).toMatchObject({ progress: { failed: 20 }, costUsd: null });
    const { error, executionId } = (await app.get("/tasks/b-20")).body.data;
    expect(error.code).toBe("PROVIDER_CONNECTION_LOST");
    expect((await app.get(`/executions/${executionId}`)).body.data.attempts).toHaveLength(2);
    const costs = "SELECT DISTINCT cost_usd AS usd FROM executions";
    expect((await app.ctx.client.execute(costs)).rows).toMatchObject([{ usd: null }]);
    expect(await app.differences()).toEqual([]);
  });

  test("and the cost of a run is unknown, not lower, if that of an earlier attempt is", async () => {
    const known = { id: "dec-2", model: "gpt-4", decision: "approve" };
    await using provider = await startProvider(({ earlier }, response) => {
      if (earlier === 0) response.socket?.destroy();
      return { ...known, usage: { prompt_tokens: 1000, completion_tokens: 0, total_tokens: 1000 } };
    });
    await using app = await startServer({ ...provider.env, RETRY_BASE_MS: "1" });
    const { id, key } = (await app.post("/api-keys", { name: "k", scopes: ["write"] })).body.data;
    await givenLines(app, [["/v1/decisions", decision]]);
    await client(app.url, key).post("/batches/b/execute");
    const batch = await app.finished("b");
    expect(provider.requests).toHaveLength(2);
    const { result } = (await app.get("/tasks/b-1")).body.data;
    expect(result.costUsd).toBeNull();
    expect(result.usage.promptTokens).toBeGreaterThan(1000);
    // What is known of it is charged once: 30 USD for a million tokens.
    const { month } = (await app.get(`/api-keys/${id}`)).body.data.usage;
    expect(month.costUsd).toBeCloseTo(0.03, 9);
    expect(batch.costUsd).toBeNull();
    const { sums } = (
      await app.ctx.client.execute("SELECT cost_usd AS sums FROM batches WHERE id = 'b'")
    ).rows[0] as unknown as { sums: number };
    expect(sums).toBeCloseTo(0.03, 9);
    const metrics = (await app.get("/metrics/tasks?period=hour")).body.data;
    expect(metrics.byModel).toMatchObject([{ model: "gpt-4", unpriced: 1 }]);
    expect(metrics.costUsd).toBeCloseTo(0.03, 8);
    expect(await app.differences()).toEqual([]);
  });

  test("and single tasks end a key's budget for it at the first unknown cost, but not for chat", async () => {
    const queued = gate();
    await using provider = await startProvider(async (request, response) => {
      const isFirst = provider.requests.length === 1;
      await queued.opened;
      if (isFirst) response.socket?.destroy();
      return answer(request, response);
    });
    await using app = await startServer({ ...provider.env, RETRY_BASE_MS: "1" });
    const { id: keyId, key } = (
      await app.post("/api-keys", { name: "k", scopes: ["write"], monthlyBudgetUsd: 5 })
    ).body.data;
    const caller = client(app.url, key);
    const lines = Array.from({ length: 20 }, (): [string, object] => ["/v1/decisions", decision]);
    await givenLines(app, lines);
    const ids = lines.map((_, i) => `b-${i + 1}`);
    for (const id of ids.slice(0, 19)) await caller.post(`/tasks/${id}/execute`);
    await until(() => provider.requests.length > 0 || undefined);
    queued.open();
    // While the others wait, the budget pays for calls whose cost can be counted.
    for (const prompt of ["x", "y"]) {
      const chat = { prompt, model: "gpt-4" };
      const { body } = await caller.post("/tasks?execute=true", chat, { prefer: "wait=20" });
      expect(body.data).toMatchObject({ status: "completed" });
    }
    const decisions = () => provider.requests.filter(({ path }) => path === "/v1/decisions").length;
    const refused = await caller.post("/tasks/b-20/execute");
    expect([refused.status, refused.body.error.code]).toEqual([429, "QUOTA_EXCEEDED"]);
    expect(decisions()).toBe(1);

    await app.patch(`/api-keys/${keyId}`, { monthlyBudgetUsd: null });
    for (const id of ids.slice(0, 19))
      expect(await app.ended(id)).toMatchObject({ status: "completed", result: { costUsd: null } });
    expect(decisions()).toBe(1 + 19);
    expect(await app.differences()).toEqual([]);
  });

  test("and PRICES_FILE can say that it costs nothing", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "prices.json");
    writeFileSync(path, JSON.stringify({ "my-judge": { input: 0, output: 0 } }));
    await using provider = await startProvider(answer);
    await using app = await startServer({ ...provider.env, PRICES_FILE: path });
    const free = { ...decision, model: "my-judge" };
    await givenLines(app, [["/v1/decisions", free]], { maxCostUsd: 1 });
    await app.post("/batches/b/execute");
    expect(await app.finished("b")).toMatchObject({ progress: { completed: 1 }, costUsd: 0 });
  });
});

test("tasks of one template carry one prompt_cache_key, unless they have their own", async () => {
  await using provider = await startProvider();
  await using app = await startServer(provider.env);
  const tasks = [{ prompt: "a" }, { prompt: "b" }];
  const own = { prompt: "c", parameters: { prompt_cache_key: "mine" } };
  await app.post("/batches", {
    id: "b",
    tasks: [...tasks, own],
    config: { systemPrompt: "Answer in one word." },
  });
  await app.post("/batches/b/execute");
  await app.finished("b");
  await app.post("/tasks?execute=true", { prompt: "alone" }, { prefer: "wait=20" });
  // It is that of the template, not of the batch.
  for (const [id, systemPrompt] of [
    ["again", "Answer in one word."],
    ["other", "Answer in two words."],
  ]) {
    await app.post("/batches", { id, tasks: [{ prompt: `${id}` }], config: { systemPrompt } });
    await app.post(`/batches/${id}/execute`);
    await app.finished(`${id}`);
  }
  const keyOf = (prompt: string) =>
    provider.requests.find((request) => request.prompt === prompt)?.body.prompt_cache_key;
  expect(keyOf("a")).toMatch(/^gtr-[0-9a-f]{32}$/);
  expect(keyOf("b")).toBe(keyOf("a"));
  expect(keyOf("again")).toBe(keyOf("a"));
  expect(keyOf("other")).toMatch(/^gtr-/);
  expect(keyOf("other")).not.toBe(keyOf("a"));
  expect(keyOf("c")).toBe("mine");
  expect(keyOf("alone")).toBeUndefined();
});
