import { describe, expect, test } from "bun:test";

import { afterRead } from "../support/interleave.ts";
import { startProcess, temporaryFolder } from "../support/process.ts";
import { startProvider, hang } from "../support/provider.ts";
import { client, KEY, startServer, type TestServer, until } from "../support/server.ts";
import { startSqld } from "../support/sqld.ts";
import { follow } from "../support/sse.ts";
import { sqld } from "../support/tools.ts";

async function givenKey(app: TestServer, fields: object = {}) {
  const { body } = await app.post("/api-keys", { name: "k", ...fields });
  return { id: body.data.id as string, key: body.data.key as string };
}

describe("a key that ends", () => {
  test("ends its streams at once, which report no later events", async () => {
    await using app = await startServer();
    const { id, key } = await givenKey(app, { scopes: ["read"] });
    await app.post("/batches", { id: "b", tasks: [{ prompt: "x" }] });
    await app.post("/tasks", { id: "t", prompt: "x" });
    const streams = await Promise.all(
      ["/events", "/live", "/tasks/t/events", "/batches/b/events"].map((path) =>
        follow(app.url, path, { key }),
      ),
    );
    await using other = await follow(app.url, "/events");
    await app.del(`/api-keys/${id}`);
    for (const stream of streams) await stream.ended();
    await app.post("/tasks", { id: "secret-after", prompt: "x" });
    await other.until("task.created");
    for (const stream of streams) expect(stream.text()).not.toContain("secret-after");
    expect(app.runner.hub.size()).toBe(1);
  });

  test("ends streams that were opened with its tokens", async () => {
    await using app = await startServer();
    const { id, key } = await givenKey(app, { scopes: ["read"] });
    const { token } = (await client(app.url, key).post("/events/token")).body.data;
    const stream = await follow(app.url, `/events?access_token=${token}`, { key: "" });
    await app.del(`/api-keys/${id}`);
    await stream.ended();
  });

  test("does not end the stream of another, opened while the keys are being read", async () => {
    await using app = await startServer();
    const [one, other] = [await givenKey(app), await givenKey(app)];
    await using stream = await follow(app.url, "/events", { key: one.key });
    const opened = Promise.withResolvers<Awaited<ReturnType<typeof follow>>>();
    afterRead(app, '"api_keys"."seq" in', async () =>
      opened.resolve(await follow(app.url, "/events", { key: other.key })),
    );
    app.ctx.signals.emit("keys", { key: null });
    await using late = await opened.promise;
    await app.post("/tasks", { id: "t", prompt: "x" });
    await late.until("task.created");
    expect([stream.isOver(), late.isOver()]).toEqual([false, false]);
  });

  test("by expiry ends its streams at the time of expiry", async () => {
    await using app = await startServer();
    const expiresAt = new Date(Date.now() + 700).toISOString();
    const { key } = await givenKey(app, { expiresAt });
    const stream = await follow(app.url, "/events", { key });
    expect(stream.status).toBe(200);
    await stream.ended();
    expect(Date.now()).toBeGreaterThanOrEqual(Date.parse(expiresAt));
  });

  test("by rotation without overlap ends only the streams of the old secret", async () => {
    await using app = await startServer();
    const { id, key } = await givenKey(app);
    const old = await follow(app.url, "/events", { key });
    const { body } = await app.post(`/api-keys/${id}/rotate`, { overlapSeconds: 0 });
    await old.ended();
    await using renewed = await follow(app.url, "/events", { key: body.data.key });
    await app.patch(`/api-keys/${id}`, { name: "renamed" });
    await app.post("/tasks", { prompt: "x" });
    await renewed.until("task.created");
  });

  test("ends its waiting requests with 401", async () => {
    await using provider = await startProvider(hang);
    await using app = await startServer(provider.env);
    const { id, key } = await givenKey(app);
    const waiting = client(app.url, key).post(
      "/tasks?execute=true",
      { id: "t", prompt: "x" },
      { prefer: "wait=60" },
    );
    await until(() => provider.requests.length > 0 || undefined);
    await app.del(`/api-keys/${id}`);
    expect((await waiting).status).toBe(401);
  });

  test.skipIf(!sqld)("in another process ends its streams here within seconds", async () => {
    await using folder = temporaryFolder();
    await using database = await startSqld(folder.path);
    await using here = await startServer({ DATABASE_URL: database.url });
    await using there = await startServer({ DATABASE_URL: database.url });
    const { id, key } = await givenKey(there);
    const stream = await follow(here.url, "/events", { key });
    await there.del(`/api-keys/${id}`);
    await stream.ended();
  });
});

test("a client that leaves gives its waiting slot back", async () => {
  await using provider = await startProvider(hang);
  await using app = await startServer({ ...provider.env, MAX_WAITS_PER_KEY: "1" });
  await app.post("/tasks", { id: "t", prompt: "x" });
  const gone = new AbortController();
  const waiting = fetch(`${app.url}/api/v1/tasks/t/execute`, {
    method: "POST",
    headers: { authorization: `Bearer ${KEY}`, prefer: "wait=60" },
    signal: gone.signal,
  }).catch(() => undefined);
  await until(() => provider.requests.length > 0 || undefined);
  gone.abort();
  await waiting;
  await until(async () => {
    const { body } = await app.get("/metrics");
    return body.data.system.activeConnections === 1 || undefined;
  });
  await app.post("/tasks", { id: "next", prompt: "x" });
  const next = app.post("/tasks/next/execute", {}, { prefer: "wait=60" });
  await until(() => provider.requests.length > 1 || undefined);
  await app.post("/tasks/next/cancel");
  // Without the slot, the preference would not be honoured.
  expect((await next).headers.get("preference-applied")).toBe("wait=60");
});

