import { afterAll, beforeAll, describe, expect, test } from "bun:test";

import { startScripted } from "../support/scripts.ts";
import { type Json, startServer, type TestServer } from "../support/server.ts";

const GOOD = '{"label":"spam","status":"sure","deep":{"score":1e2,"why":["a"]},"more":1}';
const BAD = '{"label":"spam"}';
const OUTPUT = {
  type: "object",
  properties: {
    label: { type: "string" },
    status: { type: "string" },
    deep: { $ref: "#/$defs/deep" },
  },
  required: ["label", "status", "deep"],
  $defs: {
    deep: {
      type: "object",
      properties: { score: { type: "number" }, why: { type: "array" }, none: { type: "null" } },
    },
  },
};
/** What a call costs: 10 tokens and 5, at the prices of gpt-4o. */
const CALL_USD = 10 * 2.5e-6 + 5 * 10e-6;

let provider: Awaited<ReturnType<typeof startScripted>>;
let app: TestServer;

beforeAll(async () => {
  provider = await startScripted(GOOD);
  app = await startServer(provider.env);
});
afterAll(async () => {
  expect(await app.differences()).toEqual([]);
  await app[Symbol.asyncDispose]();
  await provider[Symbol.asyncDispose]();
});

async function runBatch(id: string, prompts: string[], config: Record<string, unknown>) {
  const tasks = prompts.map((prompt) => ({ prompt }));
  const body = { id, tasks, config: { model: "gpt-4o", output: OUTPUT, ...config } };
  expect((await app.post("/batches", body)).status).toBe(201);
  expect((await app.post(`/batches/${id}/execute`)).status).toBe(200);
}

const resultsOf = async (id: string): Promise<Json[]> =>
  JSON.parse((await app.get(`/batches/${id}/results?format=json`)).text);
const executionOf = async (id: string): Promise<Json> =>
  (await app.get(`/executions/${id}`)).body.data;

describe("results", () => {
  test("have a column for each property, and existing column names keep their meaning", async () => {
    const form = new FormData();
    form.set("file", new File(["text,label\nx,1\n,\ny,2\n"], "in.csv"));
    const upload = await fetch(`${app.url}/api/v1/files`, {
      method: "POST",
      headers: { authorization: "Bearer test-key" },
      body: form,
    });
    const { data: file } = (await upload.json()) as Json;
    provider.said.set("say y", ["no", "no"]);
    const config = { model: "gpt-4o", promptTemplate: "say {{text}}", output: OUTPUT };
    await app.post("/batches", { id: "csv", inputFile: file.id, config });
    await app.post("/batches/csv/execute");
    const batch = await app.finished("csv");
    expect(batch.progress).toMatchObject({ completed: 1, failed: 1, repaired: 0 });
    const [head, good, bad] = (await app.get("/batches/csv/results")).text.split("\n");
    expect(head).toStartWith(
      "text,label,answer_label,answer_status,deep.score,deep.why,deep.none,status,result,error,",
    );
    expect(good).toStartWith('x,1,spam,sure,1e2,"[""a""]",,completed,');
    expect(bad).toStartWith("y,2,,,,,,failed,no,SCHEMA_MISMATCH: ");
    const [line] = (await app.get("/batches/csv/results?format=jsonl")).text.split("\n");
    expect(line).toContain(`"parsed":${GOOD}`);
  });

  test("count what was repaired", async () => {
    provider.said.set("once", [BAD, GOOD]);
    await runBatch("repaired", ["once", "never"], {});
    const { progress, usage, costUsd } = await app.finished("repaired");
    expect(progress).toMatchObject({ completed: 2, repaired: 1 });
    expect(usage).toEqual({ promptTokens: 30, completionTokens: 15, totalTokens: 45 });
    expect(costUsd).toBeCloseTo(3 * CALL_USD, 9);
    const [first] = await resultsOf("repaired");
    expect(first.usage).toMatchObject({ promptTokens: 20, completionTokens: 10 });
  });

  test("are also repaired if the provider itself reports that an answer does not match", async () => {
    provider.noJson.add("groq").add("groq for good");
    provider.said.set("groq", [BAD, GOOD]).set("groq for good", [BAD]);
    await runBatch("groq", ["groq", "groq for good"], {});
    expect((await app.finished("groq")).progress).toMatchObject({ completed: 1, repaired: 1 });
    const [, again] = provider.callsAbout("groq");
    expect(again?.body.messages.slice(1)).toEqual([
      { role: "assistant", content: BAD },
      { role: "user", content: expect.stringContaining("Failed to generate JSON") },
    ]);
    const [, bad] = await resultsOf("groq");
    expect(bad.error).toMatchObject({ code: "SCHEMA_MISMATCH", retryable: false });
    // Not tried again as it is, which would come to the same.
    expect(provider.callsAbout("groq for good")).toHaveLength(2);
  });

  test("of batch lines have none", async () => {
    const form = new FormData();
    const line = {
      custom_id: "a",
      method: "POST",
      url: "/v1/chat/completions",
      body: { model: "gpt-4o" },
    };
    form.set("file", new File([`${JSON.stringify(line)}\n`], "in.jsonl"));
    const upload = await fetch(`${app.url}/api/v1/files`, {
      method: "POST",
      headers: { authorization: "Bearer test-key" },
      body: form,
    });
    const { data: file } = (await upload.json()) as Json;
    const refused = await app.post("/batches", { inputFile: file.id, config: { output: ["a"] } });
    expect([refused.status, refused.text]).toEqual([400, expect.stringContaining("config.output")]);
  });
});

