import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import OpenAI, { toFile } from "openai";

import { createUpkeep } from "../../src/upkeep/upkeep.ts";
import { refusal } from "../support/openai.ts";
import { chatAnswer, fail, gate, startProvider } from "../support/provider.ts";
import { type Json, KEY, startServer, type TestServer, until } from "../support/server.ts";
import { follow } from "../support/sse.ts";

let provider: Awaited<ReturnType<typeof startProvider>>;
/** The provider of the models `gpt-4.1*`. */
let other: Awaited<ReturnType<typeof startProvider>>;
let folder: string;
let app: TestServer;
let openai: OpenAI;

beforeAll(async () => {
  [provider, other] = await Promise.all([startProvider(), startProvider()]);
  folder = mkdtempSync(join(tmpdir(), "providers-"));
  const file = join(folder, "providers.json");
  const providers = [
    { name: "other", baseUrl: other.url, models: ["gpt-4.1*"] },
    { name: "first", baseUrl: provider.url, models: ["*"] },
  ];
  writeFileSync(file, JSON.stringify({ providers }));
  app = await startServer({
    PROVIDERS_FILE: file,
    OPENAI_MAX_LINES: "5",
    ALLOWED_MODELS: "gpt-*,omni-*",
    OPENAI_ENDPOINTS: "/v1/rerank",
  });
  openai = new OpenAI({ apiKey: KEY, baseURL: `${app.url}/v1`, maxRetries: 0 });
});
afterAll(async () => {
  await app[Symbol.asyncDispose]();
  await Promise.all([provider[Symbol.asyncDispose](), other[Symbol.asyncDispose]()]);
  rmSync(folder, { recursive: true });
});

const CHAT = "/v1/chat/completions";

function line(customId: string, prompt = customId, more: Json = {}): string {
  return JSON.stringify({
    custom_id: customId,
    method: "POST",
    url: CHAT,
    body: { model: "gpt-4o-mini", messages: [{ role: "user", content: prompt }] },
    ...more,
  });
}

async function upload(content: string): Promise<string> {
  const file = await toFile(Buffer.from(content), "in.jsonl");
  return (await openai.files.create({ file, purpose: "batch" })).id;
}

async function start(lines: string[], more: Partial<OpenAI.BatchCreateParams> = {}) {
  return openai.batches.create({
    input_file_id: await upload(lines.join("\n")),
    endpoint: CHAT,
    completion_window: "24h",
    ...more,
  });
}

function ended(id: string): Promise<OpenAI.Batch> {
  return until(async () => {
    const batch = await openai.batches.retrieve(id);
    return ["failed", "completed", "expired", "cancelled"].includes(batch.status)
      ? batch
      : undefined;
  });
}

async function linesOf(fileId: string | undefined): Promise<Json[]> {
  const text = await (await openai.files.content(fileId ?? "none")).text();
  return text
    .trimEnd()
    .split("\n")
    .map((one) => JSON.parse(one));
}

const KEYS = [
  "cancelled_at",
  "cancelling_at",
  "completed_at",
  "completion_window",
  "created_at",
  "endpoint",
  "error_file_id",
  "errors",
  "expired_at",
  "expires_at",
  "failed_at",
  "finalizing_at",
  "id",
  "in_progress_at",
  "input_file_id",
  "metadata",
  "object",
  "output_file_id",
  "request_counts",
  "status",
  "usage",
];

