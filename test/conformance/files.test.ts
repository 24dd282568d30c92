import { afterAll, beforeAll, describe, expect, spyOn, test } from "bun:test";

import OpenAI, { toFile } from "openai";

import { removeExpiredFiles } from "../../src/services/files.ts";
import { refusal } from "../support/openai.ts";
import { KEY, startServer, type TestServer } from "../support/server.ts";

let app: TestServer;
let openai: OpenAI;

beforeAll(async () => {
  app = await startServer({ OPENAI_MAX_FILE_BYTES: "2048", MAX_FILE_BYTES: "1000000" });
  openai = new OpenAI({ apiKey: KEY, baseURL: `${app.url}/v1`, maxRetries: 0 });
});
afterAll(() => app[Symbol.asyncDispose]());

const LINE = `{"custom_id":"a","method":"POST","url":"/v1/embeddings","body":{"input":"x"}}\n`;

function upload(name = "in.jsonl", content = LINE, purpose: OpenAI.FilePurpose = "batch") {
  return toFile(Buffer.from(content), name).then((file) => openai.files.create({ file, purpose }));
}

const FILE = new File(["x"], "a");

function form(parts: [string, string | File][]): FormData {
  const made = new FormData();
  for (const [name, part] of parts) made.append(name, part);
  return made;
}

/** An upload of parts that the SDK itself would not send. */
async function send(parts: [string, string | File][]): Promise<unknown> {
  return openai.post("/files", { body: form(parts) });
}

const KEYS = [
  "bytes",
  "created_at",
  "expires_at",
  "filename",
  "id",
  "object",
  "purpose",
  "status",
  "status_details",
];

