import { afterAll, beforeAll, expect, test } from "bun:test";

import { KEY, startServer, type TestServer } from "../support/server.ts";

/* Clients choose model names, which appear in public metrics and in hourly counts. */

let app: TestServer;

beforeAll(async () => {
  app = await startServer();
});
afterAll(() => app[Symbol.asyncDispose]());

const NAMES = ["m".repeat(201), "a\u0000b", ""];

test("a live call with an invalid name is refused", async () => {
  for (const model of NAMES) {
    const call = { model, messages: [{ role: "user", content: "x" }] };
    const { status, body } = await app.send("POST", `${app.url}/v1/chat/completions`, call);
    expect([status, body.error.param]).toEqual([400, "model"]);
  }
  expect((await fetch(`${app.url}/metrics`)).status).toBe(200);
});

test("a task with such a name is refused", async () => {
  for (const model of NAMES)
    expect((await app.post("/tasks", { prompt: "x", model })).status).toBe(400);
});

test("a line of a file with such a name is refused, in both APIs", async () => {
  const lines = NAMES.map((model, i) =>
    JSON.stringify({
      custom_id: `${i}`,
      method: "POST",
      url: "/v1/chat/completions",
      body: { model, messages: [{ role: "user", content: "x" }] },
    }),
  );
  const form = new FormData();
  form.set("purpose", "batch");
  form.set("file", new File([lines.join("\n")], "a.jsonl"));
  const headers = { authorization: `Bearer ${KEY}` };
  const uploaded = await fetch(`${app.url}/v1/files`, { method: "POST", headers, body: form });
  const { id } = (await uploaded.json()) as { id: string };
  const { body } = await app.send("POST", `${app.url}/v1/batches`, {
    input_file_id: id,
    endpoint: "/v1/chat/completions",
    completion_window: "24h",
  });
  await app.finished(body.id);
  const batch = await app.send("GET", `${app.url}/v1/batches/${body.id}`);
  expect(batch.body.errors.data).toMatchObject(
    NAMES.map((_, i) => ({ line: i + 1, param: "body.model" })),
  );
  const ours = await app.post("/batches", { inputFile: id });
  expect(ours.status).toBe(400);
});
