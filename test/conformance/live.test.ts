import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, writeFileSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";

import OpenAI, { toFile } from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";

import { refusal } from "../support/openai.ts";
import { type Behaviour, chatAnswer, fail, gate, startProvider } from "../support/provider.ts";
import { type Json, KEY, startServer, type TestServer, until } from "../support/server.ts";

let provider: Awaited<ReturnType<typeof startProvider>>;
let app: TestServer;
let openai: OpenAI;

beforeAll(async () => {
  provider = await startProvider();
  app = await startServer({ ...provider.env, ALLOWED_MODELS: "gpt-*,text-*,omni-*" });
  openai = clientOf(app);
});
afterAll(async () => {
  await app[Symbol.asyncDispose]();
  await provider[Symbol.asyncDispose]();
});

function clientOf({ url }: TestServer, apiKey = KEY): OpenAI {
  return new OpenAI({ apiKey, baseURL: `${url}/v1`, maxRetries: 0 });
}

function ask(
  prompt: string,
  more: object = {},
): Pick<OpenAI.ChatCompletionCreateParamsNonStreaming, "model" | "messages"> {
  return { model: "gpt-4o-mini", messages: [{ role: "user", content: prompt }], ...more };
}

/** Streams a chat answer word by word, with usage if requested. */
const streaming: Behaviour = async ({ body }, response) => {
  startStream(response);
  const chunk = (more: object) =>
    response.write(
      `data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", created: 1, model: body.model, ...more })}\n\n`,
    );
  for (const content of ["Hel", "lo"])
    chunk({ choices: [{ index: 0, delta: { role: "assistant", content }, finish_reason: null }] });
  chunk({ choices: [{ index: 0, delta: {}, finish_reason: "stop" }] });
  if (body.stream_options?.include_usage)
    chunk({
      choices: [],
      usage: { prompt_tokens: 7, completion_tokens: 2, total_tokens: 9 },
    });
  response.end("data: [DONE]\n\n");
  return undefined;
};

function startStream(response: ServerResponse): void {
  response.writeHead(200, { "content-type": "text/event-stream" });
}

/** Creates a key, so that its usage is separate; `more` may set a budget. */
async function newKey(more: object = {}) {
  const { body } = await app.post("/api-keys", { name: "live", scopes: ["write"], ...more });
  return {
    client: clientOf(app, body.data.key),
    async usage(): Promise<Json> {
      const shown = await app.get(`/api-keys/${body.data.id}`);
      return shown.body.data.usage.month;
    },
  };
}