describe("files through the SDK", () => {
  test("are uploaded, retrieved, read, also in part, and deleted", async () => {
    const file = await upload("Übung 1.jsonl");
    expect(Object.keys(file).toSorted()).toEqual(KEYS);
    expect(file).toMatchObject({
      object: "file",
      bytes: LINE.length,
      filename: "Übung 1.jsonl",
      purpose: "batch",
      status: "processed",
      expires_at: null,
    });
    expect(await openai.files.retrieve(file.id)).toEqual(file);
    expect(await (await openai.files.content(file.id)).text()).toBe(LINE);
    const part = await openai.files.content(file.id, { headers: { range: "bytes=2-10" } });
    expect(part.status).toBe(206);
    expect(await part.text()).toBe(LINE.slice(2, 11));
    const tail = await openai.files.content(file.id, { headers: { range: "bytes=-5" } });
    expect([tail.status, await tail.text()]).toEqual([206, LINE.slice(-5)]);
    const beyond = openai.files.content(file.id, { headers: { range: "bytes=99999-" } });
    expect(await refusal(beyond)).toMatchObject({ status: 416, type: "invalid_request_error" });
    const tag = part.headers.get("etag") ?? "";
    const known = await app.send("GET", `${app.url}/v1/files/${file.id}/content`, undefined, {
      "if-none-match": tag,
    });
    expect([known.status, known.text]).toEqual([304, ""]);
    expect(await openai.files.delete(file.id)).toEqual({
      id: file.id,
      object: "file",
      deleted: true,
    });
    const gone = await refusal(openai.files.retrieve(file.id));
    expect(gone).toBeInstanceOf(OpenAI.NotFoundError);
    expect(gone).toMatchObject({
      status: 404,
      type: "invalid_request_error",
      param: "id",
      code: null,
      error: { message: `No such File object: ${file.id}` },
    });
    expect(gone.requestID).toStartWith("req-");
  });

  test("are the same as those of the other API", async () => {
    const file = await upload();
    const { body } = await app.get(`/files/${file.id}`);
    expect(body.data).toMatchObject({ id: file.id, name: "in.jsonl", bytes: LINE.length });
    const response = await fetch(`${app.url}/api/v1/files`, {
      method: "POST",
      body: form([["file", new File(["a,b\n"], "table.csv")]]),
      headers: { authorization: `Bearer ${KEY}` },
    });
    const { data } = (await response.json()) as { data: { id: string } };
    expect(await openai.files.retrieve(data.id)).toMatchObject({ purpose: "user_data" });
  });

  test("are listed page by page, in both orders, by purpose", async () => {
    for (let i = 0; i < 5; i++) await upload(`page-${i}.txt`, "x", "vision");
    const names = async (query: OpenAI.FileListParams) => {
      const all: string[] = [];
      for await (const file of openai.files.list({ ...query, purpose: "vision" }))
        all.push(file.filename);
      return all;
    };
    const inOrder = [0, 1, 2, 3, 4].map((i) => `page-${i}.txt`);
    expect(await names({ limit: 2, order: "asc" })).toEqual(inOrder);
    expect(await names({ limit: 2 })).toEqual(inOrder.toReversed());
    const none = await openai.files.list({ limit: 0 });
    expect(none.data).toEqual([]);
    const raw = await (await openai.files.list({ limit: 1 }).asResponse()).json();
    expect(raw).toMatchObject({ object: "list", has_more: true });
    expect(Object.keys(raw).toSorted()).toEqual([
      "data",
      "first_id",
      "has_more",
      "last_id",
      "object",
    ]);
    expect(await refusal(openai.files.list({ limit: 10_001 }).asResponse())).toMatchObject({
      status: 400,
      code: "integer_above_max_value",
      param: "limit",
    });
    const after = refusal(openai.files.list({ after: "file-none" }).asResponse());
    expect(await after).toMatchObject({ status: 404, param: "after" });
    const order = refusal(openai.files.list({ order: "up" as "asc" }).asResponse());
    expect(await order).toMatchObject({ status: 400, param: "order", code: "invalid_value" });
  });

  test.each(["asc", "desc"] as const)("can be deleted while they are listed, %s", async (order) => {
    for (let i = 0; i < 3; i++) await upload(`swept-${i}.txt`, "x", "evals");
    const swept: string[] = [];
    for await (const file of openai.files.list({ purpose: "evals", limit: 1, order })) {
      await openai.files.delete(file.id);
      swept.push(file.filename);
    }
    expect(swept.toSorted()).toEqual(["swept-0.txt", "swept-1.txt", "swept-2.txt"]);
  });

  test("expire", async () => {
    const file = await openai.files.create({
      file: await toFile(Buffer.from("x"), "x.txt"),
      purpose: "user_data",
      expires_after: { anchor: "created_at", seconds: 3600 },
    });
    expect(file.expires_at).toBe(file.created_at + 3600);
    await app.ctx.client.execute({
      sql: "UPDATE files SET expires_at = 1 WHERE id = ?",
      args: [file.id],
    });
    expect(await refusal(openai.files.retrieve(file.id))).toMatchObject({ status: 404 });
    const { data } = await openai.files.list({ purpose: "user_data" });
    expect(data.map(({ id }) => id)).not.toContain(file.id);
    await removeExpiredFiles(app.ctx);
    expect((await app.get(`/files/${file.id}`)).status).toBe(404);
  });

  test.each([
    [
      "another extension",
      () => upload("in.csv"),
      "file",
      "invalid_file_format",
      "Invalid file format for Batch API. Must be .jsonl",
    ],
    ["an empty file", () => upload("in.jsonl", ""), "file", "empty_file", "File is empty."],
    [
      "an unknown purpose",
      () => upload("a", "x", "lunch" as "batch"),
      "purpose",
      "invalid_value",
      "Invalid value: 'lunch'. Supported values are: 'assistants', 'batch', 'fine-tune', 'vision', 'user_data', and 'evals'.",
    ],
    [
      "no purpose",
      () => send([["file", FILE]]),
      "purpose",
      "missing_required_parameter",
      "Missing required parameter: 'purpose'.",
    ],
    [
      "no file",
      () => send([["purpose", "batch"]]),
      "file",
      "missing_required_parameter",
      "Missing required parameter: 'file'.",
    ],
    [
      "a text in place of the file",
      () => send([["file", "x"]]),
      "file",
      "invalid_value",
      expect.stringContaining("has no filename"),
    ],
    [
      "an unknown part",
      () =>
        send([
          ["purposes", "batch"],
          ["file", FILE],
        ]),
      "purposes",
      "unknown_parameter",
      "Unknown parameter: 'purposes'. Did you mean 'purpose'?",
    ],
    [
      "another file",
      () => send([["document", FILE]]),
      "document",
      "unknown_parameter",
      "Unknown parameter: 'document'.",
    ],
    [
      "two purposes",
      () =>
        send([
          ["purpose", "batch"],
          ["purpose", "vision"],
          ["file", FILE],
        ]),
      "purpose",
      "invalid_value",
      expect.stringContaining("is given more than once"),
    ],
    [
      "a life that is too short",
      async () =>
        openai.files.create({
          file: await toFile(Buffer.from("x"), "x"),
          purpose: "vision",
          expires_after: { anchor: "created_at", seconds: 1 },
        }),
      "expires_after.seconds",
      "invalid_value",
      "Invalid 'expires_after.seconds': expected an integer from 3600 to 2592000.",
    ],
  ])("of %s are refused", async (_what, call, param, code, message) => {
    const error = await refusal(call());
    expect(error).toBeInstanceOf(OpenAI.BadRequestError);
    expect(error.error).toEqual({ message, type: "invalid_request_error", param, code });
  });

  test("that are larger than the limit of a batch are refused as OpenAI does", async () => {
    expect(await refusal(upload("in.jsonl", "x".repeat(2049)))).toMatchObject({
      status: 400,
      param: "file",
      code: "file_too_large",
      type: "invalid_request_error",
      error: {
        message:
          "File is too large. It has 2049 bytes, and the maximum for the Batch API is 2048 bytes.",
      },
    });
    expect(await upload("in.txt", "x".repeat(2049), "user_data")).toMatchObject({ bytes: 2049 });
    expect(await refusal(upload("in.txt", "x".repeat(1_000_001), "user_data"))).toMatchObject({
      status: 400,
      error: {
        message: "File is too large. The maximum is 1000000 bytes.",
        code: "file_too_large",
      },
    });
  });
});

