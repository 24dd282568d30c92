import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { callOf, connectHttp, type Era, sendMcp } from "../support/mcp.ts";
import { chatAnswer, gate, hang, startProvider } from "../support/provider.ts";
import { type Json, startServer, type TestServer, until } from "../support/server.ts";
import { follow } from "../support/sse.ts";

const LONG = "long ".repeat(6000);

const late = gate();

let provider: Awaited<ReturnType<typeof startProvider>>;
let app: TestServer;

/** The prompt controls the provider, so that the tests can share a server. */
beforeAll(async () => {
  provider = await startProvider(async (request, response) => {
    if (request.prompt.startsWith("hang")) return hang();
    if (request.prompt.startsWith("late")) await late.opened;
    if (request.prompt.startsWith("wrong")) {
      response.writeHead(400, { "content-type": "application/json" });
      response.end('{"error":{"message":"no such thing","code":"invalid_request"}}');
      return null;
    }
    return chatAnswer({ ...request, prompt: request.prompt.replace("LONG", LONG) });
  });
  app = await startServer({ ...provider.env, CORS_ORIGINS: "https://app.example" });
});

afterAll(async () => {
  await app[Symbol.asyncDispose]();
  await provider[Symbol.asyncDispose]();
});

async function givenKey(fields: object) {
  const { body } = await app.post("/api-keys", { name: "k", ...fields });
  return { id: body.data.id as string, key: body.data.key as string };
}

describe.each<Era>(["2025", "present"])("a client of the protocol of %s", (era) => {
  test("finds tools whose arguments are described", async () => {
    await using mcp = await connectHttp(app.url, { era });
    const { tools } = await mcp.client.listTools();
    expect(tools.map(({ name }) => name)).toEqual([
      "ask",
      "run_batch",
      "status",
      "results",
      "estimate",
      "retry",
      "control_batch",
      "models",
      "list_schedules",
      "create_schedule",
      "run_schedule",
    ]);
    for (const { inputSchema, annotations, description = "" } of tools) {
      expect(inputSchema).toMatchObject({ type: "object", additionalProperties: false });
      expect([typeof annotations?.readOnlyHint, description.length > 30]).toEqual([
        "boolean",
        true,
      ]);
    }
    // A model that may use the tools has all of this text in its context.
    expect(JSON.stringify(tools).length).toBeLessThan(24_000);
    expect(mcp.client.getInstructions()).toContain("run_batch");
  });

  test("asks a question, and runs a batch from rows to answers", async () => {
    await using mcp = await connectHttp(app.url, { era });
    const asked = await mcp.call("ask", { prompt: "hi", system: "be brief" });
    expect(asked.data).toMatchObject({ status: "completed", answer: "re: hi" });
    expect(provider.requests.at(-1)?.body.messages[0]).toEqual({
      role: "system",
      content: "be brief",
    });
    const batch = {
      id: `cities-${era}`,
      tasks: [{ metadata: { city: "Oslo" } }, { metadata: { city: "Rome" } }, { prompt: "wrong" }],
      config: { promptTemplate: "Where is {{city}}?", maxRetries: 0 },
    };
    const refused = await mcp.call("run_batch", batch);
    expect([refused.isError, refused.text]).toEqual([
      true,
      expect.stringMatching(/^VALIDATION_ERROR: .*city/),
    ]);
    const rows = [...batch.tasks.slice(0, 2), { metadata: { city: "wrong" } }];
    const config = { ...batch.config, promptTemplate: "{{city}}" };
    const ran = await mcp.call("run_batch", { ...batch, tasks: rows, config });
    expect(ran.data).toMatchObject({
      batchId: batch.id,
      status: "completed",
      progress: { total: 3, completed: 2, failed: 1 },
    });
    const first = await mcp.call("results", { batchId: batch.id, limit: 2 });
    expect(first.data).toMatchObject({ total: 3, rows: [{ answer: "re: Oslo" }, {}] });
    const rest = await mcp.call("results", { batchId: batch.id, cursor: first.data.nextCursor });
    expect(rest.data.rows).toMatchObject([
      { status: "failed", error: expect.stringContaining("no such thing") },
    ]);
    expect((await mcp.call("retry", { batchId: batch.id })).data).toMatchObject({
      progress: { failed: 1 },
    });
    expect((await mcp.call("status")).data.batches[0].batchId).toBe(batch.id);
  });
});