describe("a batch through the SDK", () => {
  test("runs to its end, with each line in one of two files, in order", async () => {
    const detailed = (prompt: string) => ({
      ...chatAnswer({ prompt, body: { model: "gpt-4o-mini" } }),
      usage: {
        prompt_tokens: 10,
        prompt_tokens_details: { cached_tokens: 4 },
        completion_tokens: 5,
        completion_tokens_details: { reasoning_tokens: 3 },
        total_tokens: 15,
      },
    });
    // The first line is answered last.
    const { opened, open } = gate();
    provider.state.behave = async ({ prompt }, response) => {
      if (prompt === "bad") return fail(response, 400, { message: "no such thing" });
      if (prompt === "1") await opened;
      else open();
      return detailed(prompt);
    };
    const created = await start([line("1"), line("2", "bad"), line("3")], {
      metadata: { ...pairs(15), for: "test" },
      output_expires_after: { anchor: "created_at", seconds: 3600 },
    });
    expect(Object.keys(created).toSorted()).toEqual(KEYS);
    expect(created).toMatchObject({
      object: "batch",
      status: "validating",
      endpoint: CHAT,
      completion_window: "24h",
      expires_at: created.created_at + 86_400,
      errors: null,
      output_file_id: null,
      error_file_id: null,
      request_counts: { total: 0, completed: 0, failed: 0 },
      metadata: { ...pairs(15), for: "test" },
    });
    expect(created.id).toMatch(/^batch_[0-9a-z]+$/);

    const batch = await ended(created.id);
    expect(batch).toMatchObject({
      status: "completed",
      request_counts: { total: 3, completed: 2, failed: 1 },
      usage: {
        input_tokens: 20,
        input_tokens_details: { cached_tokens: 8 },
        output_tokens: 10,
        output_tokens_details: { reasoning_tokens: 6 },
        total_tokens: 30,
      },
      errors: null,
      failed_at: null,
      expired_at: null,
      cancelled_at: null,
    });
    expect(batch.completed_at).toBeGreaterThanOrEqual(batch.in_progress_at ?? Infinity);

    const output = await linesOf(batch.output_file_id);
    expect(output.map(({ custom_id }) => custom_id)).toEqual(["1", "3"]);
    expect(output[0]).toEqual({
      id: expect.stringMatching(/^batch_req_/),
      custom_id: "1",
      response: {
        status_code: 200,
        request_id: expect.stringMatching(/^req_/),
        body: detailed("1"),
      },
      error: null,
    });
    expect(await linesOf(batch.error_file_id)).toEqual([
      {
        id: expect.stringMatching(/^batch_req_/),
        custom_id: "2",
        response: {
          status_code: 400,
          request_id: expect.any(String),
          body: {
            error: {
              message: expect.stringContaining("no such thing"),
              type: "invalid_request_error",
              param: null,
              code: "provider_rejected_request",
            },
          },
        },
        error: null,
      },
    ]);
    const file = await openai.files.retrieve(batch.output_file_id ?? "");
    const whole = await (await openai.files.content(file.id)).text();
    expect(file).toMatchObject({
      purpose: "batch_output",
      bytes: Buffer.byteLength(whole),
      filename: `${batch.id}_output.jsonl`,
      expires_at: (batch.completed_at ?? 0) + 3600,
    });
    const part = await openai.files.content(file.id, { headers: { range: "bytes=10-29" } });
    expect([part.status, await part.text()]).toEqual([206, whole.slice(10, 30)]);
  });

  test("is a batch of /api/v1, and a batch created there from a file is available here", async () => {
    provider.state.behave = () => undefined;
    const { id } = await start([line("1")]);
    await ended(id);
    const { body } = await app.get(`/batches/${id}`);
    expect(body.data).toMatchObject({ status: "completed", chain: { status: "made" } });
    await using events = await follow(app.url, `/events?since=0&batchId=${id}`);
    await events.until("batch.completed");
    expect(events.types()).toContain("task.completed");

    const inputFile = await upload([line("x"), line("y")].join("\n"));
    const own = await app.post("/batches", { id: "own-1", inputFile });
    expect(own.status).toBe(201);
    expect(await openai.batches.retrieve("own-1")).toMatchObject({ status: "validating" });
    await app.post("/batches/own-1/execute");
    expect(await ended("own-1")).toMatchObject({
      input_file_id: inputFile,
      request_counts: { total: 2, completed: 2, failed: 0 },
      expires_at: null,
    });
    expect(await linesOf((await openai.batches.retrieve("own-1")).output_file_id)).toHaveLength(2);
    await app.post("/batches", { id: "inline-1", tasks: [{ prompt: "x" }] });
    expect(await refusal(openai.batches.retrieve("inline-1"))).toMatchObject({
      status: 404,
      error: { message: "No batch found with id 'inline-1'." },
    });
    const listed: string[] = [];
    for await (const batch of openai.batches.list({ limit: 1 })) listed.push(batch.id);
    expect(listed).toContain(id);
    expect(listed).toContain("own-1");
    expect(listed).not.toContain("inline-1");
    const files: string[] = [];
    for await (const file of openai.files.list({ limit: 2 })) files.push(file.id);
    expect(files).toContain(`file-output-${id}`);
    expect(new Set(files).size).toBe(files.length);
  });

  test("has partial results while it runs, pauses, and is cancelled with counts that add up", async () => {
    const { opened, open } = gate();
    provider.state.behave = async ({ prompt }) => {
      if (prompt !== "first") await opened;
      return undefined;
    };
    const metadata = { for: "pausing" };
    const { id } = await start([line("1", "first"), line("2"), line("3")], { metadata });
    await until(async () => {
      const { request_counts: counts } = await openai.batches.retrieve(id);
      return counts?.completed === 1;
    });
    const running = await openai.batches.retrieve(id);
    expect(running).toMatchObject({ status: "in_progress", output_file_id: null });
    const partial = await openai.files.content(`file-output-${id}`);
    expect(partial.headers.get("x-incomplete")).toBe("true");
    const whole = await partial.text();
    expect(whole.trimEnd().split("\n")).toHaveLength(1);
    // The answer to an earlier line may still come, so no position in the file is final.
    const range = { headers: { range: "bytes=10-19" } };
    const part = await openai.files.content(`file-output-${id}`, range);
    expect([part.status, part.headers.get("accept-ranges"), await part.text()]).toEqual([
      200,
      "none",
      whole,
    ]);

    const none = await openai.files.content(`file-errors-${id}`);
    expect([none.headers.get("x-incomplete"), await none.text()]).toEqual(["true", ""]);

    await app.post(`/batches/${id}/pause`);
    const { data, response } = await openai.batches.retrieve(id).withResponse();
    expect(data).toMatchObject({ status: "in_progress", metadata });
    expect(Object.keys(data).toSorted()).toEqual(KEYS);
    expect(response.headers.get("x-gtr-paused")).toBe("requested");

    expect((await openai.batches.cancel(id)).status).toMatch(/^cancell/);
    open();
    const batch = await ended(id);
    expect(batch).toMatchObject({
      status: "cancelled",
      request_counts: { total: 3, completed: 1, failed: 2 },
    });
    expect(batch.cancelling_at).toBeGreaterThan(0);
    expect(batch.cancelled_at).toBeGreaterThan(0);
    expect(await linesOf(batch.output_file_id)).toHaveLength(1);
    expect((await linesOf(batch.error_file_id)).map(({ error }) => error.code)).toEqual([
      "batch_cancelled",
      "batch_cancelled",
    ]);
    expect(await openai.batches.cancel(id)).toMatchObject({ status: "cancelled" });
  });

  test("expires with its results so far", async () => {
    const { opened, open } = gate();
    provider.state.behave = async ({ prompt }) => {
      if (prompt !== "first") await opened;
      return undefined;
    };
    const { id, expires_at, created_at } = await start([line("1", "first"), line("2")], {
      completion_window: "90m" as "24h",
    });
    expect(expires_at).toBe(created_at + 5400);
    await until(async () => {
      const { request_counts: counts } = await openai.batches.retrieve(id);
      return counts?.completed === 1;
    });
    await app.ctx.client.execute({
      sql: "UPDATE batches SET deadline_at = 1 WHERE id = ?",
      args: [id],
    });
    // Looks at once, and then every few seconds.
    const upkeep = createUpkeep(app.ctx);
    upkeep.start();
    const batch = await ended(id);
    await upkeep.stop();
    open();
    expect(batch).toMatchObject({ status: "expired", cancelled_at: null, cancelling_at: null });
    expect(batch.expired_at).toBeGreaterThan(0);
    expect(await linesOf(batch.error_file_id)).toMatchObject([
      { custom_id: "2", response: null, error: { code: "batch_expired" } },
    ]);
    const refused = await refusal(openai.batches.cancel(id));
    expect(refused).toBeInstanceOf(OpenAI.ConflictError);
    expect(refused.error).toMatchObject({
      message: "Cannot cancel a batch with status 'expired'.",
    });
    expect(refused.headers?.get("x-should-retry")).toBe("false");
  });

  test("has one line for each answer also for readers that break lines at other characters than a line feed", async () => {
    const said = "one\u2028two\u2029three\u0085four";
    provider.state.behave = ({ body }) => chatAnswer({ prompt: said, body });
    const { id } = await start([line("1"), line("2")]);
    const { output_file_id: output = "" } = await ended(id);
    const text = await (await openai.files.content(output)).text();
    const native = (await app.get(`/batches/${id}/results?format=jsonl`)).text;
    for (const lines of [text, native].map((one) => one.split(/[\n\u0085\u2028\u2029]/)))
      expect(lines).toHaveLength(3);
    const [first] = await linesOf(output);
    expect(first.response.body.choices[0].message.content).toBe(`re: ${said}`);
    expect(JSON.parse(native.split("\n")[0] ?? "").result).toBe(`re: ${said}`);
  });

  test("has no files any more once they are deleted, until it runs again", async () => {
    let isMended = false;
    provider.state.behave = ({ prompt }, response) =>
      prompt === "bad" && !isMended ? fail(response, 400) : undefined;
    const { id } = await start([line("1"), line("2", "bad")]);
    const { output_file_id: output, error_file_id: errors } = await ended(id);
    for (const file of [output ?? "", errors ?? ""]) {
      await openai.files.delete(file);
      expect(await refusal(openai.files.content(file))).toMatchObject({ status: 404 });
    }
    expect(await openai.batches.retrieve(id)).toMatchObject({
      output_file_id: null,
      error_file_id: null,
      request_counts: { total: 2, completed: 1, failed: 1 },
    });
    isMended = true;
    await app.post(`/batches/${id}/retry`);
    const batch = await ended(id);
    expect(batch).toMatchObject({ output_file_id: output, error_file_id: null });
    expect(await linesOf(batch.output_file_id)).toHaveLength(2);
  });

  test("can be deleted while the batches are listed", async () => {
    provider.state.behave = () => undefined;
    const made = new Set<string>();
    for (const id of ["1", "2", "3"]) made.add((await ended((await start([line(id)])).id)).id);
    for await (const { id } of openai.batches.list({ limit: 1 })) {
      if (made.delete(id)) expect((await app.del(`/batches/${id}`)).status).toBe(200);
      if (made.size === 0) break;
    }
    expect(made.size).toBe(0);
  });

  test("has another tag and size for its output after one of its tasks has run again", async () => {
    let count = 0;
    provider.state.behave = ({ prompt, body }, response) =>
      prompt === "bad" && count === 0
        ? fail(response, 400)
        : chatAnswer({ prompt: "x".repeat(++count), body });
    const { id } = await start([line("1"), line("2", "bad")]);
    const { output_file_id: output } = await ended(id);
    const url = `${app.url}/v1/files/${output ?? ""}`;
    const seen = new Set<string | null>();
    for (const task of [undefined, `${id}-2`, `${id}-1`]) {
      if (task !== undefined) await app.post(`/tasks/${task}/execute`, {}, { prefer: "wait=20" });
      const whole = await app.get(`${url}/content`);
      expect((await app.get(url)).body.bytes).toBe(Buffer.byteLength(whole.text));
      expect((await app.get(url)).body.bytes).toBe(Buffer.byteLength(whole.text));
      seen.add(whole.headers.get("etag"));
    }
    expect(seen.size).toBe(3);
  });

  const USAGE = { prompt_tokens: 2, total_tokens: 2 };
  const TOKENS = { input_tokens: 2, output_tokens: 1, total_tokens: 3 };
  const VECTORS = [0, 1].map((index) => ({
    object: "embedding",
    index,
    embedding: "AACAPgAAAL8=",
  }));
  const SAID = {
    type: "message",
    role: "assistant",
    content: [{ type: "output_text", text: "b" }],
  };
  test.each([
    [
      "/v1/embeddings",
      { input: ["a", "b"], encoding_format: "base64" },
      { object: "list", data: VECTORS, usage: USAGE },
    ],
    [
      "/v1/completions",
      { prompt: "a" },
      { choices: [{ index: 0, text: "b", finish_reason: "stop" }], usage: USAGE },
    ],
    [
      "/v1/responses",
      { input: "a" },
      {
        object: "response",
        status: "completed",
        output: [SAID],
        not_invented_yet: [1],
        usage: TOKENS,
      },
    ],
    ["/v1/moderations", { input: "a" }, { id: "m", results: [{ flagged: false }] }],
    ["/v1/images/generations", { prompt: "a" }, { created: 1, data: [{ b64_json: "AAAA" }] }],
    // Of OPENAI_ENDPOINTS.
    ["/v1/rerank", { query: "a", documents: ["b", "c"] }, { results: [], usage: USAGE }],
  ])("of %s has the answers as they came", async (endpoint, body, said) => {
    const request = { model: "gpt-4o-mini", ...body };
    const answer = { model: "gpt-4o-mini", ...said };
    provider.state.behave = () => answer;
    const { id } = await start([line("1", "x", { url: endpoint, body: request })], {
      endpoint: endpoint as OpenAI.BatchCreateParams["endpoint"],
    });
    const [made] = await linesOf((await ended(id)).output_file_id);
    expect(made.response.body).toEqual(answer);
    const live = await app.send("POST", app.url + endpoint, request);
    expect(live.body).toEqual(answer);
    for (const sent of provider.requests.slice(-2))
      expect([sent.path, sent.body]).toEqual([endpoint, request]);
  });

  test("may name several models, each of which goes to its own provider", async () => {
    provider.state.behave = () => undefined;
    const seen = [provider, other].map(({ requests }) => requests.length);
    const of = (id: string, model: string) =>
      line(id, id, { body: { model, messages: [{ role: "user", content: id }] } });
    const { id } = await start([of("a", "gpt-4.1"), of("b", "gpt-4o"), of("c", "gpt-4.1-mini")]);
    const output = await linesOf((await ended(id)).output_file_id);
    const answers = output.map((one) => [one.custom_id, one.response.body.model]);
    expect(answers).toEqual([
      ["a", "gpt-4.1"],
      ["b", "gpt-4o"],
      ["c", "gpt-4.1-mini"],
    ]);
    const sent = [provider, other].map(({ requests }, at) =>
      requests.slice(seen[at]).map(({ prompt }) => prompt),
    );
    expect(sent.map((prompts) => prompts.toSorted())).toEqual([["b"], ["a", "c"]]);
  });

  test("loses its result files when they expire, and not its counts", async () => {
    provider.state.behave = () => undefined;
    const { id } = await start([line("1")], {
      output_expires_after: { anchor: "created_at", seconds: 3600 },
    });
    const { output_file_id: output = "" } = await ended(id);
    await app.ctx.client.execute({
      sql: "UPDATE batches SET completed_at = completed_at - 3600000 WHERE id = ?",
      args: [id],
    });
    for (const call of [openai.files.retrieve(output), openai.files.content(output)])
      expect(await refusal(call)).toMatchObject({ status: 404, param: "id" });
    expect(await openai.batches.retrieve(id)).toMatchObject({
      status: "completed",
      output_file_id: null,
      request_counts: { total: 1, completed: 1, failed: 0 },
    });
    const listed = await openai.files.list({ purpose: "batch_output" });
    expect(listed.data.map((file) => file.id)).not.toContain(output);
  });

  test("of moderations needs no model, as at OpenAI, and neither does a live call", async () => {
    provider.state.behave = () => ({ id: "m", results: [] });
    const endpoint = "/v1/moderations";
    const { id } = await start([line("1", "x", { url: endpoint, body: { input: "a" } })], {
      endpoint,
    });
    await ended(id);
    const { response } = await openai.moderations.create({ input: "a" }).withResponse();
    const usual = "omni-moderation-latest";
    expect(response.headers.get("x-gtr-adjusted")).toBe(`model sent as ${usual}`);
    for (const sent of provider.requests.slice(-2))
      expect([sent.path, sent.body]).toEqual([endpoint, { input: "a", model: usual }]);
  });

  test("is completed if all of its lines have failed, and cannot be cancelled any more", async () => {
    provider.state.behave = ({ prompt }, response) => {
      if (prompt === "1") return fail(response, 400);
      response.destroy();
      return null;
    };
    const { id } = await start([line("1"), line("2")]);
    const batch = await ended(id);
    expect(batch).toMatchObject({ status: "completed", output_file_id: null });
    const [refusedLine, lostLine] = await linesOf(batch.error_file_id);
    expect(refusedLine.response.body.error.code).toBe("provider_rejected_request");
    expect(lostLine).toMatchObject({
      response: null,
      error: { code: "provider_connection_lost", message: expect.any(String) },
    });
    const refused = await refusal(openai.batches.cancel(id));
    expect(refused.error).toMatchObject({
      message: "Cannot cancel a batch with status 'completed'.",
    });
  });

  test("is created once per idempotency key", async () => {
    const input = await upload(line("1"));
    const make = () =>
      openai.batches.create(
        { input_file_id: input, endpoint: CHAT, completion_window: "24h" },
        { headers: { "idempotency-key": "once" } },
      );
    const [one, other] = [await make(), await make()];
    expect(other.id).toBe(one.id);
  });
});

