import { afterAll, beforeAll, describe, expect, test } from "bun:test";

import { type ProviderRequest } from "../support/provider.ts";
import { startScripted } from "../support/scripts.ts";
import { type Json, startServer, type TestServer } from "../support/server.ts";

const GOOD = '{"label":"spam","score":3}';
const BAD = '{"label":"spam"}';
const SCHEMA = {
  type: "object",
  properties: { label: { type: "string" }, score: { type: "integer" } },
  required: ["label", "score"],
  additionalProperties: false,
};

let provider: Awaited<ReturnType<typeof startScripted>>;
let app: TestServer;

beforeAll(async () => {
  provider = await startScripted(GOOD);
  app = await startServer(provider.env);
});
afterAll(async () => {
  await app[Symbol.asyncDispose]();
  await provider[Symbol.asyncDispose]();
});

let next = 0;
/** Runs a task of a prompt of its own, which the provider answers with `said`. */
async function run(said: string[], fields: Record<string, unknown> = {}) {
  const prompt = `prompt ${next++}`;
  provider.said.set(prompt, said);
  const body = { id: `t${next}`, prompt, model: "gpt-4o", output: SCHEMA, ...fields };
  const created = await app.post("/tasks?execute=true", body, { prefer: "wait=20" });
  expect(created.status).toBe(201);
  return { task: created.body.data, calls: provider.callsAbout(prompt) };
}

const executionOf = async ({ executionId }: Json) =>
  (await app.get(`/executions/${executionId}`)).body.data;

describe("an answer with a schema", () => {
  test("is requested as structured output, checked, and returned as an object", async () => {
    const { task, calls } = await run([GOOD]);
    expect(calls.map(({ body }) => body.response_format)).toEqual([
      { type: "json_schema", json_schema: { name: "answer", strict: true, schema: SCHEMA } },
    ]);
    expect(task).toMatchObject({
      status: "completed",
      output: SCHEMA,
      maxRepairs: 1,
      parameters: {},
      result: { content: GOOD, parsed: { label: "spam", score: 3 } },
    });
  });

  test("may be described by its properties alone", async () => {
    const { task, calls } = await run(['{"a":"1","constructor":"2"}'], {
      output: ["a", "constructor"],
    });
    expect(calls[0]?.body.response_format.json_schema.schema.required).toEqual([
      "a",
      "constructor",
    ]);
    expect(task.result.parsed).toEqual({ a: "1", constructor: "2" });
  });

  test.each([
    ["a code fence", `Here it is:\n\`\`\`json\n${GOOD}\n\`\`\``, "completed"],
    ["words behind it", `${GOOD}\nAnything else?`, "completed"],
    ["thoughts before it", `<think>{"label":"ham","score":1}</think>${GOOD}`, "completed"],
    ["the same name twice", '{"label":"ham","label":"spam","score":3}', "completed"],
    ["two objects", `${GOOD} or ${GOOD}`, "failed"],
    ["a list", `[${GOOD}]`, "failed"],
    ["no JSON", "It is spam.", "failed"],
    ["no end", GOOD.slice(0, -1), "failed"],
    ["a number beyond all", '{"label":"spam","score":1e999}', "failed"],
    ["a prototype", '{"label":"spam","score":3,"__proto__":{"x":1}}', "failed"],
  ])("is found in %s, or not", async (_what, said, status) => {
    const { task } = await run([said], { maxRepairs: 0 });
    expect(task.status).toBe(status);
    if (status === "completed") expect(task.result.parsed).toEqual({ label: "spam", score: 3 });
    else expect(task.error.code).toBe("SCHEMA_MISMATCH");
    expect(task.result.content).toBe(said);
  });

  test("keeps the digits of its numbers", async () => {
    const { task } = await run(['{"label":"x","score":12345678901234567890}']);
    expect(task.status).toBe("completed");
    const { text } = await app.get(`/tasks/${task.id}`);
    expect(text).toContain('"parsed":{"label":"x","score":12345678901234567890}');
  });

  test("is repaired by a call that quotes it and the errors, and that costs, too", async () => {
    const { task, calls } = await run([BAD, GOOD]);
    expect(calls).toHaveLength(2);
    const [, quoted, asked] = calls[1]?.body.messages ?? [];
    expect(quoted).toEqual({ role: "assistant", content: BAD });
    expect(asked.content).toContain("must have required property 'score'");
    expect(task.status).toBe("completed");
    const execution = await executionOf(task);
    expect(execution).toMatchObject({ repaired: true, escalatedFrom: null });
    expect(execution.attempts.map((one: Json) => [one.outcome, one.code])).toEqual([
      ["failed", "SCHEMA_MISMATCH"],
      ["completed", null],
    ]);
    // Each call takes 10 + 5 tokens.
    const { rows } = await app.ctx.client.execute(
      `SELECT prompt_tokens, completion_tokens, cost_usd FROM executions ORDER BY rowid DESC LIMIT 1`,
    );
    const [row] = rows;
    expect([row?.["prompt_tokens"], row?.["completion_tokens"]]).toEqual([20, 10]);
    expect(task.result.costUsd).toBeCloseTo(2 * (10 * 2.5e-6 + 5 * 10e-6), 9);
  });

  test("fails with the last text if it is not repaired", async () => {
    const { task, calls } = await run([BAD, BAD, '{"score":true}'], { maxRepairs: 2 });
    expect(calls).toHaveLength(3);
    expect(task).toMatchObject({
      status: "failed",
      attempts: 3,
      result: { content: '{"score":true}' },
      error: { code: "SCHEMA_MISMATCH", retryable: false },
    });
    expect(task.error.message).toContain("/score must be integer");
    expect(task.result.parsed).toBeUndefined();
  });

  test("is not repaired if it was cut off", async () => {
    provider.finishes.set(`prompt ${next}`, "length");
    const { task, calls } = await run([BAD]);
    expect(calls).toHaveLength(1);
    expect(task.error).toMatchObject({ code: "SCHEMA_MISMATCH" });
    expect(task.error.message).toContain("raise maxTokens");
  });

  test("is requested in JSON mode, then in words, if a model supports nothing better, and that is remembered", async () => {
    provider.refusals.set("gpt-json", ["json_schema"]);
    provider.refusals.set("gpt-words", ["json_schema", "json_object"]);
    const formats = ({ calls }: { calls: ProviderRequest[] }) =>
      calls.map(({ body }) => body.response_format?.type);
    const json = await run([GOOD], { model: "gpt-json" });
    expect(formats(json)).toEqual(["json_schema", "json_object"]);
    expect(json.calls[1]?.body.messages.at(-1).content).toContain('"required":["label","score"]');
    expect(formats(await run([GOOD], { model: "gpt-json" }))).toEqual(["json_object"]);
    const words = await run([GOOD], { model: "gpt-words" });
    expect(formats(words)).toEqual(["json_schema", "json_object", undefined]);
    const again = await run([BAD, BAD, GOOD], { model: "gpt-words" });
    expect(formats(again)).toEqual([undefined, undefined]);
    expect(again.calls[1]?.body.messages).toHaveLength(3);
    expect((await executionOf(words.task)).adjusted).toEqual([
      "response_format omitted, the schema sent as an instruction",
    ]);
  });

  test("is checked in limited time, whatever the pattern", async () => {
    const output = {
      type: "object",
      properties: { a: { type: "string", pattern: "^(a+)+$" } },
      required: ["a"],
    };
    const said = JSON.stringify({ a: `${"a".repeat(5000)}!` });
    const { task } = await run([said], { output, maxRepairs: 0 });
    expect(task.error.message).toContain("must match pattern");
  });
});