test("a batch can be estimated before it starts, started, paused and cancelled", async () => {
  await using mcp = await connectHttp(app.url);
  const tasks = [{ prompt: "hang" }, { prompt: "hang on" }];
  const config = { model: "gpt-4", maxTokens: 10 };
  const { data: made } = await mcp.call("run_batch", { tasks, config, start: false });
  expect(made).toMatchObject({ status: "pending", progress: { pending: 2 } });
  const { batchId } = made;
  expect((await mcp.call("estimate", { batchId })).data).toMatchObject({
    tasks: 2,
    costUsd: { max: expect.any(Number) },
  });
  const steer = async (action: string) =>
    (await mcp.call("control_batch", { batchId, action })).data.status;
  expect(await steer("start")).toBe("running");
  expect(await steer("pause")).toBe("paused");
  expect(await steer("resume")).toBe("running");
  const again = await mcp.call("control_batch", { batchId, action: "start" });
  expect([again.isError, again.text.split(":")[0]]).toEqual([true, "BATCH_RUNNING"]);
  expect(await steer("cancel")).toBe("cancelled");
});

test("schedules are created, listed and run, with the API's errors", async () => {
  await using mcp = await connectHttp(app.url);
  await Bun.write(`${app.filesDir}/rows.csv`, "prompt\none\n");
  const schedule = { name: "Daily", schedule: "0 9 * * *", inputFile: "rows.csv" };
  const wrong = await mcp.call("create_schedule", { ...schedule, schedule: "0 9 * *" });
  const same = await app.post("/scheduled-tasks", { ...schedule, schedule: "0 9 * *" });
  const { code, message } = same.body.error;
  expect([wrong.isError, wrong.text]).toEqual([true, `${code}: ${message}`]);
  const { scheduleId } = (await mcp.call("create_schedule", schedule)).data;
  expect((await mcp.call("list_schedules")).data.schedules).toMatchObject([
    { scheduleId, name: "Daily", isActive: true, nextRun: expect.any(String) },
  ]);
  const { runId } = (await mcp.call("run_schedule", { scheduleId })).data;
  const run = await until<Json>(async () => {
    const { runs } = (await mcp.call("list_schedules", { scheduleId })).data;
    return runs[0].batchId === undefined ? undefined : runs[0];
  });
  expect(run.runId).toBe(runId);
  expect((await mcp.call("status", { id: run.batchId })).data.status).toBe("completed");
});

test("models are found by a part of their name", async () => {
  await using mcp = await connectHttp(app.url);
  const { data } = await mcp.call("models", { search: "GPT-4O-MINI", limit: 1 });
  expect(data).toMatchObject({ defaultModel: expect.any(String), models: [{ id: "gpt-4o-mini" }] });
});

describe("a repeated call", () => {
  test("with the same id creates and pays a batch once", async () => {
    await using mcp = await connectHttp(app.url);
    const batch = { id: "once", tasks: [{ prompt: "paid once" }] };
    const calls = await Promise.all([1, 2, 3].map(() => mcp.call("run_batch", batch)));
    for (const { data, text } of calls)
      expect(data ?? { text }).toMatchObject({ batchId: "once", status: "completed" });
    expect(provider.counts.get("paid once")).toBe(1);
    const other = await mcp.call("run_batch", { ...batch, tasks: [{ prompt: "another" }] });
    expect([other.isError, other.text]).toEqual([
      true,
      expect.stringMatching(/^BATCH_ALREADY_EXISTS: .*`status`/),
    ]);
  });

  test("with the same idempotencyKey asks once", async () => {
    await using mcp = await connectHttp(app.url);
    const question = { prompt: "asked once", idempotencyKey: "q" };
    const { data } = await mcp.call("ask", question);
    expect((await mcp.call("ask", question)).data).toEqual(data);
    expect(provider.counts.get("asked once")).toBe(1);
  });
});