describe("errors of all routes under /v1", () => {
  const call = async (
    method: string,
    path: string,
    { body, headers = {} }: { body?: string; headers?: Record<string, string> } = {},
  ) => {
    const response = await fetch(app.url + path, {
      method,
      headers: { authorization: `Bearer ${KEY}`, ...headers },
      ...(body === undefined ? {} : { body }),
    });
    return { status: response.status, body: await response.json(), headers: response.headers };
  };

  test.each([
    ["GET", "/v1/nothing", {}, 404, null],
    ["PUT", "/v1/files", {}, 405, "method_not_supported"],
    ["GET", "/v1/files", { headers: { authorization: "" } }, 401, "invalid_api_key"],
    ["GET", "/v1/files", { headers: { authorization: "Bearer no" } }, 401, "invalid_api_key"],
    ["POST", "/v1/files", { body: "x" }, 415, null],
    ["POST", "/v1/batches", { body: "x", headers: { "content-type": "text/plain" } }, 415, null],
    [
      "POST",
      "/v1/batches",
      { body: "{", headers: { "content-type": "application/json" } },
      400,
      null,
    ],
  ] as const)(
    "%s %s is refused in OpenAI's shape (%p)",
    async (method, path, init, status, code) => {
      const answer = await call(method, path, init);
      expect(answer.status).toBe(status);
      expect(answer.body).toEqual({
        error: { message: expect.any(String), type: "invalid_request_error", param: null, code },
      });
      expect(answer.headers.get("x-request-id")).toBeTruthy();
    },
  );

  test.each(["/v1/batches", "/v1/chat/completions"])(
    "a body of %s that is not JSON, or repeats a name, is refused as OpenAI does",
    async (path) => {
      const headers = { "content-type": "application/json" };
      const broken = await call("POST", path, { headers, body: '{"model": "a" "b"}' });
      expect([broken.status, broken.body]).toEqual([
        400,
        {
          error: {
            message: expect.stringMatching(
              /^We could not parse the JSON body of your request\. \(HINT: .+\)$/,
            ),
            type: "invalid_request_error",
            param: null,
            code: null,
          },
        },
      ]);
      const repeated = await call("POST", path, { headers, body: '{"model":"a","model":"b"}' });
      expect([repeated.status, repeated.body]).toEqual([
        400,
        {
          error: {
            message: expect.stringContaining("is given more than once"),
            type: "invalid_request_error",
            param: "model",
            code: "invalid_value",
          },
        },
      ]);
    },
  );

  test("a body that is too large is refused in OpenAI's shape", async () => {
    const headers = { "content-type": "application/json" };
    const body = " ".repeat(10 * 1024 * 1024 + 1);
    for (const path of ["/v1/chat/completions", "/v1/batches"]) {
      const answer = await call("POST", path, { headers, body });
      expect([answer.status, answer.body]).toEqual([
        413,
        {
          error: {
            message: expect.stringContaining("10485760 bytes"),
            type: "invalid_request_error",
            param: null,
            code: null,
          },
        },
      ]);
    }
  });

  test("a bug of the server is a server error, without its details", async () => {
    using broken = spyOn(app.ctx.models, "isAllowed").mockImplementation(() => {
      throw new Error("secret");
    });
    const headers = { "content-type": "application/json" };
    const answer = await call("POST", "/v1/chat/completions", { headers, body: '{"model":"m"}' });
    expect(broken).toHaveBeenCalled();
    const message = expect.not.stringContaining("secret");
    expect([answer.status, answer.body]).toEqual([
      500,
      { error: { message, type: "server_error", param: null, code: null } },
    ]);
    expect(answer.headers.get("x-request-id")).toBeTruthy();
  });

  test("the rate limit of a key is reported and enforced as OpenAI does", async () => {
    const { body } = await app.post("/api-keys", { name: "slow", rateLimitPerMinute: 1 });
    const slow = new OpenAI({
      apiKey: body.data.key,
      baseURL: `${app.url}/v1`,
      maxRetries: 0,
    });
    const { response } = await slow.files.list().withResponse();
    expect(response.headers.get("x-ratelimit-limit-requests")).toBe("1");
    expect(response.headers.get("x-ratelimit-remaining-requests")).toBe("0");
    const error = await refusal(slow.files.list().asResponse());
    expect(error).toBeInstanceOf(OpenAI.RateLimitError);
    expect(error).toMatchObject({ type: "requests", code: "rate_limit_exceeded" });
    expect(Number(error.headers?.get("retry-after-ms"))).toBe(
      Number(error.headers?.get("retry-after")) * 1000,
    );
  });

  test("a key that may only read cannot change anything", async () => {
    const { body } = await app.post("/api-keys", { name: "reader", scopes: ["read"] });
    const reader = new OpenAI({ apiKey: body.data.key, baseURL: `${app.url}/v1`, maxRetries: 0 });
    const file = await toFile(Buffer.from("x"), "x");
    const { id } = await upload();
    expect((await reader.files.retrieve(id)).id).toBe(id);
    const batch = {
      input_file_id: id,
      endpoint: "/v1/embeddings",
      completion_window: "24h",
    } as const;
    for (const call of [
      () => reader.files.create({ file, purpose: "vision" }),
      () => reader.files.delete(id),
      () => reader.batches.create(batch),
      () => reader.batches.cancel("batch_none"),
      () => reader.embeddings.create({ model: "m", input: "x" }),
      () => reader.webhooks.create({ name: "n", url: "https://example.com", event_types: [] }),
      () => reader.webhooks.update("wh_none", { name: "n" }),
      () => reader.webhooks.rotateSecret("wh_none"),
      () => reader.webhooks.delete("wh_none"),
    ]) {
      const error = await refusal(call());
      expect(error).toBeInstanceOf(OpenAI.PermissionDeniedError);
      expect(error).toMatchObject({
        type: "invalid_request_error",
        code: "insufficient_permissions",
      });
    }
  });
});
