import { afterAll, beforeAll, describe, expect, test } from "bun:test";

import { KEY, startServer, type TestServer } from "../support/server.ts";

/* Requests to /v1 with unknown fields or parameters, or with more than the limits allow. */

let app: TestServer;

beforeAll(async () => {
  app = await startServer();
});
afterAll(() => app[Symbol.asyncDispose]());

const at = (path: string) => `${app.url}/v1${path}`;
const post = (path: string, body: unknown, headers?: Record<string, string>) =>
  app.send("POST", at(path), body, headers);

async function upload(query = "") {
  const line = {
    custom_id: "a",
    method: "POST",
    url: "/v1/chat/completions",
    body: { model: "gpt-4o-mini", messages: [{ role: "user", content: "x" }] },
  };
  const form = new FormData();
  form.set("purpose", "batch");
  form.set("file", new File([JSON.stringify(line)], "a.jsonl"));
  const headers = { authorization: `Bearer ${KEY}` };
  const answer = await fetch(at(`/files${query}`), { method: "POST", headers, body: form });
  return { status: answer.status, id: ((await answer.json()) as { id: string }).id };
}

const batchOf = (id: string, more: object = {}) => ({
  input_file_id: id,
  endpoint: "/v1/chat/completions",
  completion_window: "24h",
  ...more,
});
const HOOK = { name: "n", url: "https://example.com/x", event_types: ["batch.completed"] };

describe("an unknown name", () => {
  test("is refused by name in the body of a request that changes something", async () => {
    const { id } = await upload();
    const endpoint = (await post("/webhook_endpoints", HOOK)).body.id;
    const expiry = { output_expires_after: { anchor: "created_at", seconds: 3600, hours: 1 } };
    for (const [path, body, param] of [
      ["/batches", batchOf(id, { isDryRun: true }), "isDryRun"],
      ["/batches", batchOf(id, expiry), "output_expires_after.hours"],
      ["/batches/b/cancel", { force: true }, "force"],
      ["/webhook_endpoints", { ...HOOK, secret: "x" }, "secret"],
      [`/webhook_endpoints/${endpoint}`, { urll: "https://example.com" }, "urll"],
      [`/webhook_endpoints/${endpoint}/rotate_secret`, { keep: true }, "keep"],
      [`/webhook_endpoints/${endpoint}/test`, { type: "batch.completed" }, "type"],
    ] as const) {
      const { status, body: said } = await post(path, body);
      expect([path, status, said.error]).toEqual([
        path,
        400,
        expect.objectContaining({ param, code: "unknown_parameter" }),
      ]);
    }
    expect((await app.get("/batches")).body.data.batches).toEqual([]);
  });

  test("is refused in the query of a request that changes something, and starts nothing", async () => {
    const { id } = await upload();
    expect((await post("/batches?isDryRun=true", batchOf(id))).body.error.param).toBe("isDryRun");
    expect((await upload("?purpose=vision")).status).toBe(400);
    const kept = await app.send("DELETE", at(`/files/${id}?dryRun=true`));
    expect(kept.status).toBe(400);
    expect((await app.get("/batches")).body.data.batches).toEqual([]);
    const { status } = await post("/batches?api-version=2026-01-01", batchOf(id));
    expect(status).toBe(200);
  });
});