describe("a chat completion", () => {
  test("is passed on unchanged in both directions, including unknown fields", async () => {
    provider.state.behave = () => undefined;
    const request = ask("unchanged", {
      service_tier: "auto",
      prompt_cache_key: "k",
      safety_identifier: "s",
      verbosity: "low",
      not_invented_yet: { a: [1] },
    });
    const { data, response } = await openai.chat.completions.create(request).withResponse();
    expect(data.choices[0]?.message.content).toBe("re: unchanged");
    const sent = provider.requests.at(-1);
    expect(sent?.text).toBe(JSON.stringify(request));
    expect(sent?.path).toBe("/v1/chat/completions");
    expect(sent?.headers.authorization).toBe("Bearer sk-test");
    expect(response.headers.get("x-gtr-provider")).toBe("openai");
    expect(Number(response.headers.get("x-gtr-cost-usd"))).toBeGreaterThan(0);
    expect(response.headers.get("x-gtr-adjusted")).toBeNull();
    expect(response.headers.get("x-gtr-task")).toBeNull();
    expect(response.headers.get("x-request-id")).toStartWith("req-");
    expect(response.headers.get("x-gtr-provider-request-id")).toMatch(/^req_/);
    const raw = await openai.chat.completions.create(request).asResponse();
    const answer = chatAnswer({ prompt: "unchanged", body: request });
    expect(await raw.text()).toBe(JSON.stringify(answer));
  });

  test("is streamed chunk by chunk and metered, without usage if the client did not request it", async () => {
    provider.state.behave = streaming;
    const { client, usage } = await newKey();
    const { data, response } = await client.chat.completions
      .create({ ...ask("stream"), stream: true })
      .withResponse();
    const chunks = [];
    for await (const chunk of data) chunks.push(chunk);
    expect(chunks.map(({ choices }) => choices[0]?.delta.content ?? null)).toEqual([
      "Hel",
      "lo",
      null,
    ]);
    expect(response.headers.get("x-gtr-adjusted")).toBe("stream_options.include_usage added");
    await until(async () => (await usage()).promptTokens === 7);
  });

  test("is streamed unchanged, with usage if the client requested it", async () => {
    provider.state.behave = streaming;
    const { data, response } = await openai.chat.completions
      .create({ ...ask("stream"), stream: true, stream_options: { include_usage: true } })
      .withResponse();
    const chunks = [];
    for await (const chunk of data) chunks.push(chunk);
    expect(chunks.at(-1)?.usage?.total_tokens).toBe(9);
    expect(response.headers.get("x-gtr-adjusted")).toBeNull();
    const whole = await openai.chat.completions.stream({ ...ask("x") }).finalChatCompletion();
    expect(whole.choices[0]?.message.content).toBe("Hello");
  });

  test("works with a schema and with tools", async () => {
    provider.state.behave = (request) => ({
      ...chatAnswer(request),
      choices: [
        { index: 0, message: { role: "assistant", content: '{"n":1}' }, finish_reason: "stop" },
      ],
    });
    const parsed = await openai.chat.completions.parse({
      ...ask("json"),
      response_format: zodResponseFormat(z.object({ n: z.number() }), "n"),
    });
    expect(parsed.choices[0]?.message.parsed).toEqual({ n: 1 });

    provider.state.behave = (request) => {
      const { messages } = request.body;
      if (messages.at(-1).role === "tool") return undefined;
      const call = { id: "1", type: "function", function: { name: "add", arguments: "{}" } };
      const message = { role: "assistant", content: null, tool_calls: [call] };
      return {
        ...chatAnswer(request),
        choices: [{ index: 0, message, finish_reason: "tool_calls" }],
      };
    };
    let calls = 0;
    const runner = openai.chat.completions.runTools({
      ...ask("tools"),
      tools: [
        {
          type: "function",
          function: {
            name: "add",
            description: "Adds",
            parameters: { type: "object", properties: {} },
            function: () => String(++calls),
          },
        },
      ],
    });
    expect(await runner.finalContent()).toBe("re: tools");
    expect(calls).toBe(1);
  });

  test("is not repeated after an error, which has the provider's own text", async () => {
    provider.state.behave = (_, response) =>
      fail(response, 400, {
        message: "bad thing",
        type: "invalid_request_error",
        param: "seed",
        code: "odd",
      });
    const before = provider.requests.length;
    const error = await refusal(openai.chat.completions.create(ask("bad")));
    expect(error).toBeInstanceOf(OpenAI.BadRequestError);
    expect(error).toMatchObject({ status: 400, param: "seed", code: "odd" });
    provider.state.behave = (_, response) => fail(response, 500);
    expect(await refusal(openai.chat.completions.create(ask("broken")))).toBeInstanceOf(
      OpenAI.InternalServerError,
    );
    expect(provider.requests.length).toBe(before + 2);
  });

  test("does not tell clients that their key is wrong if the server's own key is", async () => {
    provider.state.behave = (_, response) =>
      fail(response, 401, { message: "Incorrect API key provided: sk-test" });
    const error = await refusal(openai.chat.completions.create(ask("key")));
    expect(error).toMatchObject({ status: 502, code: "provider_unauthorized" });
    expect(error.message).not.toContain("sk-test");
    expect(error.headers?.get("x-should-retry")).toBe("false");
  });

  test("is refused without a model, or with an unknown one", async () => {
    const error = await refusal(openai.chat.completions.create(ask("x", { model: "claude-x" })));
    expect(error).toBeInstanceOf(OpenAI.NotFoundError);
    expect(error).toMatchObject({ code: "model_not_found", param: "model" });
    const none = await refusal(openai.chat.completions.create(ask("x", { model: undefined })));
    expect(none).toMatchObject({ status: 400, param: "model", code: "missing_required_parameter" });
  });

  test("is refused in the background, since its answer could not be fetched and would cost nothing here", async () => {
    const before = provider.requests.length;
    const response = openai.responses.create({ model: "gpt-4o", input: "x", background: true });
    expect(await refusal(response)).toMatchObject({
      status: 400,
      param: "background",
      code: "unsupported_value",
    });
    expect(provider.requests).toHaveLength(before);
    const body = { model: "gpt-4o", input: "x", background: true };
    const line = { custom_id: "a", method: "POST", url: "/v1/responses", body };
    const file = await toFile(Buffer.from(JSON.stringify(line)), "in.jsonl");
    const { id } = await openai.files.create({ file, purpose: "batch" });
    const made = await openai.batches.create({
      input_file_id: id,
      endpoint: "/v1/responses",
      completion_window: "24h",
    });
    const { errors } = await until(async () => {
      const batch = await openai.batches.retrieve(made.id);
      return batch.status === "failed" ? batch : undefined;
    });
    expect(errors?.data).toMatchObject([
      { code: "unsupported_value", param: "body.background", line: 1 },
    ]);
  });

  test("ends the provider's call when its client leaves, before an answer and in a stream", async () => {
    const { opened, open } = gate();
    provider.state.behave = async (_, response) => {
      await Promise.race([opened, new Promise((resolve) => response.on("close", resolve))]);
      return undefined;
    };
    const leaving = new AbortController();
    const call = openai.chat.completions.create(ask("leave"), { signal: leaving.signal });
    const refused = call.then(
      () => "answered",
      (error) => error,
    );
    await until(() => provider.state.open === 1);
    leaving.abort();
    expect(await refused).toBeInstanceOf(OpenAI.APIUserAbortError);
    await until(() => provider.state.open === 0);
    open();

    provider.state.behave = async (_, response) => {
      startStream(response);
      response.write(`data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n`);
      await new Promise((resolve) => response.on("close", resolve));
      return undefined;
    };
    const stream = await openai.chat.completions.create({ ...ask("leave"), stream: true });
    for await (const _ of stream) break;
    await until(() => provider.state.open === 0);
  });
});