describe("the model of escalateTo", () => {
  const config = { escalateTo: "gpt-4.1", maxRepairs: 1, maxRetries: 0 };

  test.each([
    ["does not match", [BAD, BAD, GOOD], "SCHEMA_MISMATCH", ["gpt-4o", "gpt-4o", "gpt-4.1"]],
    ["is empty", ["", GOOD], "EMPTY_RESPONSE", ["gpt-4o", "gpt-4.1"]],
  ])("is asked once where the answer %s", async (what, said, code, models) => {
    provider.said.set(what, said);
    await runBatch(what.replaceAll(" ", "-"), [what], config);
    const batch = await app.finished(what.replaceAll(" ", "-"));
    expect(provider.callsAbout(what).map(({ body }) => body.model)).toEqual(models);
    expect(provider.callsAbout(what).at(-1)?.body.messages).toHaveLength(1);
    expect(batch.progress).toMatchObject({ completed: 1, repaired: 0 });
    const execution = await executionOf(batch.tasks[0].executionId);
    expect(execution).toMatchObject({
      escalatedFrom: "gpt-4o",
      fallbackFrom: null,
      model: "gpt-4.1",
      repaired: false,
      result: { parsed: { label: "spam" } },
    });
    expect(execution.attempts.at(-2)).toMatchObject({ code, model: "gpt-4o" });
  });

  test("is called if a text was cut off, even without a schema", async () => {
    provider.finishes.set("gpt-4o-mini", "length");
    const body = { id: "cut", prompt: "cut", model: "gpt-4o-mini", escalateTo: "gpt-4.1" };
    const { body: created } = await app.post("/tasks?execute=true", body, { prefer: "wait=20" });
    expect(created.data).toMatchObject({
      status: "completed",
      result: { finishReason: "stop", model: "gpt-4.1" },
    });
  });

  test("is not called again if its answer fails, too", async () => {
    provider.said.set("worse", [BAD]);
    await runBatch("worse", ["worse"], config);
    const batch = await app.finished("worse");
    expect(provider.callsAbout("worse")).toHaveLength(3);
    expect(batch.tasks[0].error.code).toBe("SCHEMA_MISMATCH");
    const execution = await executionOf(batch.tasks[0].executionId);
    expect(execution).toMatchObject({ escalatedFrom: "gpt-4o", model: "gpt-4.1" });
  });
});

