import { describe, expect, test } from "bun:test";

import { chatAnswer, fail, startProvider } from "../support/provider.ts";
import { type Json, startServer, until } from "../support/server.ts";

const wait = { prefer: "wait=20" };
const many = (count: number, fields: object = {}) =>
  Array.from({ length: count }, (_, i) => ({ prompt: `p${i}`, ...fields }));

describe("a provider that asks to come later", () => {
  test("is asked again when it said, and that is on record but no attempt", async () => {
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

  test("tells the start of a task once, however often it puts it off", async () => {
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

  test("keeps nothing of what waits for it: no slot, no claim, no connection", async () => {
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

describe("limits", () => {
  test("that are configured hold for all that asks for the model, batches and single tasks together", async () => {
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

  test("that answers tell are kept from the next call on", async () => {
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

  test("of tokens hold back what would exceed them, counted by a tokenizer", async () => {
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
});