/** Providers p0, p1, …, of which each stands in for the one before. */
function providersOf(...given: (string | object)[]): Record<string, string> {
  const providers = [];
  for (let i = 0; i < given.length; i += 2)
    providers.push({
      name: `p${i / 2}`,
      baseUrl: given[i],

      ...(given[i + 1] as object),
    });
  const path = join(mkdtempSync(join(tmpdir(), "providers-")), "providers.json");
  writeFileSync(path, JSON.stringify({ providers, fallbacks: { "gpt-4o-mini": ["gpt-4o"] } }));
  return { PROVIDERS_FILE: path };
}

describe("limits", () => {
  test("calls are metered and priced, even without usage", async () => {
    const { client, usage } = await newKey();
    provider.state.behave = () => undefined;
    const { response } = await client.chat.completions.create(ask("a")).withResponse();
    const cost = Number(response.headers.get("x-gtr-cost-usd"));
    await until(async () => (await usage()).tasks === 1);
    expect(await usage()).toMatchObject({ promptTokens: 10, completionTokens: 5, costUsd: cost });
    provider.state.behave = (request) => ({ ...chatAnswer(request), usage: undefined });
    await client.chat.completions.create(ask("b"));
    await until(async () => (await usage()).tasks === 2);
    expect((await usage()).promptTokens).toBeGreaterThan(10);
  });

  test("a stream that its client leaves is paid up to that point, and is not counted as a failure of the provider", async () => {
    const { client, usage } = await newKey();
    provider.state.behave = async (_, response) => {
      startStream(response);
      response.write(`data: {"choices":[{"index":0,"delta":{"content":"a few words"}}]}\n\n`);
      await new Promise((resolve) => response.on("close", resolve));
      return undefined;
    };
    // More than would open a circuit breaker.
    for (let i = 0; i < 12; i++) {
      const stream = await client.chat.completions.create({ ...ask("leave"), stream: true });
      for await (const _ of stream) break;
    }
    await until(() => provider.state.open === 0);
    await until(async () => (await usage()).tasks === 12);
    const { promptTokens, completionTokens, costUsd } = await usage();
    expect(promptTokens).toBeGreaterThanOrEqual(12);
    expect(completionTokens).toBeGreaterThanOrEqual(12);
    expect(costUsd).toBeGreaterThan(0);
    provider.state.behave = () => undefined;
    await client.chat.completions.create(ask("still there"));
  });

  test("a call ends if the provider falls silent, whole or in a stream, and pays for its prompt", async () => {
    await using silent = await startProvider(async ({ body }, response) => {
      if (body.stream) {
        startStream(response);
        response.write(": wait\n\n");
      }
      await new Promise((resolve) => response.on("close", resolve));
      return null;
    });
    await using server = await startServer({ ...silent.env, REQUEST_TIMEOUT_MS: "300" });
    const said = "did not answer within 300 ms";
    const usage = async () => (await server.get("/metrics/tasks")).body.data;
    const stream = await clientOf(server).chat.completions.create({ ...ask("x"), stream: true });
    const reading = (async () => {
      for await (const _ of stream);
    })();
    await expect(reading).rejects.toThrow(said);
    await until(() => silent.state.open === 0);
    const ofStream = await until(async () => ((await usage()).costUsd > 0 ? usage() : undefined));
    const error = await refusal(clientOf(server).chat.completions.create(ask("x")));
    expect(error).toMatchObject({
      status: 504,
      code: "provider_timeout",
      message: expect.stringContaining(said),
    });
    const costUsd = Number(error.headers?.get("x-gtr-cost-usd"));
    expect(costUsd).toBeGreaterThan(0);
    const both = await until(async () =>
      (await usage()).totals.failed === 2 ? usage() : undefined,
    );
    expect(both.costUsd - ofStream.costUsd).toBeCloseTo(costUsd, 12);
    expect(both.tokens).toMatchObject({ prompt: 2 * ofStream.tokens.prompt, completion: 0 });
  });

  test("money is reserved before a call is sent, so that concurrent calls do not exceed a budget", async () => {
    const { client, usage } = await newKey({ monthlyBudgetUsd: 0.00001 });
    provider.state.behave = () => undefined;
    const all = await Promise.allSettled(
      Array.from({ length: 10 }, (_, i) => client.chat.completions.create(ask(`${i}`))),
    );
    const answered = all.filter(({ status }) => status === "fulfilled");
    const { costUsd } = await usage();
    expect(answered.length).toBeGreaterThan(0);
    expect(answered.length).toBeLessThan(10);
    expect(costUsd).toBeLessThan(0.00002);
    const error = await refusal(client.chat.completions.create(ask("spent")));
    expect(error).toBeInstanceOf(OpenAI.RateLimitError);
    expect(error).toMatchObject({ type: "insufficient_quota", code: "insufficient_quota" });
    expect(error.headers?.get("x-should-retry")).toBe("false");
    const file = await toFile(Buffer.from("{}"), "in.jsonl");
    const { id } = await client.files.create({ file, purpose: "batch" });
    const batch = client.batches.create({
      input_file_id: id,
      endpoint: "/v1/responses",
      completion_window: "24h",
    });
    expect(await refusal(batch)).toMatchObject({ status: 429, code: "insufficient_quota" });
    const { rows } = await app.ctx.client.execute("SELECT count(*) AS n FROM live_calls");
    expect(rows[0]?.["n"]).toBe(0);
  });

  test("a call that would wait too long is refused with the time to try again", async () => {
    await using slow = await startProvider();
    await using server = await startServer({
      ...slow.env,
      PROVIDER_RPM: "1",
      LIVE_MAX_WAIT_MS: "1000",
    });
    const client = clientOf(server);
    await client.chat.completions.create(ask("first"));
    const error = await refusal(client.chat.completions.create(ask("second")));
    expect(error).toBeInstanceOf(OpenAI.RateLimitError);
    expect(error).toMatchObject({ type: "requests", code: "rate_limit_exceeded" });
    const seconds = Number(error.headers?.get("retry-after"));
    expect(seconds).toBeGreaterThan(1);
    expect(slow.requests).toHaveLength(1);
  });

  test("a live call goes before the calls of a batch at the same provider", async () => {
    await using busy = await startProvider();
    await using server = await startServer({
      ...providersOf(busy.url, { models: ["gpt-*"], maxConcurrency: 1 }),
    });
    const order: string[] = [];
    busy.state.behave = async ({ prompt }) => {
      order.push(prompt);
      await Bun.sleep(20);
      return undefined;
    };
    await server.post("/batches", {
      id: "many",
      tasks: Array.from({ length: 40 }, (_, i) => ({ prompt: `batch ${i}`, model: "gpt-4o-mini" })),
    });
    await server.post("/batches/many/execute");
    await until(() => order.length > 2);
    const client = clientOf(server);
    await Promise.all([1, 2, 3].map((i) => client.chat.completions.create(ask(`live ${i}`))));
    expect(order.length).toBeLessThan(15);
    await server.finished("many");
  });

  test("a fallback answers if a provider cannot, and the answer says so", async () => {
    await using down = await startProvider((_, response) => fail(response, 503));
    await using up = await startProvider();
    await using server = await startServer(
      providersOf(down.url, { models: ["gpt-4o-mini"] }, up.url, { models: ["gpt-4o"] }),
    );
    const { data, response } = await clientOf(server)
      .chat.completions.create(ask("over"))
      .withResponse();
    expect(data.model).toBe("gpt-4o");
    expect(response.headers.get("x-gtr-provider")).toBe("p1");
    expect(response.headers.get("x-gtr-adjusted")).toBe("model sent as gpt-4o");
    expect(down.requests).toHaveLength(1);

    // No other provider would take a request that is wrong.
    down.state.behave = (_, reply) => fail(reply, 400);
    const wrong = clientOf(server).chat.completions.create(ask("wrong"));
    expect(await refusal(wrong)).toBeInstanceOf(OpenAI.BadRequestError);
    expect([down.requests.length, up.requests.length]).toEqual([2, 1]);
  });

  test("a parameter that a provider refuses is left out, and the answer says so", async () => {
    provider.state.behave = ({ body }, response) =>
      "top_p" in body
        ? fail(response, 400, { message: "Unsupported parameter: 'top_p'", param: "top_p" })
        : undefined;
    const { response } = await openai.chat.completions
      .create(ask("adjust", { top_p: 0.5 }))
      .withResponse();
    expect(response.headers.get("x-gtr-adjusted")).toBe("top_p omitted");
  });
});