describe("a key of API_KEYS", () => {
  test("can be neither narrowed nor ended through the API, and is restored at a restart", async () => {
    await using app = await startServer({ API_KEYS: "one,two" });
    const admin = client(app.url, "one");
    const { keys } = (await admin.get("/api-keys?sort=name&order=asc")).body.data;
    expect(keys.map(({ name }: { name: string }) => name)).toEqual(["API_KEYS 1", "API_KEYS 2"]);
    expect((await admin.del(`/api-keys/${keys[1].id}`)).body.error.code).toBe("API_KEY_FIXED");
    // A state that an earlier version could leave.
    await app.ctx.client.execute(`UPDATE api_keys SET scopes = '["read"]', expires_at = 1`);
    const { dir } = app;
    await app.stop();
    await using again = await startServer({ API_KEYS: "two,one", DATA_DIR: dir });
    const after = (await client(again.url, "one").get("/api-keys")).body.data.keys;
    expect(after[0]).toMatchObject({ scopes: ["read", "write", "admin"], expiresAt: null });
  });
});

describe("behind a proxy", () => {
  test("a change to one key leaves others known, so that a blocked address does not lock them out", async () => {
    await using app = await startServer({ FAILED_LOGINS_PER_MINUTE: "2" });
    const { id } = await givenKey(app);
    const guess = () => client(app.url, "guess").get("/tasks");
    while ((await guess()).status !== 429);
    await app.patch(`/api-keys/${id}`, { name: "other" });
    expect((await app.get("/tasks")).status).toBe(200);
  });

  test("the log says once that the proxy is not configured", async () => {
    using folder = temporaryFolder();
    await using app = await startProcess({ DATA_DIR: folder.path });
    for (let i = 0; i < 3; i++) await app.get("/tasks", { "x-forwarded-for": "203.0.113.7" });
    await until(() => app.output.stderr.includes("TRUSTED_PROXY_HOPS") || undefined);
    await app.kill("SIGTERM");
    expect(app.output.stderr.split("TRUSTED_PROXY_HOPS is 0")).toHaveLength(2);
  });

  test("the audit log has the client's address, but no query text", async () => {
    await using app = await startServer({ TRUSTED_PROXY_HOPS: "1" });
    await app.post(
      "/tasks?execute=true&isDryRun=true",
      { id: "t", prompt: "x" },
      { "x-forwarded-for": "10.0.0.1, 203.0.113.7" },
    );
    const [entry] = await until(async () => {
      const { entries } = (await app.get("/audit")).body.data;
      return entries.length > 0 ? entries : undefined;
    });
    expect([entry.address, entry.options]).toEqual([
      "203.0.113.7",
      { execute: "true", isDryRun: "true" },
    ]);
  });
});

describe("a live call whose key ends", () => {
  /** A provider that sends one word of a stream and then falls silent. It never answers other calls. */
  const silent = () =>
    startProvider(({ body }, response) => {
      if (body.stream !== true) return hang();
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write('data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n');
      return hang();
    });
  const call = (app: TestServer, key: string, more: object = {}) =>
    fetch(`${app.url}/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
      body: JSON.stringify({
        model: "gpt-4o-mini",
        messages: [{ role: "user", content: "x" }],
        ...more,
      }),
    });

  test("ends at once, whole or streamed, though its provider is silent", async () => {
    await using provider = await silent();
    await using app = await startServer(provider.env);
    const { id, key } = await givenKey(app, { scopes: ["write"] });
    const stream = await call(app, key, { stream: true });
    const reading = stream.text().catch(() => "broken");
    const whole = call(app, key);
    await until(() => provider.state.open === 2 || undefined);
    await app.del(`/api-keys/${id}`);
    const refused = await whole;
    expect(refused.status).toBe(401);
    expect(await refused.json()).toMatchObject({ error: { code: "invalid_api_key" } });
    expect(await reading).toBe("broken");
    await until(() => provider.state.open === 0 || undefined);
  });

  test("counts for its key until it has ended, and leaves room for other keys, up to the limit of the process", async () => {
    await using provider = await silent();
    await using app = await startServer({
      ...provider.env,
      LIVE_MAX_CALLS: "3",
      LIVE_MAX_CALLS_PER_KEY: "2",
    });
    const [one, two] = [await givenKey(app), await givenKey(app)];
    const first = await call(app, one.key, { stream: true });
    const second = await call(app, one.key, { stream: true });
    const refused = await call(app, one.key);
    expect(refused.status).toBe(429);
    expect(await refused.text()).toContain("LIVE_MAX_CALLS_PER_KEY");
    const other = await call(app, two.key, { stream: true });
    expect(other.status).toBe(200);
    const beyond = await call(app, two.key);
    expect([beyond.status, beyond.headers.get("retry-after")]).toEqual([429, "1"]);
    expect(await beyond.text()).toContain("(LIVE_MAX_CALLS)");
    await first.body?.cancel();
    const third = await until(async () => {
      const again = await call(app, one.key, { stream: true });
      return again.status === 200 ? again : undefined;
    });
    for (const { body } of [second, third, other]) await body?.cancel();
    await until(() => provider.state.open === 0 || undefined);
  });
});
