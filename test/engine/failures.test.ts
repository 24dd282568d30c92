import { describe, expect, test } from "bun:test";
import { createServer, type Socket } from "node:net";
import type { AddressInfo } from "node:net";

import { type Behaviour, chatAnswer, fail, hang, startProvider } from "../support/provider.ts";
import { type Json, startServer } from "../support/server.ts";

const wait = { prefer: "wait=20" };

/** For each cause: the error code for users, whether it is retried, and the provider's status. */
type Row = { cause: string; behave: Behaviour; code: string; retryable: boolean; status?: number };

/** The provider may have made an answer that did not arrive, so the prompts of both attempts are paid for. */
const PAID = new Set([
  "timeout",
  "timeout after the headers",
  "connection closed before the headers",
  "connection reset in the body",
]);
/** Of the prompt "x", with the frame of its message. */
const PROMPT_TOKENS = 7;

const raw =
  (text: string, contentType = "application/json"): Behaviour =>
  (_request, response) => {
    response.writeHead(200, { "content-type": contentType });
    response.end(text);
    return null;
  };

const http =
  (status: number, error: Json = {}): Behaviour =>
  (_request, response) =>
    fail(response, status, error);

const CAUSES: Row[] = [
  { cause: "timeout", behave: hang, code: "PROVIDER_TIMEOUT", retryable: true },
  {
    cause: "timeout after the headers",
    behave: (_request, response) => {
      response.writeHead(200, { "content-type": "application/json" });
      response.write('{"id":');
      return hang();
    },
    code: "PROVIDER_TIMEOUT",
    retryable: true,
  },
  {
    cause: "connection closed before the headers",
    behave: (_request, response) => void response.socket?.destroy(),
    code: "PROVIDER_CONNECTION_LOST",
    retryable: true,
  },
  {
    cause: "connection reset in the body",
    behave: async (_request, response) => {
      response.writeHead(200, { "content-type": "application/json", "content-length": "500" });
      response.write('{"id":');
      await Bun.sleep(10);
      (response.socket as Socket).resetAndDestroy();
      return null;
    },
    code: "PROVIDER_CONNECTION_LOST",
    retryable: true,
  },
  {
    cause: "truncated JSON",
    behave: raw('{"choices":[{"mess'),
    code: "PROVIDER_BAD_RESPONSE",
    retryable: true,
  },
  {
    cause: "an HTML page",
    behave: raw("<html>login</html>", "text/html"),
    code: "PROVIDER_BAD_RESPONSE",
    retryable: true,
  },
  {
    cause: "no choices",
    behave: raw('{"choices":[]}'),
    code: "EMPTY_RESPONSE",
    retryable: true,
  },
  { cause: "null", behave: raw("null"), code: "EMPTY_RESPONSE", retryable: true },
  {
    cause: "an error with status 200",
    behave: raw('{"error":{"message":"upstream","code":502}}'),
    code: "PROVIDER_ERROR",
    retryable: true,
    status: 502,
  },
  {
    cause: "400",
    behave: http(400),
    code: "PROVIDER_REJECTED_REQUEST",
    retryable: false,
    status: 400,
  },
  { cause: "401", behave: http(401), code: "PROVIDER_UNAUTHORIZED", retryable: false, status: 401 },
  {
    cause: "402",
    behave: http(402),
    code: "PROVIDER_QUOTA_EXHAUSTED",
    retryable: false,
    status: 402,
  },
  { cause: "403", behave: http(403), code: "PROVIDER_FORBIDDEN", retryable: false, status: 403 },
  { cause: "404", behave: http(404), code: "PROVIDER_NOT_FOUND", retryable: false, status: 404 },
  { cause: "408", behave: http(408), code: "PROVIDER_TIMEOUT", retryable: true, status: 408 },
  { cause: "409", behave: http(409), code: "PROVIDER_CONFLICT", retryable: true, status: 409 },
  {
    cause: "422",
    behave: http(422),
    code: "PROVIDER_REJECTED_REQUEST",
    retryable: false,
    status: 422,
  },
  { cause: "500", behave: http(500), code: "PROVIDER_ERROR", retryable: true, status: 500 },
  {
    cause: "502 with a page",
    behave: (_r, response) => {
      response.writeHead(502, { "content-type": "text/html" });
      response.end("<h1>Bad gateway</h1>");
      return null;
    },
    code: "PROVIDER_ERROR",
    retryable: true,
    status: 502,
  },
  {
    cause: "insufficient_quota",
    behave: http(429, { code: "insufficient_quota", type: "insufficient_quota" }),
    code: "PROVIDER_QUOTA_EXHAUSTED",
    retryable: false,
    status: 429,
  },
  {
    cause: "content filter",
    behave: http(400, { code: "content_filter" }),
    code: "CONTENT_FILTERED",
    retryable: false,
    status: 400,
  },
  {
    cause: "context length",
    behave: http(400, { code: "context_length_exceeded" }),
    code: "CONTEXT_LENGTH_EXCEEDED",
    retryable: false,
    status: 400,
  },
  {
    cause: "content withheld",
    behave: (request) => {
      const answer = chatAnswer(request);
      answer.choices[0] = {
        index: 0,
        message: { role: "assistant", content: null },
        finish_reason: "content_filter",
      };
      return answer;
    },
    code: "CONTENT_FILTERED",
    retryable: false,
  },
];

