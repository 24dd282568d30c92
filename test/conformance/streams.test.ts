import { afterAll, beforeAll, describe, expect, spyOn, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";

import OpenAI from "openai";

import { refusal } from "../support/openai.ts";
import { type Behaviour, fail, gate, startProvider } from "../support/provider.ts";
import { KEY, startServer, type TestServer, until } from "../support/server.ts";

/* Streams with everything that OpenAI sends, calls that break, and calls that their clients leave. */

let provider: Awaited<ReturnType<typeof startProvider>>;
let app: TestServer;
let openai: OpenAI;
let folder: string;

beforeAll(async () => {
  provider = await startProvider();
  folder = mkdtempSync(join(tmpdir(), "providers-"));
  const file = join(folder, "providers.json");
  const baseUrl = provider.url;
  const providers = [
    { name: "wide", baseUrl, models: ["gpt-4o-mini"] },
    { name: "narrow", baseUrl, models: ["gpt-4o"], maxConcurrency: 1 },
    { name: "limited", baseUrl, models: ["gpt-4.1"] },
    { name: "spent", baseUrl, models: ["gpt-4.1-mini"] },
    { name: "busy", baseUrl, models: ["gpt-4.1-nano"] },
  ];
  writeFileSync(file, JSON.stringify({ providers }));
  app = await startServer({
    PROVIDERS_FILE: file,
    LIVE_STORE: "always",
    LIVE_MAX_WAIT_MS: "1000",
  });
  openai = clientWith(KEY);
});
afterAll(async () => {
  await app[Symbol.asyncDispose]();
  await provider[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

function clientWith(apiKey: string): OpenAI {
  return new OpenAI({ apiKey, baseURL: `${app.url}/v1`, maxRetries: 0 });
}

/** A key of its own, so that its usage is separate. */
async function newKey(more: object = {}) {
  const { body } = await app.post("/api-keys", { name: "live", scopes: ["write"], ...more });
  return {
    client: clientWith(body.data.key),
    /** The usage once so many calls are counted. */
    async usageOf(calls: number) {
      return until(async () => {
        const { month } = (await app.get(`/api-keys/${body.data.id}`)).body.data.usage;
        return month.tasks === calls ? month : undefined;
      });
    },
  };
}

const ask = (prompt: string, more: object = {}) => ({
  model: "gpt-4o-mini",
  messages: [{ role: "user" as const, content: prompt }],
  ...more,
});

const chunk = (more: object) =>
  `data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", created: 1, model: "gpt-4o-mini", system_fingerprint: "fp_1", ...more })}\n\n`;
const piece = (index: number, delta: object, more: object = {}) =>
  chunk({ choices: [{ index, delta, logprobs: null, finish_reason: null, ...more }] });
const call = (index: number, more: object) => piece(0, { tool_calls: [{ index, ...more }] });
const args = (index: number, text: string) => call(index, { function: { arguments: text } });

const BASE64 = Buffer.from(new Float32Array([0.25, -0.5]).buffer).toString("base64");
const USAGE = chunk({
  choices: [],
  usage: { prompt_tokens: 7, completion_tokens: 9, total_tokens: 16 },
});
/** Two tools at a time in one choice, text with log probabilities in the other, a comment, and a field to come. */
const EVERYTHING = [
  ": OPENROUTER PROCESSING\n\n",
  piece(0, { role: "assistant", content: null }),
  call(0, { id: "call_a", type: "function", function: { name: "weather", arguments: "" } }),
  call(1, { id: "call_b", type: "function", function: { name: "time", arguments: "" } }),
  args(0, '{"city":'),
  args(1, '{"zone":"Europe/'),
  args(0, '"Zürich"}'),
  args(1, 'Zürich"}'),
  piece(
    1,
    { role: "assistant", content: '{"n":"Grüezi 😀"}' },
    { logprobs: { content: [{ token: "Grüezi", logprob: -0.5, bytes: null, top_logprobs: [] }] } },
  ),
  piece(0, {}, { finish_reason: "tool_calls" }),
  piece(1, {}, { finish_reason: "stop", not_invented_yet: [1] }),
  USAGE,
  "data: [DONE]\n\n",
];

/** Sends the text in pieces that end anywhere, also inside of a character. */
function sendCut(response: ServerResponse, text: string): void {
  response.writeHead(200, { "content-type": "text/event-stream" });
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += 11) response.write(bytes.subarray(at, at + 11));
  response.end();
}

describe("a stream with parallel tools, log probabilities and two choices", () => {
  const request = ask("everything", {
    stream: true,
    n: 2,
    logprobs: true,
    top_logprobs: 0,
    parallel_tool_calls: true,
    tools: [{ type: "function", function: { name: "weather", parameters: { type: "object" } } }],
    response_format: {
      type: "json_schema",
      json_schema: { name: "x", strict: true, schema: { type: "object" } },
    },
  });
  const everything: Behaviour = (_, response) => {
    sendCut(response, EVERYTHING.join(""));
    return undefined;
  };

  test("arrives byte for byte, and without the usage chunk if it was not requested", async () => {
    provider.state.behave = everything;
    const usage = { ...request, stream_options: { include_usage: true } };
    const chat = `${app.url}/v1/chat/completions`;
    expect((await app.send("POST", chat, usage)).text).toBe(EVERYTHING.join(""));
    expect(provider.requests.at(-1)?.text).toBe(JSON.stringify(usage));
    const { text } = await app.send("POST", chat, request);
    expect(text).toBe(EVERYTHING.filter((one) => one !== USAGE).join(""));
  });

  test("is assembled by the SDK, and stored whole", async () => {
    provider.state.behave = everything;
    const { choices } = await openai.chat.completions
      .stream(request as OpenAI.ChatCompletionCreateParamsStreaming)
      .finalChatCompletion();
    expect(choices.map(({ finish_reason }) => finish_reason)).toEqual(["tool_calls", "stop"]);
    const called = [
      { id: "call_a", function: { name: "weather", arguments: '{"city":"Zürich"}' } },
      { id: "call_b", function: { name: "time", arguments: '{"zone":"Europe/Zürich"}' } },
    ];
    expect(choices[0]?.message.tool_calls).toMatchObject(called);
    expect(choices[1]?.message.content).toBe('{"n":"Grüezi 😀"}');
    expect(choices[1]?.logprobs?.content?.[0]?.logprob).toBe(-0.5);

    // LIVE_STORE is `always`.
    const { headers } = await app.send("POST", `${app.url}/v1/chat/completions`, request);
    const id = headers.get("x-gtr-task");
    // The answer does not wait for its task to be stored.
    const stored = await until(async () => {
      const { status, body } = await app.get(`/tasks/${id}`);
      return status === 200 ? body.data : undefined;
    });
    expect(stored.result).toMatchObject({
      toolCalls: called,
      usage: { promptTokens: 7, completionTokens: 9 },
    });
  });
});

describe("a stream that breaks", () => {
  const begin = (response: ServerResponse) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(piece(0, { role: "assistant", content: "a few words" }));
  };
  const ENDS: [string, string, (response: ServerResponse) => void][] = [
    [
      "with the provider's error",
      "overloaded right now",
      (response) =>
        response.end(
          `data: {"error":{"message":"overloaded right now","type":"server_error"}}\n\n`,
        ),
    ],
    [
      "with its connection",
      "The connection to the provider broke before the answer was complete",
      (response) => {
        // Within an event, whose beginning must not swallow the error.
        response.write('data: {"choices":[{"index":0,"del');
        setImmediate(() => response.destroy());
      },
    ],
    [
      "without the end of its answer",
      "The connection to the provider broke before the answer was complete",
      (response) => response.end(),
    ],
  ];
  test.each(ENDS)(
    "%s is an error of the SDK, and the text so far is paid for",
    async (...given) => {
      const [, message, end] = given;
      // A connection that breaks at once would also lose what was sent before.
      const { opened: heard, open } = gate();
      provider.state.behave = async (_, response) => {
        begin(response);
        await heard;
        end(response);
        return undefined;
      };
      const { client, usageOf } = await newKey();
      const stream = await client.chat.completions.create({ ...ask("break"), stream: true });
      const said: string[] = [];
      const reading = (async () => {
        for await (const { choices } of stream) {
          said.push(choices[0]?.delta.content ?? "");
          open();
        }
      })();
      const error = await refusal(reading);
      expect(error.message).toContain(message);
      expect(said).toEqual(["a few words"]);
      const { completionTokens, costUsd } = await usageOf(1);
      expect(completionTokens).toBeGreaterThan(0);
      expect(costUsd).toBeGreaterThan(0);
    },
  );
});

test.each([null, {}, { include_usage: false, include_obfuscation: false }])(
  "a stream with stream_options %j is metered by its usage, which the client does not get",
  async (options) => {
    provider.state.behave = (_, response) => {
      sendCut(response, EVERYTHING.join(""));
      return undefined;
    };
    const { client, usageOf } = await newKey();
    const request = { ...ask("options"), stream: true as const, stream_options: options };
    const { data, response } = await client.chat.completions.create(request).withResponse();
    for await (const { usage } of data) expect(usage).toBeUndefined();
    expect(response.headers.get("x-gtr-adjusted")).toBe("stream_options.include_usage added");
    expect(provider.requests.at(-1)?.body.stream_options).toEqual({
      ...options,
      include_usage: true,
    });
    expect(await usageOf(1)).toMatchObject({ promptTokens: 7, completionTokens: 9 });
  },
);

describe("an error that is not in OpenAI's format", () => {
  const REWRITTEN = "error rewritten in OpenAI's format";
  test.each([
    ["<html><head><title>504 Gateway Time-out</title></head></html>", "text/html", 504, "504"],
    ['{"error":"the model is loading"}', "application/json", 503, "the model is loading"],
    ['{"object":"error","message":"too long","code":400}', "application/json", 400, "too long"],
    ["not JSON", "application/json", 200, "not valid JSON"],
  ])("is rewritten in it: %s", async (text, type, status, message) => {
    provider.state.behave = (_, response) => {
      response.writeHead(status, { "content-type": type });
      response.end(text);
      return undefined;
    };
    const error = await refusal(
      openai.chat.completions.create(ask("odd", { model: "gpt-4.1-nano" })),
    );
    expect(error).toMatchObject({
      status: status === 200 ? 502 : status,
      type: status === 400 ? "invalid_request_error" : "server_error",
      param: null,
      code: "provider_error",
      message: expect.stringContaining(message),
    });
    expect(error.headers?.get("content-type")).toStartWith("application/json");
    expect(error.headers?.get("x-gtr-adjusted")).toBe(REWRITTEN);
  });
});

describe("a client that leaves", () => {
  const long = ask("word ".repeat(1000));
  const start = (client: OpenAI, request: ReturnType<typeof ask>) => {
    const leaving = new AbortController();
    const ended = client.chat.completions.create(request, { signal: leaving.signal }).then(
      () => "answered",
      (error) => error,
    );
    return async () => {
      leaving.abort();
      expect(await ended).toBeInstanceOf(OpenAI.APIUserAbortError);
    };
  };

  test.each([
    ["before the provider's answer", () => undefined],
    [
      "in the middle of an answer that is not a stream",
      (response: ServerResponse) => {
        response.writeHead(200, { "content-type": "application/json" });
        response.write('{"choices":[{"index":0,"mess');
      },
    ],
  ])("%s ends the provider's call, and pays for the prompt", async (_, begin) => {
    const { client, usageOf } = await newKey({ monthlyBudgetUsd: 1 });
    provider.state.behave = async (_request, response) => {
      begin(response);
      await new Promise((resolve) => response.on("close", resolve));
      return undefined;
    };
    const leave = start(client, long);
    await until(() => provider.state.open === 1);
    await leave();
    await until(() => provider.state.open === 0);
    const { promptTokens, completionTokens, costUsd } = await usageOf(1);
    expect(promptTokens).toBeGreaterThan(900);
    expect(completionTokens).toBe(0);
    expect(costUsd).toBeGreaterThan(0);
    const { rows } = await app.ctx.client.execute("SELECT count(*) AS n FROM live_calls");
    expect(rows[0]?.["n"]).toBe(0);
  });

  test("while its call waits for its turn pays nothing, and the call is never sent", async () => {
    const { client, usageOf } = await newKey();
    const { opened, open } = gate();
    provider.state.behave = async () => {
      await opened;
      return undefined;
    };
    const before = provider.requests.length;
    const narrow = { model: "gpt-4o" };
    const first = client.chat.completions.create(ask("first", narrow));
    const answered = first.then(({ choices }) => choices[0]?.message.content);
    await until(() => provider.state.open === 1);
    using read = spyOn(app.ctx.models, "isAllowed");
    const leave = start(client, ask("second", narrow));
    // The last that the server does before the call waits.
    await until(() => read.mock.calls.length > 0);
    const third = client.chat.completions.create(ask("third", narrow));
    using ended = spyOn(app.ctx.meters, "add");
    await leave();
    // The server has ended the request, too.
    await until(() => ended.mock.calls.some(([name]) => name === "http_requests_total"));
    open();
    expect([await answered, (await third).choices[0]?.message.content]).toEqual([
      "re: first",
      "re: third",
    ]);
    expect((await usageOf(2)).promptTokens).toBe(20);
    expect(provider.requests.length).toBe(before + 2);
  });
});

test.each([
  ["gpt-4.1", "7", ["7", "7000", null]],
  // The SDKs would wait as long as they are told.
  ["gpt-4.1-mini", "120", ["120", "120000", "false"]],
])("a 429 of the provider of %s arrives with the time to wait", async (model, after, expected) => {
  provider.state.behave = (_, response) =>
    fail(response, 429, { code: "rate_limit_exceeded" }, { "retry-after": after });
  const { client } = await newKey({ rateLimitPerMinute: 100 });
  const error = await refusal(client.chat.completions.create(ask("x", { model })));
  expect(error).toBeInstanceOf(OpenAI.RateLimitError);
  const names = ["retry-after", "retry-after-ms", "x-should-retry"];
  expect(names.map((name) => error.headers?.get(name))).toEqual(expected);
  // These are of the key, not of the provider.
  expect(error.headers?.get("x-ratelimit-limit-requests")).toBe("100");
  expect(error.headers?.get("x-ratelimit-remaining-requests")).toBe("99");
  expect(error.requestID).toStartWith("req-");

  // The provider is not called before that, and the server says so in its own words.
  const before = provider.requests.length;
  const own = await refusal(client.chat.completions.create(ask("y", { model })));
  expect(own).toMatchObject({ status: 429, type: "requests", code: "rate_limit_exceeded" });
  const ms = Number(own.headers?.get("retry-after-ms"));
  expect(ms / 1000).toBe(Number(own.headers?.get("retry-after")));
  expect(ms).toBeGreaterThan(Number(after) * 1000 - 5000);
  expect(own.headers?.get("x-should-retry")).toBe(expected[2] ?? null);
  expect(provider.requests).toHaveLength(before);
});

test("the SDK tries again as soon as the provider allows it", async () => {
  provider.state.behave = ({ earlier }, response) =>
    earlier === 0 ? fail(response, 429, {}, { "retry-after-ms": "30" }) : undefined;
  const patient = new OpenAI({ apiKey: KEY, baseURL: `${app.url}/v1`, maxRetries: 1 });
  const begun = performance.now();
  const { choices } = await patient.chat.completions.create(
    ask("again", { model: "gpt-4.1-nano" }),
  );
  expect(choices[0]?.message.content).toBe("re: again");
  expect(provider.counts.get("again")).toBe(2);
  expect(performance.now() - begun).toBeGreaterThanOrEqual(30);
});

test("vectors arrive in base64, as the SDK requests them", async () => {
  provider.state.behave = ({ body }) => ({
    object: "list",
    model: body.model,
    data: [{ object: "embedding", index: 0, embedding: BASE64 }],
    usage: { prompt_tokens: 1, total_tokens: 1 },
  });
  const { data } = await openai.embeddings.create({ model: "gpt-4o-mini", input: ["x"] });
  expect(provider.requests.at(-1)?.body.encoding_format).toBe("base64");
  expect(data[0]?.embedding).toEqual([0.25, -0.5]);
});