describe("a body", () => {
  test("that is wrong is refused in OpenAI's words, with the parameter, and with what was probably meant", async () => {
    for (const [path, body, param, message] of [
      [
        "/batches",
        [],
        null,
        "Invalid type for the request body: expected an object, but got an array instead.",
      ],
      [
        "/chat/completions",
        [],
        null,
        "Invalid type for the request body: expected an object, but got an array instead.",
      ],
      [
        "/chat/completions",
        { model: 5 },
        "model",
        "Invalid type for 'model': expected a string, but got a number instead.",
      ],
      [
        "/batches",
        batchOf("f", { metadatas: {} }),
        "metadatas",
        "Unknown parameter: 'metadatas'. Did you mean 'metadata'?",
      ],
      [
        "/batches",
        batchOf("f", { metadata: { a: 1 } }),
        "metadata.a",
        "Invalid type for 'metadata.a': expected a string, but got a number instead.",
      ],
      [
        "/batches",
        batchOf("f", { endpoint: "" }),
        "endpoint",
        "Invalid type for 'endpoint': expected a string, but got an empty string instead.",
      ],
      [
        "/webhook_endpoints",
        { ...HOOK, name: "n".repeat(1001) },
        "name",
        "Invalid 'name': it must have at most 1,000 characters, not 1,001.",
      ],
    ] as const) {
      const answer = await post(path, body);
      expect([path, answer.status, answer.body.error]).toEqual([
        path,
        400,
        expect.objectContaining({ param, message }),
      ]);
    }
    expect((await post("/batches", [])).body.error.code).toBe("invalid_type");
    const event = await post("/webhook_endpoints", { ...HOOK, event_types: ["batch.complete"] });
    expect(event.body.error).toMatchObject({
      param: "event_types",
      message: expect.stringMatching(/Supported values are: .* Did you mean 'batch.completed'\?$/),
    });
  });

  test("is read and checked even on routes that need none", async () => {
    const { id } = await upload();
    const packed = { "content-encoding": "gzip" };
    expect((await post("/batches/b/cancel", "x", packed)).status).toBe(415);
    expect((await app.send("DELETE", at(`/files/${id}`), "x", packed)).status).toBe(415);
    const long = " ".repeat(10 * 1024 * 1024 + 1);
    const json = { "content-type": "application/json" };
    expect((await post("/batches/b/cancel", long, json)).status).toBe(413);
    expect((await app.send("GET", at(`/files/${id}`))).status).toBe(200);
  });

  test("with a long value does not cause a long answer", async () => {
    const { status, text } = await post("/batches", batchOf("f".repeat(1_000_000)));
    expect(status).toBe(404);
    expect(text.length).toBeLessThan(1000);
  });
});

test("a webhook endpoint has the limits of those of /api/v1", async () => {
  for (const more of [
    { url: `https://example.com/${"a".repeat(2000)}` },
    { url: "https://example.com/\r\nx" },
    { name: "n".repeat(1001) },
  ])
    expect((await post("/webhook_endpoints", { ...HOOK, ...more })).status).toBe(400);
  const types = Array.from({ length: 1000 }, () => "batch.failed");
  const { body } = await post("/webhook_endpoints", { ...HOOK, event_types: types });
  expect(body.event_types).toEqual(["batch.failed"]);
});

test("an expired upload cannot be an input, even before it is swept", async () => {
  const { id } = await upload();
  await app.ctx.client.execute({
    sql: "UPDATE files SET expires_at = 1 WHERE id = ?",
    args: [id],
  });
  expect((await post("/batches", batchOf(id))).status).toBe(404);
  expect((await app.get(`/files/${id}`)).status).toBe(404);
  expect((await app.post("/batches", { inputFile: id })).status).toBe(404);
});

test("the path of a model name with slashes accepts only GET", async () => {
  const { status, headers } = await app.send("DELETE", at("/models/a/b"));
  expect([status, headers.get("allow")]).toEqual([405, "GET, HEAD"]);
});

test("a call that must be stored is refused if there is no room for it", async () => {
  await using full = await startServer({ MAX_STORED_BYTES: "1000" });
  const call = { model: "gpt-4o-mini", messages: [{ role: "user", content: "x".repeat(1000) }] };
  const chat = `${full.url}/v1/chat/completions`;
  const refused = await full.send("POST", chat, { ...call, store: true });
  expect([refused.status, refused.headers.get("x-should-retry")]).toEqual([409, "false"]);
  expect((await full.send("POST", chat, call)).status).toBe(200);
});
