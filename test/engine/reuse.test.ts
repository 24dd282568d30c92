import { describe, expect, test } from "bun:test";
import { join } from "node:path";

import { temporaryFolder } from "../support/process.ts";
import { chatAnswer, startProvider } from "../support/provider.ts";
import { type Json, startServer, type TestServer } from "../support/server.ts";
import { follow } from "../support/sse.ts";

/** What an answer of the test's provider costs: 10 tokens in, 5 out, at 30 and 60 USD a million. */
const COST = 0.0006;
const USAGE = { promptTokens: 10, completionTokens: 5, totalTokens: 15 };

/** Creates a task, executes it and returns it once it has ended. */
async function run(app: TestServer, fields: object, isDryRun = false): Promise<Json> {
  const asked = { model: "gpt-4", ...fields };
  const { status, body } = await app.post(`/tasks?execute=true&isDryRun=${isDryRun}`, asked);
  expect([status, body.error]).toEqual([201, undefined]);
  return app.ended(body.data.id);
}

describe("an identical request that may be reused", () => {
  test("is answered with what is stored, at no cost", async () => {
    await using provider = await startProvider();
    await using app = await startServer(provider.env);
    const first = await run(app, { id: "first", prompt: "x", cache: true });
    const second = await run(app, { id: "second", prompt: "x", cache: true });
    expect(provider.requests).toHaveLength(1);
    expect(first).toMatchObject({ cache: true, result: { cached: false, costUsd: COST } });
    expect(second).toMatchObject({
      status: "completed",
      cache: true,
      provider: "openai",
      result: { ...first.result, cached: true, costUsd: 0, usage: USAGE },
    });

    const { executions } = (await app.get("/tasks/second/executions")).body.data;
    expect(executions).toMatchObject([
      { cached: true, model: "gpt-4", attempts: [{ outcome: "completed", requestId: "req_1" }] },
    ]);
    const { data } = (await app.get("/metrics/tasks?period=hour")).body;
    expect(data).toMatchObject({ totals: { completed: 2 }, costUsd: COST });
    const metrics = (await app.get(`${app.url}/metrics`)).text;
    expect(metrics).toContain("gptrunner_cached_answers_total 1");
    expect(metrics).toContain('gptrunner_provider_requests_total{provider="openai",');
    expect(metrics).not.toMatch(/gptrunner_provider_requests_total\{.*\} 2/);
  });

  test("may have its fields in another order, and its answer streamed", async () => {
    await using provider = await startProvider();
    await using app = await startServer(provider.env);
    const schema = { type: "object", properties: { a: { type: "string" } } };
    const reversed = { properties: { a: { type: "string" } }, type: "object" };
    await run(app, { prompt: "x", cache: true, parameters: { seed: 1, schema } });
    const streamed = { schema: reversed, stream: true, seed: 1 };
    const { id } = (
      await app.post("/tasks", { prompt: "x", model: "gpt-4", cache: true, parameters: streamed })
    ).body.data;
    await using stream = await follow(app.url, `/tasks/${id}/events`);
    await stream.until("task.created");
    await app.post(`/tasks/${id}/execute`);
    await stream.ended();
    expect((await app.ended(id)).result).toMatchObject({ content: "re: x", cached: true });
    const pieces = stream.reported.filter(({ event }) => event === "task.delta");
    expect(pieces.map(({ data }) => data.data)).toEqual([{ taskId: id, offset: 0, text: "re: x" }]);
    expect(provider.requests).toHaveLength(1);
  });

  test.each<[string, object, object]>([
    ["another temperature", { temperature: 0 }, { temperature: 0.1 }],
    ["another model", { model: "gpt-4" }, { model: "gpt-4o" }],
    ["another parameter", { parameters: { seed: 1 } }, { parameters: { seed: 2 } }],
    ["no wish to reuse", {}, { cache: false }],
    ["none at first", { cache: false }, {}],
  ])("is not one with %s", async (_what, first, second) => {
    await using provider = await startProvider();
    await using app = await startServer(provider.env);
    await run(app, { prompt: "x", cache: true, ...first });
    expect((await run(app, { prompt: "x", cache: true, ...second })).result.cached).toBe(false);
    expect(provider.requests).toHaveLength(2);
  });

  test("is not reused without `cache`", async () => {
    await using provider = await startProvider();
    await using app = await startServer(provider.env);
    const tasks = Array.from({ length: 20 }, () => ({ prompt: "x" }));
    await app.post("/batches", { id: "b", tasks });
    await app.post("/batches/b/execute");
    await app.finished("b");
    expect(provider.requests).toHaveLength(20);
  });

  test("includes the same task when it is executed again", async () => {
    await using provider = await startProvider();
    await using app = await startServer(provider.env);
    await run(app, { id: "t", prompt: "x", cache: true });
    await app.post("/tasks/t/execute", {}, { prefer: "wait=20" });
    expect((await app.ended("t")).result.cached).toBe(true);
    await app.patch("/tasks/t", { cache: false });
    const { body } = await app.post("/tasks/t/execute", {}, { prefer: "wait=20" });
    expect(body.data).toMatchObject({ cache: false, result: { cached: false } });
    expect(provider.requests).toHaveLength(2);
  });

  test("differs after a PATCH of the request, and not after a PATCH of other fields", async () => {
    await using provider = await startProvider();
    await using app = await startServer(provider.env);
    await run(app, { id: "t", prompt: "x", cache: true });
    await app.patch("/tasks/t", { metadata: { a: 1 } });
    await app.post("/tasks/t/execute", {}, { prefer: "wait=20" });
    expect((await app.ended("t")).result.cached).toBe(true);
    await app.patch("/tasks/t", { prompt: "y" });
    const { body } = await app.post("/tasks/t/execute", {}, { prefer: "wait=20" });
    expect(body.data.result).toMatchObject({ content: "re: y", cached: false });
    await app.patch("/tasks/t", { prompt: "x" });
    await app.post("/tasks/t/execute", {}, { prefer: "wait=20" });
    expect((await app.ended("t")).result).toMatchObject({ content: "re: x", cached: true });
  });

  test("is sent again when the task with the answer is deleted; reused answers stay", async () => {
    await using provider = await startProvider();
    await using app = await startServer(provider.env);
    await run(app, { id: "first", prompt: "x", cache: true });
    await run(app, { id: "second", prompt: "x", cache: true });
    await app.del("/tasks/first");
    expect((await app.get("/tasks/second")).body.data.result.content).toBe("re: x");
    expect((await run(app, { id: "third", prompt: "x", cache: true })).result.cached).toBe(false);
    expect((await run(app, { id: "fourth", prompt: "x", cache: true })).result.cached).toBe(true);
    expect(provider.requests).toHaveLength(2);
  });

  test("neither uses nor stores an answer in a dry run, and uses no simulated one if there is a provider", async () => {
    using folder = temporaryFolder();
    const env = { DATA_DIR: folder.path };
    await using provider = await startProvider();
    const simulated = await startServer(env);
    expect((await run(simulated, { prompt: "x", cache: true }, true)).result.cached).toBe(false);
    expect((await run(simulated, { prompt: "x", cache: true })).result.cached).toBe(false);
    expect((await run(simulated, { prompt: "x", cache: true })).result.cached).toBe(true);
    await simulated.stop();

    await using app = await startServer({ ...env, ...provider.env });
    expect((await run(app, { prompt: "x", cache: true })).result.content).toBe("re: x");
    expect((await run(app, { prompt: "x", cache: true })).result.cached).toBe(true);
    expect((await run(app, { prompt: "x", cache: true }, true)).result).toMatchObject({
      cached: false,
      isDryRun: true,
    });
    expect(provider.requests).toHaveLength(1);
  });

  test("is sent again if the answer was empty, withheld or cut off", async () => {
    const choices: Record<string, Json> = {
      empty: { message: { content: "" }, finish_reason: "stop" },
      blank: { message: { content: " \n" }, finish_reason: "stop" },
      thoughts: { message: { content: null, reasoning_content: "hm" }, finish_reason: "stop" },
      refused: { message: { content: null, refusal: "No." }, finish_reason: "stop" },
      withheld: { message: {}, finish_reason: "SAFETY" },
      exhausted: { message: { content: "" }, finish_reason: "length" },
      cut: { message: { content: "half an ans" }, finish_reason: "length" },
    };
    await using provider = await startProvider(({ prompt, body }) => ({
      ...chatAnswer({ prompt, body }),
      choices: [{ index: 0, ...choices[prompt] }],
    }));
    await using app = await startServer({ ...provider.env, MAX_RETRIES: "0" });
    const statuses: Record<string, string> = {};
    for (const prompt of Object.keys(choices))
      for (const _ of [1, 2]) {
        const { status, result } = await run(app, { prompt, cache: true });
        statuses[prompt] = status;
        expect(result?.cached ?? false).toBe(false);
      }
    const { cut, ...others } = statuses;
    expect([cut, ...new Set(Object.values(others))]).toEqual(["completed", "failed"]);
    expect(new Set(provider.counts.values())).toEqual(new Set([2]));
    const { rows } = await app.ctx.client.execute("SELECT * FROM cached_answers");
    expect(rows).toEqual([]);
  });

  test("costs nothing, so that no price need be known for it", async () => {
    await using provider = await startProvider();
    await using app = await startServer(provider.env);
    await run(app, { prompt: "x", model: "priceless", cache: true });
    const config = { model: "priceless", maxCostUsd: 1, cache: true };
    const tasks = Array.from({ length: 20 }, () => ({ prompt: "x" }));
    await app.post("/batches", { id: "b", tasks, config });
    await app.post("/batches/b/execute");
    expect(await app.finished("b")).toMatchObject({ progress: { completed: 20 }, costUsd: 0 });
    expect(provider.requests).toHaveLength(1);
  });
});

