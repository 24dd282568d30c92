import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { type Json, startServer, type TestServer } from "../support/server.ts";
import { wrongRequests } from "../support/wrong-requests.ts";

let app: TestServer;

beforeAll(async () => {
  app = await startServer();
});
afterAll(() => app[Symbol.asyncDispose]());

const JSON_TYPE = { "content-type": "application/json" };
/** Words of the validator itself, which say nothing about what to do. */
const OF_VALIDATOR =
  /Invalid (input|option|string|number|key|element|discriminator|ISO|URL)|Too (small|big)|Unrecognized key|expected (string|number|boolean|array|object|record|one of)|received |is not allowed|another value/;
/** What a client sent is not repeated at length. */
const REPEATED = /x{101}/;

describe("an error about wrong input", () => {
  test("is in words to act on, for every operation of the OpenAPI document", async () => {
    const document = (await app.get(`${app.url}/openapi.json`)).body;
    const requests = wrongRequests(document);
    const texts = await Promise.all(
      requests.map(async ({ name, method, path, body }) => {
        const answer = await app.send(method, path, JSON.stringify(body), JSON_TYPE);
        const { code, message, details } = answer.body?.error ?? {};
        return code === "VALIDATION_ERROR" ? textsOf(name, message, details) : [];
      }),
    );
    const found = texts.flat();
    expect(found.filter((text) => OF_VALIDATOR.test(text) || REPEATED.test(text))).toEqual([]);
    // Without answers of most operations the test would check nothing.
    const operations = new Set(requests.map(({ name }) => name));
    const refused = new Set(found.map((text) => text.split(": ")[0]));
    expect(refused.size).toBeGreaterThan(operations.size / 2);
  });

  test("says what was wrong, where, and what to do", async () => {
    for (const [method, path, body, expected] of CASES) {
      const { body: answer } = await app.send(method, path, body);
      const issues: Json[] = answer.error.details.issues;
      const texts = issues.map((issue) => `${issue.path}: ${issue.message}`);
      expect([method, path, body, texts]).toEqual([method, path, body, [expected].flat()]);
    }
  });

  test("says that a webhook has no such delivery, and where those that there are are listed", async () => {
    const hook = { url: "https://hooks.invalid/x", events: ["system.alert"] };
    const { id } = (await app.post("/webhooks", hook)).body.data;
    for (const delivery of ["dlv-000000007", "dlv-7", "evt_1"]) {
      const path = `/webhooks/${id}/deliveries/${delivery}`;
      for (const answer of [await app.get(path), await app.post(`${path}/replay`)])
        expect([answer.status, answer.body.error.code, answer.body.error.message]).toEqual([
          404,
          "DELIVERY_NOT_FOUND",
          `There is no delivery with id ${delivery} to webhook ${id}; GET /api/v1/webhooks/${id}/deliveries lists those that there are`,
        ]);
    }
    const { status, body } = await app.get(`/webhooks/${id}/deliveries?type=batch.finished`);
    expect([status, body.error.message]).toEqual([400, expect.stringContaining("batch.completed")]);
  });

  test("of rows of a file has the same words", async () => {
    const lines = [
      { prompt: "x", priority: "hi" },
      { prompt: ["x"] },
      { prompt: "x", messages: [{ role: "usr", content: "x" }] },
    ];
    writeFileSync(
      join(app.filesDir, "a.jsonl"),
      lines.map((line) => JSON.stringify(line)).join("\n"),
    );
    const { body } = await app.post("/batches", { inputFile: "a.jsonl" });
    const texts = body.error.details.rows.map(
      (one: Json) => `${one.row} ${one.field}: ${one.message}`,
    );
    expect(texts).toEqual([
      "1 priority: must be one of urgent, high, normal, low",
      "2 prompt: must be a text of 1 to 2,000,000 characters, not a list",
      "3 messages.0.role: must be one of system, developer, user, assistant, tool, function; did you mean user?",
    ]);
  });
});

/** The message of an error and those of its issues, each with the operation that gave it. */
function textsOf(name: string, message: string, { issues = [] }: Json): string[] {
  const all: string[] = [message, ...issues.map((issue: Json) => issue.message)];
  return all.map((text) => `${name}: ${text}`);
}