describe("a call that fails by", () => {
  test.each(CAUSES)("$cause is retried only if that may help, and says why", async (row) => {
    await using provider = await startProvider(row.behave);
    await using app = await startServer(provider.env);
    const isTimeout = row.cause.startsWith("timeout");
    const { body } = await app.post(
      "/tasks?execute=true",
      { id: "t", prompt: "x", maxRetries: 1, ...(isTimeout && { timeoutMs: 150 }) },
      wait,
    );
    const attempts = row.retryable ? 2 : 1;
    expect(body.data).toMatchObject({
      status: "failed",
      attempts,
      error: {
        code: row.code,
        message: expect.any(String),
        providerStatus: row.status ?? null,
        retryable: row.retryable,
      },
    });
    expect(provider.requests).toHaveLength(attempts);
    const [execution] = (await app.get("/tasks/t/executions")).body.data.executions;
    expect(execution.attempts).toHaveLength(attempts);
    for (const [i, attempt] of execution.attempts.entries())
      expect(attempt).toMatchObject({
        attempt: i + 1,
        outcome: "failed",
        code: row.code,
        startedAt: expect.any(String),
        endedAt: expect.any(String),
      });
    if (PAID.has(row.cause)) {
      const { tokens, costUsd } = (await app.get("/metrics/tasks")).body.data;
      expect(tokens).toMatchObject({ prompt: attempts * PROMPT_TOKENS, completion: 0 });
      expect(costUsd).toBeGreaterThan(0);
    }
    expect(await app.differences()).toEqual([]);
  });

  test("a refused connection, an unknown host or a broken TLS handshake", async () => {
    const plain = createServer((socket) => socket.end("no TLS here"));
    await new Promise<void>((resolve) => plain.listen(0, "127.0.0.1", resolve));
    const { port } = plain.address() as AddressInfo;
    const cases: [string, string, boolean][] = [
      ["http://127.0.0.1:1/v1", "PROVIDER_UNREACHABLE", true],
      ["http://no-such-host.invalid/v1", "PROVIDER_UNREACHABLE", true],
      [`https://127.0.0.1:${port}/v1`, "PROVIDER_TLS_FAILED", false],
    ];
    for (const [baseUrl, code, retryable] of cases) {
      await using app = await startServer({
        OPENAI_BASE_URL: baseUrl,
        MAX_RETRIES: "1",
        ALLOWED_MODELS: "*",
      });
      const { body } = await app.post("/tasks?execute=true", { prompt: "x" }, wait);
      expect(body.data).toMatchObject({
        status: "failed",
        attempts: retryable ? 2 : 1,
        error: { code, retryable },
      });
    }
    plain.close();
  });
});