describe("a schema is refused that", () => {
  const object = (more: object) => ({ type: "object", ...more });
  test.each([
    ["is none", object({ properties: { a: { type: "strng" } } }), /is not a JSON Schema/],
    ["is of no object", { type: "array" }, /at its root/],
    [
      "leads elsewhere",
      object({ properties: { a: { $ref: "https://x.example/a.json" } } }),
      /refers/,
    ],
    ["is too long", object({ description: "x".repeat(200_000) }), /characters/],
    ["is 5 MB long", object({ description: "x".repeat(4_900_000) }), /characters/],
    ["looks ahead", object({ properties: { a: { pattern: "(?=b)a" } } }), /cannot be used/],
    [
      "is of another dialect",
      object({ $schema: "http://json-schema.org/draft-04/schema#" }),
      /\$schema/,
    ],
    ["leads in a circle", object({ $ref: "#" }), /cannot be checked/],
    ["has a promise", object({ $async: true }), /\$async/],
    ["names nothing", [], /output/],
    ["names something twice", ["a", "a"], /twice/],
    ["names __proto__", ["__proto__"], /__proto__/],
    [
      "has more columns than a sheet",
      object({
        properties: Object.fromEntries(Array.from({ length: 1200 }, (_, i) => [`p${i}`, {}])),
      }),
      /properties/,
    ],
  ])("%s", async (_what, output, why) => {
    const task = await app.post("/tasks", { prompt: "x", output });
    expect([task.status, task.body.error.code]).toEqual([400, "VALIDATION_ERROR"]);
    expect(task.text).toMatch(why);
    const batch = await app.post("/batches", { tasks: [{ prompt: "x" }], config: { output } });
    expect(batch.status).toBe(400);
    expect(batch.text).toMatch(why);
  });

  test("is combined with another response_format", async () => {
    const { status, text } = await app.post("/tasks", {
      prompt: "x",
      output: ["a"],
      parameters: { response_format: { type: "json_object" } },
    });
    expect([status, text]).toEqual([400, expect.stringContaining("given twice")]);
  });
});
