import { expect, test } from "bun:test";

import { temporaryFolder } from "../support/process.ts";
import { fail, startProvider } from "../support/provider.ts";
import { startReceiver } from "../support/receiver.ts";
import { type Json, KEY, startServer, until } from "../support/server.ts";

/** A collector in this process that accepts OTLP over HTTP as JSON. */
function startCollector() {
  const spans: Json[] = [];
  const server = Bun.serve({
    port: 0,
    async fetch(request) {
      expect(new URL(request.url).pathname).toBe("/v1/traces");
      const { resourceSpans } = (await request.json()) as Json;
      for (const { scopeSpans } of resourceSpans)
        for (const scope of scopeSpans) spans.push(...scope.spans);
      return Response.json({});
    },
  });
  return {
    url: `http://127.0.0.1:${server.port}`,
    spans,
    [Symbol.asyncDispose]: () => server.stop(true),
  };
}

function attributes(span: Json): Record<string, unknown> {
  return Object.fromEntries(
    span.attributes.map(({ key, value }: Json) => [key, Object.values(value)[0]]),
  );
}

const CLIENT = 3;
const TRACE = "0af7651916cd43dd8448eb211c80319c";

test("a trace covers the client's request and every provider call that follows from it", async () => {
  await using collector = startCollector();
  await using provider = await startProvider(({ prompt, earlier }, response) =>
    prompt === "again" && earlier === 0 ? fail(response, 503) : undefined,
  );
  const app = await startServer({ ...provider.env, OTEL_EXPORTER_OTLP_ENDPOINT: collector.url });
  const traceparent = `00-${TRACE}-b7ad6b7169203331-01`;
  const asked = await app.post(
    "/tasks?execute=true",
    { id: "t", prompt: "again", model: "gpt-4o" },
    { traceparent },
  );
  await app.ended("t");
  await app.post("/batches", { id: "b", tasks: [{ prompt: "x", model: "gpt-4o" }] });
  await app.post("/batches/b/execute", undefined, { "x-request-id": "start-b" });
  await app.finished("b");
  await app[Symbol.asyncDispose]();

  const ofClient = collector.spans.filter(({ traceId }) => traceId === TRACE);
  const request = ofClient.find(({ name }) => name === "POST /api/v1/tasks");
  expect(request.parentSpanId).toBe("b7ad6b7169203331");
  expect(attributes(request)).toMatchObject({ "http.response.status_code": 201 });
  const calls = ofClient.filter(({ kind }) => kind === CLIENT);
  expect(calls.map(({ name }) => name)).toEqual(["chat gpt-4o", "chat gpt-4o"]);
  const [first, second] = calls.map(attributes);
  expect(first).toMatchObject({ "error.type": "503" });
  expect(second).toMatchObject({
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.response.model": "gpt-4o",
    "gen_ai.usage.input_tokens": 10,
    "gen_ai.usage.output_tokens": 5,
    "server.address": "127.0.0.1",
  });
  const [execution, ...others] = ofClient.filter(({ name }) => name === "execution");
  expect([execution.parentSpanId, others]).toEqual([request.spanId, []]);
  expect(attributes(execution)).toMatchObject({
    "gptrunner.execution_id": asked.body.data.executionId,
    "gptrunner.attempts": 2,
    "gptrunner.status": "completed",
  });
  for (const call of calls) {
    const attempt = ofClient.find(({ spanId }) => spanId === call.parentSpanId);
    expect([attempt.name, attempt.parentSpanId]).toEqual(["attempt", execution.spanId]);
    expect(Number(attempt.startTimeUnixNano)).toBeGreaterThanOrEqual(
      Number(execution.startTimeUnixNano),
    );
    expect(Number(attempt.endTimeUnixNano)).toBeLessThanOrEqual(Number(execution.endTimeUnixNano));
  }

  const started = collector.spans.find(
    (span) => attributes(span)["gptrunner.request_id"] === "start-b",
  );
  expect(started.name).toBe("POST /api/v1/batches/:id/execute");
  const ofBatch = collector.spans.filter(({ traceId }) => traceId === started.traceId);
  expect(ofBatch.filter(({ kind }) => kind === CLIENT)).toHaveLength(1);
  expect(JSON.stringify(collector.spans)).not.toContain("re: x");
});