describe("waiting", () => {
  test("ends with the batch, before its time limit", async () => {
    await using mcp = await connectHttp(app.url);
    const streams = app.runner.hub.size();
    const running = mcp.call("run_batch", { tasks: [{ prompt: "late" }], waitSeconds: 50 });
    await until(() => app.runner.hub.size() === streams + 1 || undefined);
    late.open();
    expect((await running).data).toMatchObject({ status: "completed" });
    await until(() => app.runner.hub.size() === streams || undefined);
  });

  test("that takes too long says how to ask again", async () => {
    await using mcp = await connectHttp(app.url);
    const { data } = await mcp.call("ask", { prompt: "hang", waitSeconds: 0 });
    expect(data).toMatchObject({ status: "running", next: expect.stringContaining("`status`") });
    const { data: later } = await mcp.call("status", { id: data.taskId, waitSeconds: 1 });
    expect(later).toMatchObject({ taskId: data.taskId, status: "running" });
    await app.post(`/tasks/${data.taskId}/cancel`);
  });

  test("ends when the client leaves, and the batch continues", async () => {
    await using mcp = await connectHttp(app.url);
    const leaving = new AbortController();
    const streams = app.runner.hub.size();
    const batch = { id: "left", tasks: [{ prompt: "hang" }], waitSeconds: 50 };
    const running = mcp.call("run_batch", batch, leaving.signal).catch(() => "left");
    await until(() => app.runner.hub.size() === streams + 1 || undefined);
    leaving.abort();
    expect(await running).toBe("left");
    await until(() => app.runner.hub.size() === streams || undefined);
    expect((await app.get("/batches/left")).body.data.status).toBe("running");
    await app.post("/batches/left/cancel");
  });

  test("ends when a client of 2025 goes away, whose answer is a stream", async () => {
    const leaving = new AbortController();
    const streams = app.runner.hub.size();
    const batch = { id: "gone", tasks: [{ prompt: "hang" }], waitSeconds: 50 };
    const { body } = await sendMcp(app.url, callOf("run_batch", batch), { signal: leaving.signal });
    await until(() => app.runner.hub.size() === streams + 1 || undefined);
    leaving.abort();
    await until(() => app.runner.hub.size() === streams || undefined);
    expect(body?.locked).toBe(false);
    await app.post("/batches/gone/cancel");
  });

  test("is skipped if the key has reached its limit of streams, and the answer says how to ask again", async () => {
    await using other = await startServer({ ...provider.env, MAX_STREAMS_PER_KEY: "1" });
    await using stream = await follow(other.url, "/events");
    await using mcp = await connectHttp(other.url);
    const batch = { id: "b", tasks: [{ prompt: "hang" }], waitSeconds: 50 };
    const { data } = await mcp.call("run_batch", batch);
    expect(data).toMatchObject({ status: "running", next: expect.stringContaining("`status`") });
    expect(stream.status).toBe(200);
  });

  test("ends when the key is revoked, with an error of the tool", async () => {
    const { id, key } = await givenKey({ scopes: ["write"] });
    await using mcp = await connectHttp(app.url, { key });
    const streams = app.runner.hub.size();
    const batch = { id: "revoked", tasks: [{ prompt: "hang" }], waitSeconds: 50 };
    const running = mcp.call("run_batch", batch);
    await until(() => app.runner.hub.size() === streams + 1 || undefined);
    await app.del(`/api-keys/${id}`);
    const { isError, text } = await running;
    expect([isError, text]).toEqual([true, "UNAUTHORIZED: The API key is not valid"]);
    expect(mcp.call("status")).rejects.toThrow("not valid");
    await app.post("/batches/revoked/cancel");
  });
});