describe("config.cache", () => {
  test("applies to the tasks of a batch that do not override it", async () => {
    await using provider = await startProvider();
    await using app = await startServer(provider.env);
    const tasks = [
      { id: "a", prompt: "x" },
      { id: "b", prompt: "x", cache: false },
    ];
    await app.post("/batches", { id: "b1", tasks, config: { cache: true } });
    expect((await app.get("/tasks/a")).body.data.cache).toBe(true);
    expect((await app.get("/tasks/b")).body.data.cache).toBe(false);
    const lines = [
      { id: "c", prompt: "x", cache: true },
      { id: "d", prompt: "x" },
    ];
    await Bun.write(join(app.filesDir, "a.jsonl"), lines.map((l) => JSON.stringify(l)).join("\n"));
    await app.post("/batches", { id: "b2", inputFile: "a.jsonl" });
    expect((await app.get("/tasks/c")).body.data.cache).toBe(true);
    expect((await app.get("/tasks/d")).body.data.cache).toBe(false);
  });

  test("applies to OpenAI batch lines of every endpoint", async () => {
    await using provider = await startProvider(({ path }) =>
      path.endsWith("/embeddings")
        ? { data: [{ embedding: [1, 2] }], usage: { prompt_tokens: 3, total_tokens: 3 } }
        : undefined,
    );
    await using app = await startServer(provider.env);
    const line = (i: number, url: string) =>
      JSON.stringify({ custom_id: `c${i}`, url, body: { model: "gpt-4", input: "x" } });
    const lines = ["/v1/embeddings", "/v1/embeddings", "/v1/chat/completions"].map((url, i) =>
      line(i, url),
    );
    await Bun.write(join(app.filesDir, "a.jsonl"), lines.join("\n"));
    await app.post("/batches", { id: "b", inputFile: "a.jsonl", config: { cache: true } });
    await app.post("/batches/b/execute");
    expect(await app.finished("b")).toMatchObject({ progress: { completed: 3 } });
    expect(provider.requests).toHaveLength(2);
  });

  test("is not a column of a CSV: a column of that name is a variable like any other", async () => {
    await using app = await startServer();
    await Bun.write(join(app.filesDir, "a.csv"), "id,cache\na,warm\n");
    const config = { promptTemplate: "Is it {{cache}}?" };
    const { status } = await app.post("/batches", { id: "b", inputFile: "a.csv", config });
    expect(status).toBe(201);
    const { data } = (await app.get("/tasks/a")).body;
    expect(data).toMatchObject({ cache: false, prompt: "Is it warm?" });
  });

  test("shows in results as JSON, and changes nothing about the columns of a CSV", async () => {
    await using provider = await startProvider();
    await using app = await startServer(provider.env);
    await run(app, { prompt: "x", cache: true });
    const config = { model: "gpt-4", cache: true };
    await app.post("/batches", { id: "b", tasks: [{ id: "a", prompt: "x" }], config });
    await app.post("/batches/b/execute");
    await app.finished("b");
    const [row] = JSON.parse((await app.get("/batches/b/results?format=json")).text);
    expect(row).toMatchObject({ result: "re: x", cached: true, costUsd: 0 });
    expect(row.usage).toEqual({ promptTokens: 10, completionTokens: 5 });
    const [head, cells] = (await app.get("/batches/b/results?format=csv")).text.split("\n");
    expect(head).toEndWith(
      "attempts,execution_id,finish_reason,task_model,cached,tool_calls,refusal",
    );
    expect(cells).toContain("completed,re: x,,,,0,1,exec-");
    expect(cells).toEndWith(",stop,gpt-4,true,,");
    expect((await app.get("/batches/b")).body.data.progress).toMatchObject({
      completed: 1,
      cached: 1,
    });
    expect(await app.differences()).toEqual([]);
  });
});