describe("a call with store: true", () => {
  test("is a task, whole or streamed, and its answer is reused on request", async () => {
    provider.state.behave = () => undefined;
    const cached = { headers: { "x-gtr-cache": "true" } };
    await openai.chat.completions.create(ask("keep me not"));
    const request = ask("keep me", { store: true });
    const first = await openai.chat.completions.create(request, cached).withResponse();
    expect(first.response.headers.get("x-gtr-cache")).toBe("miss");
    const id = first.response.headers.get("x-gtr-task") ?? "";
    const task = await app.ended(id);
    expect(task).toMatchObject({
      status: "completed",
      prompt: "keep me",
      result: { content: "re: keep me", usage: { promptTokens: 10 } },
    });
    const calls = provider.requests.length;
    const again = await openai.chat.completions.create(request, cached).withResponse();
    expect(again.response.headers.get("x-gtr-cache")).toBe("hit");
    expect(again.response.headers.get("x-gtr-cost-usd")).toBe("0");
    expect(again.data.choices).toEqual(first.data.choices);
    expect(provider.requests.length).toBe(calls);

    provider.state.behave = streaming;
    const streamed = await openai.chat.completions
      .create({ ...ask("stream me", { store: true }), stream: true })
      .withResponse();
    for await (const _ of streamed.data);
    const kept = await app.ended(streamed.response.headers.get("x-gtr-task") ?? "");
    expect(kept.result.content).toBe("Hello");

    provider.state.behave = (_, response) => fail(response, 400, { message: "no" });
    const error = await refusal(openai.chat.completions.create(ask("fail", { store: true })));
    const failed = await app.ended(error.headers?.get("x-gtr-task") ?? "");
    expect(failed).toMatchObject({ status: "failed", error: { providerStatus: 400 } });
    expect(await app.differences()).toEqual([]);
    const { rows } = await app.ctx.client.execute(
      "SELECT count(*) AS n FROM task_inputs WHERE body LIKE '%keep me not%'",
    );
    expect(rows[0]?.["n"]).toBe(0);
  });

  test("may have its answer from a task with cache: true", async () => {
    provider.state.behave = () => undefined;
    const task = { prompt: "of a task", model: "gpt-4o-mini", cache: true };
    await app.post("/tasks?execute=true", task, { prefer: "wait=30" });
    const calls = provider.requests.length;
    const cached = { headers: { "x-gtr-cache": "true" } };
    const { data, response } = await openai.chat.completions
      .create(ask("of a task"), cached)
      .withResponse();
    expect(data.choices[0]?.message.content).toBe("re: of a task");
    expect(response.headers.get("x-gtr-cache")).toBe("hit");
    expect(provider.requests).toHaveLength(calls);
  });
});