describe("retries", () => {
  test("go on until one succeeds, and every attempt is on record with the provider's request id", async () => {
    await using provider = await startProvider(({ earlier }, response) =>
      earlier < 3 ? fail(response, 503, {}, { "x-request-id": `fail-${earlier}` }) : undefined,
    );
    await using app = await startServer(provider.env);
    const { body } = await app.post("/tasks?execute=true", { id: "t", prompt: "x" }, wait);
    expect(body.data).toMatchObject({ status: "completed", attempts: 4 });
    const [execution] = (await app.get("/tasks/t/executions")).body.data.executions;
    expect(execution.attempts.map(({ outcome, requestId }: Json) => [outcome, requestId])).toEqual([
      ["failed", "fail-0"],
      ["failed", "fail-1"],
      ["failed", "fail-2"],
      ["completed", "req_4"],
    ]);
  });

  test("take their number from the task, else the batch, else the environment", async () => {
    await using provider = await startProvider((_request, response) => fail(response, 500));
    await using app = await startServer({ ...provider.env, MAX_RETRIES: "3" });
    await app.post("/batches", {
      id: "b",
      tasks: [{ prompt: "task", maxRetries: 0 }, { prompt: "batch" }],
      config: { maxRetries: 1 },
    });
    await app.post("/batches/b/execute");
    await app.post("/tasks?execute=true", { prompt: "environment" }, wait);
    await app.finished("b");
    expect(Object.fromEntries(provider.counts)).toEqual({ task: 1, batch: 2, environment: 4 });
  });

  test("wait as long as the provider asks, in each way of asking", async () => {
    // A date has whole seconds.
    const date = Math.ceil(Date.now() / 1000 + 1) * 1000;
    const asks: Record<string, Record<string, string>> = {
      seconds: { "retry-after": "1" },
      ms: { "retry-after-ms": "300" },
      azure: { "x-ms-retry-after-ms": "300" },
      date: { "retry-after": new Date(date).toUTCString() },
      absurd: { "retry-after": "-5" },
    };
    const times = new Map<string, number[]>();
    await using provider = await startProvider(({ prompt, earlier }, response) => {
      times.set(prompt, [...(times.get(prompt) ?? []), Date.now()]);
      return earlier === 0 ? fail(response, 429, {}, asks[prompt]) : undefined;
    });
    await using app = await startServer(provider.env);
    // One model each, because all calls of a model wait together.
    const tasks = Object.keys(asks).map((prompt) => ({ prompt, model: `model-${prompt}` }));
    await app.post("/batches", { id: "b", tasks });
    await app.post("/batches/b/execute");
    await app.finished("b");
    const waited = (prompt: string) => {
      const [first = 0, second = 0] = times.get(prompt) ?? [];
      return second - first;
    };
    expect(waited("seconds")).toBeGreaterThanOrEqual(990);
    expect(waited("ms")).toBeGreaterThanOrEqual(295);
    expect(waited("azure")).toBeGreaterThanOrEqual(295);
    expect(times.get("date")?.[1]).toBeGreaterThanOrEqual(date);
    expect(waited("absurd")).toBeLessThan(900);
  });
});

describe("a stream", () => {
  const chunk = (delta: Json, finish: string | null = null) =>
    `data: ${JSON.stringify({ id: "c", model: "gpt-4o-mini", choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`;

  test("that breaks half-way is retried", async () => {
    await using provider = await startProvider(async ({ earlier }, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write(chunk({ role: "assistant", content: "Hel" }));
      await Bun.sleep(10);
      if (earlier === 0) return void response.socket?.destroy();
      if (earlier === 1) return void response.end();
      response.end(`${chunk({ content: "lo" })}${chunk({}, "stop")}data: [DONE]\n\n`);
      return null;
    });
    await using app = await startServer(provider.env);
    const { body } = await app.post(
      "/tasks?execute=true",
      { prompt: "x", parameters: { stream: true } },
      wait,
    );
    expect(body.data).toMatchObject({
      status: "completed",
      attempts: 3,
      result: { content: "Hello" },
    });
    expect(provider.requests[0]?.body.stream_options).toEqual({ include_usage: true });
  });

  test("publishes its pieces as they arrive", async () => {
    await using provider = await startProvider(async (_request, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      for (const word of ["one ", "two ", "three"]) {
        response.write(chunk({ content: word }));
        await Bun.sleep(20);
      }
      response.end(`${chunk({}, "stop")}data: [DONE]\n\n`);
      return null;
    });
    await using app = await startServer(provider.env);
    const heard: string[] = [];
    app.ctx.signals.on("deltas", (deltas) => heard.push(...deltas.map(({ text }) => text)));
    await app.post("/tasks?execute=true", { prompt: "x", parameters: { stream: true } }, wait);
    expect(heard).toEqual(["one ", "two ", "three"]);
  });
});
