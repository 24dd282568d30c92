import { expect, test } from "bun:test";

import { temporaryFolder } from "../support/process.ts";
import { fail, startProvider } from "../support/provider.ts";
import { type Json, startServer } from "../support/server.ts";

/** A collector that takes OTLP over HTTP as JSON, in this process. */
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

test("a trace goes from the client's request to every provider call that it leads to", async () => {
  await using collector = startCollector();
  await using provider = await startProvider(({ prompt, earlier }, response) =>
    prompt === "again" && earlier === 0 ? fail(response, 503) : undefined,
  );
  const app = await startServer({ ...provider.env, OTEL_EXPORTER_OTLP_ENDPOINT: collector.url });
  const traceparent = `00-${TRACE}-b7ad6b7169203331-01`;
  await app.post(
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
  for (const call of calls) {
    const attempt = ofClient.find(({ spanId }) => spanId === call.parentSpanId);
    expect([attempt.name, attempt.parentSpanId]).toEqual(["attempt", request.spanId]);
  }

  const started = collector.spans.find(
    (span) => attributes(span)["gptrunner.request_id"] === "start-b",
  );
  expect(started.name).toBe("POST /api/v1/batches/:id/execute");
  const ofBatch = collector.spans.filter(({ traceId }) => traceId === started.traceId);
  expect(ofBatch.filter(({ kind }) => kind === CLIENT)).toHaveLength(1);
  expect(JSON.stringify(collector.spans)).not.toContain("re: x");
});

test("without a collector nothing of it is loaded", async () => {
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