test("a trace continues to the webhooks that report the result of the request", async () => {
  await using collector = startCollector();
  await using provider = await startProvider();
  await using receiver = await startReceiver(({ body }, response) =>
    body.type === "batch.completed" ? response.writeHead(503).end() : undefined,
  );
  const app = await startServer({
    ...provider.env,
    ...receiver.env,
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
  });
  const { body: hook } = await app.post("/webhooks", {
    url: `${receiver.url}?token=hush`,
    events: ["task.*", "batch.started", "batch.completed"],
  });
  const task = { id: "t", prompt: "x", model: "gpt-4o" };
  await app.post("/tasks?execute=true", task, { "x-request-id": "single" });
  await app.post("/batches", { id: "b", tasks: [{ id: "b1", prompt: "x", model: "gpt-4o" }] });
  await app.post("/batches/b/execute", undefined, { "x-request-id": "batch" });
  await until(() => receiver.types().includes("batch.completed") || undefined);
  await until(async () => {
    const { body } = await app.get(`/webhooks/${hook.data.id}/deliveries`);
    return body.data.deliveries.every(({ attempts }: Json) => attempts.length > 0) || undefined;
  });
  await app.post(`/webhooks/${hook.data.id}/test`, undefined, { "x-request-id": "try" });
  await app[Symbol.asyncDispose]();

  const traceOf = (requestId: string) => {
    const request = collector.spans.find(
      (span) => attributes(span)["gptrunner.request_id"] === requestId,
    );
    const ofTrace = collector.spans.filter(({ traceId }) => traceId === request.traceId);
    const posts = ofTrace.filter(({ name }) => name === "POST webhook");
    expect(posts.every(({ parentSpanId }) => parentSpanId === request.spanId)).toBe(true);
    expect(posts.every(({ kind }) => kind === CLIENT)).toBe(true);
    return {
      names: ofTrace.map(({ name }) => name as string).toSorted(),
      posts: new Map(posts.map(attributes).map((post) => [post["gptrunner.event_type"], post])),
    };
  };
  const single = traceOf("single");
  expect(single.names).toEqual([
    "POST /api/v1/tasks",
    "POST webhook",
    "POST webhook",
    "POST webhook",
    "attempt",
    "chat gpt-4o",
    "execution",
  ]);
  expect([...single.posts.keys()]).toEqual(["task.created", "task.started", "task.completed"]);
  expect(single.posts.get("task.completed")).toEqual({
    "http.request.method": "POST",
    "url.scheme": "http",
    "server.address": "127.0.0.1",
    "server.port": receiver.port,
    "http.response.status_code": 204,
    "gptrunner.webhook_id": hook.data.id,
    "gptrunner.webhook_message_id": expect.stringMatching(/^evt-/),
    "gptrunner.event_type": "task.completed",
    "gptrunner.attempt": 1,
    "gptrunner.outcome": "delivered",
  });
  const ofBatch = traceOf("batch").posts;
  expect([...ofBatch.keys()].toSorted()).toEqual([
    "batch.completed",
    "batch.started",
    "task.completed",
    "task.started",
  ]);
  expect(ofBatch.get("batch.completed")).toMatchObject({
    "error.type": "503",
    "gptrunner.outcome": "failed",
  });
  expect([...traceOf("try").posts.keys()]).toEqual(["webhook.test"]);
  expect(JSON.stringify(collector.spans)).not.toMatch(/hush|whsec_/);
});