describe("a page of results", () => {
  test("has a bounded size, and the pages together have every row once", async () => {
    await using mcp = await connectHttp(app.url);
    const tasks = Array.from({ length: 7 }, (_, i) => ({ id: `long-${i}`, prompt: `LONG${i}` }));
    await mcp.call("run_batch", { id: "long", tasks, waitSeconds: 50 });
    const ids: string[] = [];
    for (let cursor: string | undefined; ;) {
      const { text, data } = await mcp.call("results", { batchId: "long", cursor });
      expect(text.length).toBeLessThan(52_000);
      ids.push(...data.rows.map((row: Json) => row.id));
      if (data.nextCursor === undefined) break;
      cursor = data.nextCursor;
    }
    expect(ids).toEqual(tasks.map(({ id }) => id));
  });

  test("cuts an answer that is longer than a page, and says so", async () => {
    await using mcp = await connectHttp(app.url);
    await mcp.call("run_batch", { id: "huge", tasks: [{ prompt: `LONG${"x".repeat(40_000)}` }] });
    const { data, text } = await mcp.call("results", { batchId: "huge" });
    expect(text.length).toBeLessThan(52_000);
    expect(data.rows[0].answer).toMatch(/cut here: 50000 of \d+ characters\)$/);
  });
});

test("answers come from the simulator only on request", async () => {
  await using other = await startServer();
  await using mcp = await connectHttp(other.url);
  const tasks = [{ prompt: "x" }];
  for (const [tool, args] of [
    ["ask", { prompt: "x" }],
    ["run_batch", { tasks }],
  ] as const)
    expect((await mcp.call(tool, args)).text).toStartWith("NO_PROVIDER: ");
  const dry = await mcp.call("run_batch", { id: "dry", tasks, isDryRun: true });
  expect(dry.data).toMatchObject({ status: "completed", simulated: expect.any(String) });
  const asked = await mcp.call("ask", { prompt: "x", isDryRun: true });
  expect(asked.data.simulated).toBeDefined();
  expect((await other.get("/tasks")).body.data.pagination.total).toBe(2);
});

describe("a refused request", () => {
  test("without a key, or with a wrong one, gets 401", async () => {
    for (const key of ["", "wrong"]) {
      const { status, headers } = await sendMcp(app.url, callOf("status"), { key });
      expect([status, headers.get("www-authenticate")]).toEqual([401, "Bearer"]);
    }
    expect(connectHttp(app.url, { key: "wrong" })).rejects.toThrow();
  });

  test("of a read-only key names the missing scope, while its reads work", async () => {
    const { key } = await givenKey({ scopes: ["read"] });
    await using mcp = await connectHttp(app.url, { key });
    expect((await mcp.call("status")).isError).toBe(false);
    for (const [tool, args] of [
      ["ask", { prompt: "x" }],
      ["run_batch", { tasks: [{ prompt: "x" }] }],
      ["control_batch", { batchId: "once", action: "cancel" }],
    ] as const) {
      const { isError, text } = await mcp.call(tool, args);
      expect([isError, text]).toEqual([
        true,
        "FORBIDDEN: This needs an API key with the scope write",
      ]);
    }
  });

  test("with invalid arguments reports each of them to the model", async () => {
    await using mcp = await connectHttp(app.url);
    const { isError, text } = await mcp.call("ask", { prompt: "x", temperature: 9, maxTokens: 0 });
    expect([isError, text.split("\n")]).toEqual([
      true,
      [
        expect.stringMatching(/^VALIDATION_ERROR: temperature: .* \(and 1 more\)$/),
        expect.any(String),
      ],
    ]);
    for (const [args, said] of [
      [{ batchId: "b", limit: 1000 }, "limit: "],
      [
        { batchId: "b", page: 2 },
        "page: is not a known argument; there are batchId, status, limit, cursor",
      ],
      [{ batchId: "../keys" }, "batchId: must be"],
      [{}, "batchId: "],
    ] as const)
      expect((await mcp.call("results", args)).text).toStartWith(`VALIDATION_ERROR: ${said}`);
    writeFileSync(join(app.filesDir, "wrong.jsonl"), '{"prompt":1}\nno JSON\n');
    const rows = await mcp.call("run_batch", { inputFile: "wrong.jsonl" });
    expect(rows.text).toEndWith(
      '(and 1 more)\n  row 2: is not valid JSON: Unexpected identifier "no"',
    );
    const missing = await mcp.call("status", { id: "nowhere" });
    expect(missing.text).toStartWith("NOT_FOUND: There is no batch and no task with id nowhere");
    expect(mcp.call("delete_everything")).rejects.toThrow("There is no tool delete_everything");
  });

  test("comes from a page of another origin, unless CORS_ORIGINS allows it", async () => {
    const from = (origin: string) =>
      sendMcp(app.url, callOf("status"), { headers: { origin } }).then(({ status }) => status);
    // Also for a name that resolves to this machine (DNS rebinding).
    const own = app.url.replace("127.0.0.1", "rebound.example");
    expect(await Promise.all(["https://evil.example", "null", own].map(from))).toEqual([
      403, 403, 403,
    ]);
    expect(await from("https://app.example")).toBe(200);
    const preflight = await fetch(`${app.url}/mcp`, {
      method: "OPTIONS",
      headers: {
        origin: "https://app.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,mcp-protocol-version",
      },
    });
    expect(preflight.headers.get("access-control-allow-headers")).toContain("Mcp-Protocol-Version");
  });

  test("has a list of messages, a too large body, or no JSON", async () => {
    const list = await sendMcp(app.url, [callOf("status"), callOf("status", {}, 2)]);
    expect([list.status, await list.text()]).toEqual([
      400,
      expect.stringContaining("one JSON-RPC message"),
    ]);
    expect((await sendMcp(app.url, "{")).status).toBe(400);
    const large = callOf("ask", { prompt: "x".repeat(app.ctx.config.maxBodyBytes) });
    expect((await sendMcp(app.url, large)).status).toBe(413);
    const get = await fetch(`${app.url}/mcp`);
    expect([get.status, get.headers.get("allow")]).toEqual([405, "POST"]);
  });
});