const NOT_JSON = "This line is not parseable as valid JSON.";

describe("an invalid file", () => {
  test.each([
    ["not JSON", ["{"], "invalid_json_line", 1, null, NOT_JSON],
    ["not an object", [line("1"), "[]"], "invalid_json_line", 2, null, NOT_JSON],
    [
      "a duplicate",
      [line("1"), line("2"), line("1")],
      "duplicate_custom_id",
      3,
      "custom_id",
      'The custom_id "1" for this request is a duplicate of another request. The custom_id parameter must be unique for each request in a batch.',
    ],
    [
      "another url",
      [line("1", "x", { url: "/v1/embeddings" })],
      "url_mismatch",
      1,
      "url",
      "The URL provided for this request does not match the batch endpoint: /v1/chat/completions.",
    ],
    [
      "another method",
      [line("1", "x", { method: "GET" })],
      "invalid_method",
      1,
      "method",
      "Invalid method; only 'POST' is supported.",
    ],
    [
      "no id",
      [line("", "x")],
      "invalid_custom_id",
      1,
      "custom_id",
      "Invalid 'custom_id': expected a string of 1 to 512 characters.",
    ],
    [
      "an id of more than 512 characters",
      [line("😀".repeat(512)), line("😀".repeat(513))],
      "invalid_custom_id",
      2,
      "custom_id",
      "Invalid 'custom_id': expected a string of 1 to 512 characters.",
    ],
    [
      "a body that is not an object",
      [line("1", "x", { body: [] })],
      "invalid_request",
      1,
      "body",
      "Invalid type for 'body': expected an object.",
    ],
    [
      "no body",
      [line("1", "x", { body: undefined })],
      "missing_required_parameter",
      1,
      "body",
      "Missing required parameter: 'body'.",
    ],
    [
      "an unknown model",
      [line("1", "x", { body: { model: "claude" } })],
      "model_not_found",
      1,
      "model",
      expect.stringContaining("claude"),
    ],
    [
      "binary data",
      ["PNG\u0000\u0000\u0001"],
      "invalid_file_format",
      null,
      null,
      "The batch input file contains NUL bytes in line 1, so it is not a text file.",
    ],
    [
      "no lines",
      [" ", ""],
      "empty_file",
      null,
      null,
      "The batch input file is empty. Please ensure that the batch contains at least one request.",
    ],
    [
      "too many",
      ["1", "2", "3", "4", "5", "6"].map((id) => line(id)),
      "too_many_tasks",
      null,
      null,
      "The batch input file contains too many requests. The maximum is 5.",
    ],
  ] as const)("fails its batch: %s", async (_what, lines, code, at, param, message) => {
    const created = await start([...lines]);
    expect(created.status).toBe("validating");
    const batch = await ended(created.id);
    expect(batch).toMatchObject({
      status: "failed",
      request_counts: { total: 0, completed: 0, failed: 0 },
      output_file_id: null,
      in_progress_at: null,
    });
    expect(batch.errors).toEqual({ object: "list", data: [{ code, line: at, param, message }] });
    expect(batch.failed_at).toBeGreaterThan(0);
  });
});

