import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";

import { LLMock } from "@copilotkit/aimock";
import OpenAI from "openai";
import { zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";

import { refusal } from "../support/openai.ts";
import { KEY, startServer, type TestServer } from "../support/server.ts";
import { pythonOpenAi } from "../support/tools.ts";

/*
 * The unmodified SDKs for Node and Python as clients, and aimock, an independent imitation of OpenAI's API, as the
 * provider.
 */
const mock = new LLMock({ port: 0, chunkSize: 5 });
const HELLO = "Hi there, nice to meet you!";
const ADA = { name: "Ada", age: 36 };
const Person = z.object({ name: z.string(), age: z.number() });
let app: TestServer;
let openai: OpenAI;

beforeAll(async () => {
  mock
    .addFixture({
      match: { userMessage: "weather", hasToolResult: false },
      response: { toolCalls: [{ name: "get_weather", arguments: '{"city":"Paris"}' }] },
    })
    .onMessage("weather", { content: "It is sunny in Paris." })
    .onMessage("person", { content: JSON.stringify(ADA) })
    .onMessage("hello", { content: HELLO })
    .addFixture({
      match: { userMessage: "slow" },
      response: { content: "late" },
      chaos: { latencyMs: 500 },
    })
    .onEmbedding(/./, { embedding: [0.25, -0.5] })
    .onModerate(/./, { flagged: true, categories: { violence: true } });
  for (const status of [400, 404, 409, 422, 429, 500])
    mock.onMessage(`fail ${status}`, {
      error: { message: "no", type: "some_error", code: "some_code" },
      status,
    });
  await mock.start();
  app = await startServer({
    OPENAI_BASE_URL: `${mock.url}/v1`,
    OPENAI_API_KEY: "mock",
    ALLOWED_MODELS: "*",
    WEBHOOK_ALLOWED_HOSTS: "127.0.0.1",
  });
  openai = new OpenAI({ apiKey: KEY, baseURL: `${app.url}/v1`, maxRetries: 0 });
});
afterAll(async () => {
  await app[Symbol.asyncDispose]();
  await mock.stop();
});

const model = "gpt-4o-mini";
const ask = (content: string) => ({ model, messages: [{ role: "user" as const, content }] });

test("a chat completion works whole, as a stream, and parsed", async () => {
  const whole = await openai.chat.completions.create(ask("hello"));
  expect(whole.choices[0]?.message.content).toBe(HELLO);
  expect(whole.usage?.completion_tokens).toBeGreaterThan(0);
  const stream = openai.chat.completions.stream({
    ...ask("hello"),
    stream_options: { include_usage: true },
  });
  const deltas: string[] = [];
  stream.on("content", (delta) => deltas.push(delta));
  const streamed = await stream.finalChatCompletion();
  expect(deltas.length).toBeGreaterThan(2);
  expect([deltas.join(""), streamed.choices[0]?.message.content]).toEqual([HELLO, HELLO]);
  expect(streamed.usage?.completion_tokens).toBeGreaterThan(0);
  const format = zodResponseFormat(Person, "person");
  const parsed = await openai.chat.completions.parse({
    ...ask("person"),
    response_format: format,
  });
  expect(parsed.choices[0]?.message.parsed).toEqual(ADA);
});

test("tools work, also in a stream", async () => {
  const cities: string[] = [];
  const tool = {
    type: "function" as const,
    function: {
      name: "get_weather",
      description: "Says how the weather is",
      parameters: { type: "object", properties: { city: { type: "string" } } },
      parse: (text: string): { city: string } => JSON.parse(text),
      function({ city }: { city: string }) {
        cities.push(city);
        return "sunny";
      },
    },
  };
  const request = { ...ask("weather"), tools: [tool] };
  const whole = openai.chat.completions.runTools(request);
  expect(await whole.finalContent()).toBe("It is sunny in Paris.");
  const streamed = openai.chat.completions.runTools({ ...request, stream: true });
  expect(await streamed.finalContent()).toBe("It is sunny in Paris.");
  expect(cities).toEqual(["Paris", "Paris"]);
});

test("a response works whole, as a stream, and parsed", async () => {
  const whole = await openai.responses.create({ model, input: "hello" });
  expect(whole.output_text).toBe(HELLO);
  const stream = openai.responses.stream({ model, input: "hello" });
  const deltas: string[] = [];
  stream.on("response.output_text.delta", ({ delta }) => deltas.push(delta));
  expect((await stream.finalResponse()).output_text).toBe(HELLO);
  expect(deltas.join("")).toBe(HELLO);
  const parsed = await openai.responses.parse({
    model,
    input: "person",
    text: { format: zodTextFormat(Person, "person") },
  });
  expect(parsed.output_parsed).toEqual(ADA);
});

test("embeddings and moderations work", async () => {
  const { data } = await openai.embeddings.create({
    model: "text-embedding-3-small",
    input: ["hello", "world"],
  });
  expect(data.map(({ embedding }) => embedding)).toEqual([
    [0.25, -0.5],
    [0.25, -0.5],
  ]);
  const { results } = await openai.moderations.create({
    model: "omni-moderation-latest",
    input: "hello",
  });
  expect(results[0]?.flagged).toBe(true);
  expect(results[0]?.categories.violence).toBe(true);
});

test("models are listed and retrieved", async () => {
  const listed = [];
  for await (const one of openai.models.list()) listed.push(one.id);
  expect(listed.length).toBeGreaterThan(0);
  expect((await openai.models.retrieve(listed[0] ?? "")).id).toBe(listed[0] ?? "");
});

test("a raw answer can be read, and a time-out is the SDK's own error", async () => {
  const raw = await openai.chat.completions.create(ask("hello")).asResponse();
  expect(raw.headers.get("x-request-id")).toStartWith("req-");
  expect((await raw.json()).choices[0].message.content).toBe(HELLO);
  const hasty = openai.withOptions({ timeout: 100 });
  const late = hasty.chat.completions.create(ask("slow"));
  expect(await refusal(late)).toBeInstanceOf(OpenAI.APIConnectionTimeoutError);
});

test("a wrong key is the SDK's own error", async () => {
  const stranger = openai.withOptions({ apiKey: "wrong" });
  const error = await refusal(stranger.chat.completions.create(ask("hello")));
  expect(error).toBeInstanceOf(OpenAI.AuthenticationError);
  expect(error.code).toBe("invalid_api_key");
});

/** Python needs seconds of processor time to load the SDK. */
const PYTHON_MS = 120_000;

test.if(pythonOpenAi !== undefined)(
  "all of this works with the SDK for Python",
  async () => {
    const child = Bun.spawn([pythonOpenAi ?? "", join(import.meta.dir, "aimock_calls.py")], {
      env: { SERVER_URL: app.url, SERVER_KEY: KEY },
      stdout: "pipe",
      stderr: "pipe",
    });
    const [output, errors] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ]);
    expect([errors, await child.exited]).toEqual(["", 0]);
    expect(output.trim().split("\n")).toHaveLength(12);
  },
  PYTHON_MS,
);

// The last, because the server calls a provider more slowly after a 429.
test.each([
  [429, OpenAI.RateLimitError],
  [500, OpenAI.InternalServerError],
  [400, OpenAI.BadRequestError],
  [404, OpenAI.NotFoundError],
  [409, OpenAI.ConflictError],
  [422, OpenAI.UnprocessableEntityError],
] as const)("its error %i becomes the SDK's own error class", async (status, kind) => {
  mock.nextRequestError(status, { message: "no", type: "some_error", code: "some_code" });
  const error = await refusal(openai.chat.completions.create(ask("hello")));
  expect(error).toBeInstanceOf(kind);
  expect(error).toMatchObject({ status, code: "some_code" });
});