test("live calls are parts of the traces of their requests, whichever provider answered", async () => {
  await using collector = startCollector();
  await using provider = await startProvider(({ prompt }, response) =>
    prompt === "again" ? fail(response, 503) : undefined,
  );
  const app = await startServer({ ...provider.env, OTEL_EXPORTER_OTLP_ENDPOINT: collector.url });
  const ask = async (content: string) => {
    const reply = await fetch(`${app.url}/v1/chat/completions`, {
      method: "POST",
      headers: {
        authorization: `Bearer ${KEY}`,
        "content-type": "application/json",
        traceparent: `00-${TRACE}-b7ad6b7169203331-01`,
      },
      body: JSON.stringify({ model: "gpt-4o", messages: [{ role: "user", content }] }),
    });
    await reply.text();
    return reply.status;
  };
  expect([await ask("x"), await ask("again")]).toEqual([200, 503]);
  await app[Symbol.asyncDispose]();

  const ofClient = collector.spans.filter(({ traceId }) => traceId === TRACE);
  const requests = ofClient.filter(({ name }) => name === "POST /v1/chat/completions");
  expect(requests.map(({ parentSpanId }) => parentSpanId)).toEqual([
    "b7ad6b7169203331",
    "b7ad6b7169203331",
  ]);
  const calls = ofClient.filter(({ kind }) => kind === CLIENT);
  expect(calls.map(({ name }) => name)).toEqual(["chat gpt-4o", "chat gpt-4o"]);
  expect(calls.map(({ parentSpanId }) => parentSpanId)).toEqual(
    requests.map(({ spanId }) => spanId),
  );
  const [good, bad] = calls.map(attributes);
  expect(good).toMatchObject({
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.response.model": "gpt-4o",
    "gen_ai.usage.input_tokens": 10,
    "gen_ai.usage.output_tokens": 5,
    "gptrunner.provider_request_id": expect.stringMatching(/^req_/),
    "server.address": "127.0.0.1",
  });
  expect(bad).toMatchObject({ "error.type": "503" });
  expect(JSON.stringify(collector.spans)).not.toContain("re: x");
});

test("cancelled executions are traced, too", async () => {
  await using collector = startCollector();
  await using provider = await startProvider(() => new Promise(() => undefined));
  const app = await startServer({ ...provider.env, OTEL_EXPORTER_OTLP_ENDPOINT: collector.url });
  await app.post("/tasks?execute=true", { id: "t", prompt: "x" }, { "x-request-id": "t" });
  await app.post("/batches", { id: "b", tasks: [{ prompt: "x" }, { prompt: "y" }] });
  await app.post("/batches/b/execute", undefined, { "x-request-id": "b" });
  await until(() => provider.requests.length === 3 || undefined);
  await app.post("/tasks/t/cancel");
  await app.post("/batches/b/cancel");
  await app.finished("b");
  await app[Symbol.asyncDispose]();

  const requests = new Map(
    collector.spans.map((span) => [attributes(span)["gptrunner.request_id"], span.spanId]),
  );
  const executions = collector.spans.filter(({ name }) => name === "execution");
  expect(executions.map(({ parentSpanId }) => parentSpanId)).toEqual([
    requests.get("t"),
    requests.get("b"),
    requests.get("b"),
  ]);
  expect(executions.map((span) => attributes(span)["gptrunner.status"])).toEqual([
    "cancelled",
    "cancelled",
    "cancelled",
  ]);
});

test("without a collector the SDK of OpenTelemetry is not loaded", async () => {
  const loaded = async (env: Record<string, string>) => {
    using folder = temporaryFolder();
    const script = `
      const { createRunner } = await import("./src/runner.ts");
      const { readConfig } = await import("./src/config.ts");
      const runner = await createRunner(readConfig(process.env));
      console.log(Object.keys(require.cache).some((path) => path.includes("@opentelemetry/sdk")));
      process.exit(0);`;
    const child = Bun.spawn([process.execPath, "-e", script], {
      env: { PATH: process.env["PATH"], DATA_DIR: folder.path, API_KEYS: "k", ...env },
      stdout: "pipe",
    });
    return (await new Response(child.stdout).text()).trim().split("\n").at(-1);
  };
  expect(await loaded({})).toBe("false");
  expect(await loaded({ OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:9" })).toBe("true");
});