test("numbers beyond the precision of a double are stored exactly", async () => {
  const text =
    '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"run_batch","arguments":' +
    '{"id":"exact","start":false,"tasks":[{"prompt":"x","metadata":{"n":12345678901234567890}}]}}}';
  expect((await sendMcp(app.url, text)).status).toBe(200);
  expect((await app.get("/batches/exact/results?format=jsonl")).text).toContain(
    '"n":12345678901234567890',
  );
});

test("actions of tools are in the audit log, with the key, the address and the request", async () => {
  const { id: key, key: secret } = await givenKey({ scopes: ["write"] });
  const { headers } = await sendMcp(
    app.url,
    callOf("run_batch", { id: "audited", tasks: [{ prompt: "x" }] }),
    { key: secret },
  );
  const entries = await until<Json>(async () => {
    const { data } = (await app.get("/audit?target=audited")).body;
    return data.entries.length === 2 ? data.entries : undefined;
  });
  for (const entry of entries)
    expect(entry).toMatchObject({
      keyId: key,
      address: "127.0.0.1",
      requestId: headers.get("x-request-id"),
    });
  expect(entries.map((entry: Json) => entry.action).toSorted()).toEqual([
    "batches.create",
    "batches.execute",
  ]);
});

test("a message counts once against the rate limit of its key, whatever its tool does", async () => {
  const { key } = await givenKey({ scopes: ["write"], rateLimitPerMinute: 3 });
  const send = () =>
    sendMcp(app.url, callOf("run_batch", { tasks: [{ prompt: "counted" }] }), { key });
  const answers = [await send(), await send(), await send(), await send()];
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 429]);
  expect(answers.map(({ headers }) => headers.get("x-ratelimit-remaining"))).toEqual([
    "2",
    "1",
    "0",
    "0",
  ]);
  expect(answers[3]?.headers.has("retry-after")).toBe(true);
});

test("a budget that is used up is reported to the model", async () => {
  const { key } = await givenKey({ scopes: ["write"], monthlyBudgetUsd: 0.0001 });
  await using mcp = await connectHttp(app.url, { key });
  const dear = { prompt: "dear", model: "gpt-4" };
  expect((await mcp.call("ask", dear)).data.costUsd).toBeGreaterThan(0.0001);
  const { isError, text } = await mcp.call("ask", dear);
  expect([isError, text.split(":")[0]]).toEqual([true, "QUOTA_EXCEEDED"]);
});
