import { describe, expect, test } from "bun:test";

import { LLMock } from "@copilotkit/aimock";

import { startServer } from "../support/server.ts";

/** A server whose provider is aimock, an independent imitation of OpenAI. */
async function startWithAimock(env: Record<string, string> = {}) {
  const mock = new LLMock({ port: 0, chunkSize: 5 });
  await mock.start();
  const app = await startServer({
    OPENAI_BASE_URL: `${mock.url}/v1`,
    OPENAI_API_KEY: "mock",
    ALLOWED_MODELS: "*",
    ...env,
  });
  return {
    mock,
    app,
    async [Symbol.asyncDispose]() {
      await app[Symbol.asyncDispose]();
      await mock.stop();
    },
  };
}

const wait = { prefer: "wait=20" };

describe("with an independent imitation of OpenAI", () => {
  test("tasks and batches are answered", async () => {
    await using world = await startWithAimock();
    world.mock.onMessage("hello", { content: "Hi there!" });
    world.mock.onMessage("bye", { content: "So long." });
    const { body } = await world.app.post("/tasks?execute=true", { prompt: "hello" }, wait);
    expect(body.data).toMatchObject({ status: "completed", result: { content: "Hi there!" } });
    await world.app.post("/batches", { id: "b", tasks: [{ prompt: "hello" }, { prompt: "bye" }] });
    await world.app.post("/batches/b/execute");
    const { tasks } = await world.app.finished("b");
    expect(tasks.map(({ result }: { result: string }) => result)).toEqual([
      "Hi there!",
      "So long.",
    ]);
  });

  test("a streamed answer is joined, with its usage", async () => {
    await using world = await startWithAimock();
    const content = "A longer answer that takes several chunks to arrive.";
    world.mock.onMessage("stream", { content });
    const { body } = await world.app.post(
      "/tasks?execute=true",
      { prompt: "stream", parameters: { stream: true } },
      wait,
    );
    expect(body.data.result).toMatchObject({ content, finishReason: "stop" });
    expect(body.data.result.usage.completionTokens).toBeGreaterThan(0);
    expect(body.data.result.raw).toMatchObject({ object: "chat.completion" });
  });

  test("tool calls are kept, streamed or not", async () => {
    await using world = await startWithAimock();
    world.mock.onMessage("weather", {
      toolCalls: [{ name: "get_weather", arguments: '{"city":"Paris"}' }],
    });
    for (const stream of [false, true]) {
      const { body } = await world.app.post(
        "/tasks?execute=true",
        { prompt: "weather", parameters: { stream } },
        wait,
      );
      expect(body.data.result).toMatchObject({
        finishReason: "tool_calls",
        toolCalls: [
          { type: "function", function: { name: "get_weather", arguments: '{"city":"Paris"}' } },
        ],
      });
    }
  });

  test("a temporary error is retried, a permanent one is reported", async () => {
    await using world = await startWithAimock();
    world.mock.onMessage("hello", { content: "Hi there!" });
    world.mock.nextRequestError(503, { message: "try again", type: "server_error" });
    const passed = await world.app.post("/tasks?execute=true", { prompt: "hello" }, wait);
    expect(passed.body.data).toMatchObject({ status: "completed", attempts: 2 });
    world.mock.nextRequestError(401, {
      message: "Incorrect API key provided: sk-abcdefgh",
      code: "invalid_api_key",
    });
    const refused = await world.app.post("/tasks?execute=true", { prompt: "hello" }, wait);
    expect(refused.body.data).toMatchObject({
      status: "failed",
      attempts: 1,
      error: {
        code: "PROVIDER_UNAUTHORIZED",
        message: "Incorrect API key provided: sk-…",
        providerStatus: 401,
        retryable: false,
      },
    });
  });

  test.each([
    ["malformedRate", 0.4, 20],
    ["disconnectRate", 0.4, 20],
    ["dropRate", 0.4, 20],
    // Its refusals state a limit of one request per second, which is obeyed from then on.
    ["rateLimitRate", 0.3, 4],
  ])("survives its chaos: %s", async (kind, rate, count) => {
    await using world = await startWithAimock({ MAX_RETRIES: "50" });
    world.mock.onMessage("x", { content: "ok" });
    world.mock.setChaos({ [kind]: rate });
    const tasks = Array.from({ length: count }, (_, i) => ({
      prompt: `x ${i}`,
      parameters: { stream: i % 2 === 0 },
    }));
    await world.app.post("/batches", { id: "b", tasks });
    await world.app.post("/batches/b/execute");
    const batch = await world.app.finished("b");
    expect(batch.progress).toMatchObject({ total: count, completed: count });
    expect(await world.app.differences()).toEqual([]);
  });
});