const TOO_LONG = "string_above_max_length";
/** The longest names and values. */
const pairs = (count: number): Record<string, string> =>
  Object.fromEntries(
    Array.from({ length: count }, (_, i) => [`${i}`.padEnd(64, "n"), "x".repeat(511) + "😀"]),
  );

describe("creating a batch is refused", () => {
  test.each([
    [{ endpoint: "/v1/lunch" }, 400, "endpoint", "invalid_value"],
    [{ completion_window: "soon" }, 400, "completion_window", "invalid_value"],
    [{ input_file_id: undefined }, 400, "input_file_id", "missing_required_parameter"],
    [{ input_file_id: "file-none" }, 404, "input_file_id", null],
    [{ completion_window: "0h" }, 400, "completion_window", "invalid_value"],
    [{ completion_window: "721h" }, 400, "completion_window", "invalid_value"],
    [{ metadata: { a: 1 } }, 400, "metadata.a", "invalid_type"],
    [{ metadata: { ["n".repeat(65)]: "x" } }, 400, `metadata.${"n".repeat(64)}`, TOO_LONG],
    [{ metadata: { a: "x".repeat(513) } }, 400, "metadata.a", TOO_LONG],
    [{ metadata: pairs(17) }, 400, "metadata", "object_above_max_properties"],
    [
      { output_expires_after: { anchor: "x" } },
      400,
      "output_expires_after.anchor",
      "invalid_value",
    ],
  ])("%j", async (more, status, param, code) => {
    const call = start([line("1")], more as object);
    expect(await refusal(call)).toMatchObject({
      status,
      param,
      code,
      type: "invalid_request_error",
    });
  });

  test("with a file of another purpose, or the results of another batch", async () => {
    provider.state.behave = () => undefined;
    const file = await toFile(Buffer.from("x"), "x.jsonl");
    const { id } = await openai.files.create({ file, purpose: "fine-tune" });
    const { output_file_id: output = "" } = await ended((await start([line("1")])).id);
    for (const [input, purpose] of [
      [id, "fine-tune"],
      [output, "batch_output"],
    ] as const)
      expect(await refusal(start([line("1")], { input_file_id: input }))).toMatchObject({
        status: 400,
        param: "input_file_id",
        message: expect.stringContaining(`has the purpose '${purpose}'`),
      });
  });

  test("of lists beyond their limits", async () => {
    const raw = await (await openai.batches.list({ limit: 1 }).asResponse()).json();
    expect(Object.keys(raw).toSorted()).toEqual([
      "data",
      "first_id",
      "has_more",
      "last_id",
      "object",
    ]);
    expect([raw.has_more, raw.last_id]).toEqual([true, raw.first_id]);
    expect(await refusal(openai.batches.list({ limit: 101 }).asResponse())).toMatchObject({
      status: 400,
      code: "integer_above_max_value",
    });
    for (const [limit, code] of [
      [-1, "integer_below_min_value"],
      ["ten", "invalid_type"],
    ] as const) {
      const error = await refusal(openai.batches.list({ limit: limit as number }).asResponse());
      expect(error).toMatchObject({ status: 400, param: "limit", code });
    }
    expect((await openai.batches.list({ limit: 0 })).data).toEqual([]);
    expect(await refusal(openai.batches.list({ after: "batch_none" }).asResponse())).toMatchObject({
      status: 404,
      param: "after",
    });
  });
});