describe("the money", () => {
  test("that is left pays for repairs, or they wait; the first answer is paid once, even with a restart in between", async () => {
    provider.said.set("poor", [BAD, GOOD]);
    await using first = await startServer(provider.env);
    const config = { model: "gpt-4o", output: OUTPUT, maxCostUsd: CALL_USD * 1.5 };
    await first.post("/batches", { id: "poor", tasks: [{ prompt: "poor" }], config });
    await first.post("/batches/poor/execute");
    const paused = await untilPaused(first);
    expect(paused).toMatchObject({
      pauseReason: { code: "max_cost_reached" },
      usage: { totalTokens: 15 },
      progress: { pending: 1 },
    });
    await first.stop();
    await using second = await startServer({ ...provider.env, DATA_DIR: first.dir });
    await second.patch("/batches/poor", { maxCostUsd: 1 });
    await second.post("/batches/poor/resume");
    const { progress, costUsd } = await second.finished("poor");
    expect(progress).toMatchObject({ completed: 1, repaired: 1 });
    expect(provider.callsAbout("poor").map(({ body }) => body.messages.length)).toEqual([1, 3]);
    expect(costUsd).toBeCloseTo(2 * CALL_USD, 9);
    expect(await second.differences()).toEqual([]);
  });

  test("for an answer counts as spent if the task is cancelled before its repair", async () => {
    provider.said.set("cancelled", [BAD, GOOD]);
    await runBatch("cancelled", ["cancelled"], { maxCostUsd: CALL_USD * 1.5 });
    await untilPaused(app, "cancelled");
    await app.post("/batches/cancelled/cancel");
    const { costUsd, usage } = await app.finished("cancelled");
    expect(costUsd).toBeCloseTo(CALL_USD, 9);
    expect(usage.totalTokens).toBe(15);
    const { body } = await app.get("/tasks/cancelled-1/executions");
    expect(body.data.executions[0].attempts).toHaveLength(1);
    expect(provider.callsAbout("cancelled")).toHaveLength(1);
  });

  const untilPaused = async (server: TestServer, id = "poor"): Promise<Json> => {
    for (;;) {
      const { body } = await server.get(`/batches/${id}`);
      if (body.data.status === "paused") return body.data;
      await Bun.sleep(5);
    }
  };
});

describe("a task", () => {
  test("whose request changes starts again, and shows the new request", async () => {
    const created = { id: "patched", prompt: "patched", model: "gpt-4o", output: ["a"] };
    provider.said.set("patched", ['{"a":"1"}', GOOD]);
    await app.post("/tasks?execute=true", created, { prefer: "wait=20" });
    const change = { output: OUTPUT, maxRepairs: 0, escalateTo: "gpt-4.1" };
    const { data } = (await app.patch("/tasks/patched", change)).body;
    expect(data).toMatchObject({ status: "pending", ...change, parameters: {} });
    expect((await app.patch("/tasks/patched", { temperature: 0.5 })).body.data).toMatchObject(
      change,
    );
    const none = await app.patch("/tasks/patched", { output: null, escalateTo: null });
    expect(none.body.data).toMatchObject({ output: null, maxRepairs: null, escalateTo: null });
    const bad = await app.patch("/tasks/patched", { output: { type: "object", required: 1 } });
    expect(bad.status).toBe(400);
  });

  test("reuses another task's answer only if that was checked, too", async () => {
    const fields = { prompt: "same", model: "gpt-4o", cache: true };
    const run = async (id: string, more: object) =>
      (await app.post("/tasks?execute=true", { id, ...fields, ...more }, { prefer: "wait=20" }))
        .body.data;
    provider.said.set("same", ["no object", GOOD]);
    const json_schema = { name: "answer", strict: false, schema: OUTPUT };
    const response_format = { type: "json_schema", json_schema };
    const loose = await run("loose", { parameters: { response_format } });
    expect(loose.result.content).toBe("no object");
    expect((await run("strict", { output: OUTPUT })).result.cached).toBe(false);
    expect((await run("again", { output: OUTPUT })).result).toMatchObject({
      cached: true,
      parsed: { label: "spam" },
    });
  });

  test("of a dry run is answered by the simulator according to its schema", async () => {
    const output = {
      type: "object",
      properties: {
        kind: { enum: ["a", "b"] },
        when: { type: "string", format: "date" },
        parts: { type: "array", items: { $ref: "#/properties/part" }, minItems: 2 },
        part: { type: "object", properties: { n: { type: "integer", minimum: 5, maximum: 6 } } },
      },
      required: ["kind", "when", "parts", "part"],
    };
    await app.post("/tasks", { id: "dry", prompt: "dry", output, maxRepairs: 0 });
    const ran = await app.post("/tasks/dry/execute", { isDryRun: true }, { prefer: "wait=20" });
    expect(ran.body.data).toMatchObject({ status: "completed", result: { isDryRun: true } });
    expect(ran.body.data.result.parsed.parts.length).toBeGreaterThanOrEqual(2);
  });
});