const TIME = "must be a time such as 2026-01-31T09:00:00Z";
const OUTPUT =
  'must be a list of names, such as ["sentiment", "reason"], or a JSON Schema of an object';

const CASES: [method: string, path: string, body: unknown, issues: string | string[]][] = [
  ["POST", "/tasks", [], ": the body must be an object, not a list"],
  ["POST", "/tasks", { prompt: "" }, "prompt: must not be empty"],
  [
    "POST",
    "/tasks",
    { prompt: 1 },
    "prompt: must be a text of 1 to 2,000,000 characters, not a number",
  ],
  ["POST", "/tasks", { promt: "x" }, "promt: is not a known field; did you mean prompt?"],
  [
    "POST",
    "/tasks",
    { prompt: "x", max_tokens: 1 },
    "max_tokens: is not a known field; did you mean maxTokens?",
  ],
  [
    "POST",
    "/tasks",
    { prompt: "x", maxTokens: 0.5 },
    "maxTokens: must be a whole number from 1 to 10,000,000",
  ],
  ["POST", "/tasks", { prompt: "x", temperature: 3 }, "temperature: must be a number from 0 to 2"],
  ["POST", "/tasks", { prompt: "x", cache: "true" }, "cache: must be true or false, not a text"],
  [
    "POST",
    "/tasks",
    { prompt: "x", priority: "High" },
    "priority: must be one of urgent, high, normal, low; did you mean high?",
  ],
  ["POST", "/tasks", { prompt: "x", output: "city" }, `output: ${OUTPUT}`],
  [
    "POST",
    "/tasks",
    { prompt: "x", output: [1] },
    "output.0: must be a text of 1 to 100 characters, not a number",
  ],
  [
    "POST",
    "/tasks",
    { messages: [{ role: "user", content: 1 }] },
    "messages.0.content: must be a text or a list of at least 1 object, not a number",
  ],
  [
    "POST",
    "/batches",
    { tasks: [{ prompt: "x" }], config: { xlsx: { sheet: 0 } } },
    "config.xlsx.sheet: must be a whole number from 1 to 1,000",
  ],
  [
    "POST",
    "/batches",
    { tasks: [{ prompt: "x" }], config: { maxCostUsd: 0 } },
    "config.maxCostUsd: must be a number above 0, at most 1,000,000,000",
  ],
  [
    "PATCH",
    "/tasks/none",
    { priority: "High" },
    "priority: must be one of urgent, high, normal, low; did you mean high?",
  ],
  [
    "POST",
    "/api-keys",
    { name: "k", scopes: "write" },
    "scopes: must be a list with one or more of read, write, admin, not a text",
  ],
  ["POST", "/api-keys", { name: "x".repeat(300) }, "name: must have 1 to 200 characters, not 300"],
  ["POST", "/api-keys", { name: "k", expiresAt: "tomorrow" }, `expiresAt: ${TIME}`],
  ["POST", "/api-keys", {}, "name: is missing"],
  [
    "POST",
    "/webhooks",
    { url: "https://example.com", events: ["task.complete"] },
    "events.0: is not an event type; did you mean task.completed?",
  ],
  [
    "POST",
    "/webhooks",
    { url: "https://example.com", events: ["batch.finnished"] },
    "events.0: is not an event type; did you mean batch.finished?",
  ],
  ["POST", "/webhooks/none/replay", {}, `since: is missing; it ${TIME}`],
  ["POST", "/batches/none/cancel", [], ": the body must be an empty object, or be left out"],
  ["POST", "/batches/none/cancel", { x: 1 }, "x: is not a known field; there are none here"],
  [
    "GET",
    "/tasks?createdAfter=monday",
    undefined,
    `createdAfter: ${TIME} or a date such as 2026-01-31`,
  ],
  [
    "GET",
    "/tasks?limits=1",
    undefined,
    "limits: is not a known query parameter; did you mean limit?",
  ],
  ["GET", "/models?zz=1", undefined, "zz: is not a known query parameter; there is only provider"],
  [
    "GET",
    "/events?types=task.complete",
    undefined,
    "types.0: is not an event type; did you mean task.completed?",
  ],
];