describe("other endpoints", () => {
  test("embeddings, responses, completions, moderations and images are passed on", async () => {
    provider.state.behave = ({ path, body }) => {
      const tokens = { prompt_tokens: 3, total_tokens: 3 };
      if (path === "/v1/embeddings")
        return {
          object: "list",
          model: body.model,
          data: [{ object: "embedding", index: 0, embedding: [0.5, 1] }],
          usage: tokens,
        };
      if (path === "/v1/images/generations") return { created: 1, data: [{ b64_json: "AAAA" }] };
      if (path === "/v1/moderations") return { id: "m", model: body.model, results: [] };
      if (path === "/v1/completions")
        return { id: "c", object: "text_completion", choices: [{ index: 0, text: "hi" }] };
      return {
        id: "r",
        object: "response",
        model: body.model,
        output: [
          { type: "message", role: "assistant", content: [{ type: "output_text", text: "hi" }] },
        ],
        usage: { input_tokens: 3, output_tokens: 1, total_tokens: 4 },
      };
    };
    const embedded = await openai.embeddings.create({
      model: "text-embedding-3-small",
      input: "x",
      encoding_format: "float",
    });
    expect(embedded.data[0]?.embedding).toEqual([0.5, 1]);
    const answered = await openai.responses.create({ model: "gpt-4o-mini", input: "x" });
    expect(answered.output_text).toBe("hi");
    const completed = await openai.completions.create({ model: "gpt-3.5-turbo", prompt: "x" });
    expect(completed.choices[0]?.text).toBe("hi");
    const made = await openai.images.generate({ model: "gpt-image-2", prompt: "x" });
    expect(made.data).toEqual([{ b64_json: "AAAA" }]);
    expect(
      (await openai.moderations.create({ input: "x", model: "omni-moderation-latest" })).results,
    ).toEqual([]);
  });

  test("models are listed and retrieved", async () => {
    const ids = [];
    for await (const model of openai.models.list()) {
      expect(Object.keys(model).toSorted()).toEqual(["created", "id", "object", "owned_by"]);
      ids.push(model.id);
    }
    expect(ids).toContain("gpt-4o-mini");
    const raw = await (await openai.models.list().asResponse()).json();
    expect({ ...raw, data: [] }).toEqual({ object: "list", data: [] });
    expect(await openai.models.retrieve("gpt-4o-mini")).toMatchObject({ owned_by: "openai" });
    expect(await refusal(openai.models.retrieve("claude-x"))).toMatchObject({
      status: 404,
      code: "model_not_found",
    });
  });
});
