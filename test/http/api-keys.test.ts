import { describe, expect, test } from "bun:test";

import { createApp } from "../../src/http/app.ts";
import { createFirstLogin } from "../../src/http/monitor/login.ts";
import { createAuditLog } from "../../src/services/audit.ts";
import { createKeyWatch } from "../../src/services/key-watch.ts";
import { createLiveHub } from "../../src/services/live-hub.ts";
import { startProvider } from "../support/provider.ts";
import { client, type Json, startServer, type TestServer } from "../support/server.ts";

async function givenKey(app: TestServer, fields: Json = {}) {
  const { status, body } = await app.post("/api-keys", { name: "mine", ...fields });
  expect([status, body.error]).toEqual([201, undefined]);
  return {
    id: body.data.id as string,
    key: body.data.key as string,
    ...client(app.url, body.data.key),
  };
}

describe("an API key", () => {
  test("is shown once, and only its hash is stored", async () => {
    await using app = await startServer();
    const { body } = await app.post("/api-keys", { name: "Nightly import" });
    expect(body.data).toEqual({
      id: expect.stringMatching(/^key-/),
      key: expect.stringMatching(/^gtr_[0-9a-z]{40}$/),
      name: "Nightly import",
      prefix: body.data.key.slice(0, 8),
      scopes: ["read", "write"],
      origin: "api",
      createdAt: expect.any(String),
      expiresAt: null,
      revokedAt: null,
      lastUsedAt: null,
      previousKeyExpiresAt: null,
      rateLimitPerMinute: null,
      monthlyBudgetUsd: null,
      usage: {
        month: { tasks: 0, promptTokens: 0, completionTokens: 0, costUsd: 0 },
        total: { tasks: 0, promptTokens: 0, completionTokens: 0, costUsd: 0 },
      },
    });
    expect((await client(app.url, body.data.key).get("/tasks")).status).toBe(200);
    const { text } = await app.get(`/api-keys/${body.data.id}`);
    const listed = await app.get("/api-keys");
    const stored = JSON.stringify((await app.ctx.client.execute("SELECT * FROM api_keys")).rows);
    for (const shown of [text, listed.text, stored]) expect(shown).not.toContain(body.data.key);
    expect(listed.body.data.keys.map(({ name }: Json) => name)).toContain("Nightly import");
  });

  test("lists by page, by name, and revoked ones on request", async () => {
    await using app = await startServer();
    for (const name of ["c", "a", "b"]) await givenKey(app, { name });
    const first = await app.get("/api-keys?sort=name&order=asc&limit=2");
    const rest = await app.get(
      `/api-keys?sort=name&order=asc&limit=2&cursor=${first.body.data.pagination.nextCursor}`,
    );
    const names = [...first.body.data.keys, ...rest.body.data.keys].map(({ name }) => name);
    expect(names.slice(1)).toEqual(["a", "b", "c"]);
    const [{ id }] = rest.body.data.keys;
    await app.del(`/api-keys/${id}`);
    expect((await app.get("/api-keys")).body.data.pagination.total).toBe(3);
    expect((await app.get("/api-keys?includeRevoked=true")).body.data.pagination.total).toBe(4);
    expect((await app.get(`/api-keys/${id}`)).body.data.revokedAt).toEqual(expect.any(String));
  });

  test("that is revoked is invalid at once, and cannot be restored", async () => {
    await using app = await startServer();
    const key = await givenKey(app);
    expect((await key.get("/tasks")).status).toBe(200);
    expect((await app.del(`/api-keys/${key.id}`)).status).toBe(200);
    expect((await key.get("/tasks")).status).toBe(401);
    for (const answer of [
      await app.del(`/api-keys/${key.id}`),
      await app.patch(`/api-keys/${key.id}`, { name: "again" }),
      await app.post(`/api-keys/${key.id}/rotate`),
    ])
      expect([answer.status, answer.body.error.code]).toEqual([409, "API_KEY_FIXED"]);
    expect((await app.get("/api-keys/none")).body.error.code).toBe("API_KEY_NOT_FOUND");
  });

  test("ends exactly when it expires", async () => {
    await using app = await startServer();
    const soon = Date.now() + 60_000;
    const key = await givenKey(app, { expiresAt: new Date(soon).toISOString() });
    expect((await key.get("/tasks")).status).toBe(200);
    app.ctx.clock.now = () => soon - 1;
    expect((await key.get("/tasks")).status).toBe(200);
    app.ctx.clock.now = () => soon;
    expect((await key.get("/tasks")).status).toBe(401);
    app.ctx.clock.now = Date.now;
    const past = await app.post("/api-keys", { name: "x", expiresAt: "2020-01-01T00:00:00Z" });
    expect(past.body.error.details.issues[0].path).toBe("expiresAt");
    await app.patch(`/api-keys/${key.id}`, { expiresAt: null });
    app.ctx.clock.now = () => soon;
    expect((await key.get("/tasks")).status).toBe(200);
  });

  test("that is rotated has two secrets during the overlap, and keeps everything else", async () => {
    await using app = await startServer();
    const key = await givenKey(app);
    await key.post("/tasks", { id: "t", prompt: "x", idempotencyKey: "once" });
    const { body } = await app.post(`/api-keys/${key.id}/rotate`, { overlapSeconds: 3600 });
    expect(body.data).toMatchObject({ id: key.id, name: "mine", scopes: ["read", "write"] });
    const rotated = client(app.url, body.data.key);
    expect((await key.get("/tasks")).status).toBe(200);
    const replay = await rotated.post("/tasks", { id: "t", prompt: "x", idempotencyKey: "once" });
    expect([replay.status, replay.headers.get("idempotency-replayed")]).toEqual([200, "true"]);
    app.ctx.clock.now = () => Date.now() + 3_600_001;
    expect((await key.get("/tasks")).status).toBe(401);
    expect((await rotated.get("/tasks")).status).toBe(200);
    app.ctx.clock.now = Date.now;
    await app.post(`/api-keys/${key.id}/rotate`, { overlapSeconds: 0 });
    expect((await key.get("/tasks")).status).toBe(401);
    expect((await rotated.get("/tasks")).status).toBe(401);
  });

  test("of the environment can be changed only there, and limits are for created keys", async () => {
    await using app = await startServer();
    const [{ id, origin, prefix }] = (await app.get("/api-keys")).body.data.keys;
    expect([origin, prefix]).toEqual(["environment", ""]);
    const path = `/api-keys/${id}`;
    for (const answer of [
      await app.del(path),
      await app.post(`${path}/rotate`),
      await app.patch(path, { scopes: ["read"] }),
      await app.patch(path, { expiresAt: new Date(Date.now() + 60_000).toISOString() }),
      await app.patch(path, { monthlyBudgetUsd: 12.5 }),
      await app.patch(path, { name: "x", rateLimitPerMinute: 1 }),
    ]) {
      expect([answer.status, answer.body.error.code]).toEqual([409, "API_KEY_FIXED"]);
      for (const part of ["stands in API_KEYS", "make a key of your own"])
        expect(answer.body.error.message).toContain(part);
    }
    // An earlier version could leave this state.
    await app.ctx.client.execute("UPDATE api_keys SET rate_limit_per_minute = 5");
    const { body } = await app.patch(path, { name: "mine", rateLimitPerMinute: null });
    expect(body.data).toMatchObject({
      name: "mine",
      rateLimitPerMinute: null,
      scopes: ["read", "write", "admin"],
    });
  });

  test("shows when it was last used, and the usage of its tasks", async () => {
    await using provider = await startProvider();
    await using app = await startServer(provider.env);
    const key = await givenKey(app);
    await key.post("/batches", {
      id: "b",
      tasks: [{ prompt: "a" }, { prompt: "b" }],
      config: { model: "gpt-4" },
    });
    await key.post("/batches/b/execute");
    const { usage, costUsd } = await app.finished("b");
    await key.post("/tasks?execute=true&isDryRun=true", { id: "d", prompt: "x", model: "gpt-4" });
    const dry = await app.ended("d");
    const { data } = (await app.get(`/api-keys/${key.id}`)).body;
    expect(data.usage.month).toEqual({
      tasks: 3,
      promptTokens: usage.promptTokens + dry.result.usage.promptTokens,
      completionTokens: usage.completionTokens + dry.result.usage.completionTokens,
      costUsd,
    });
    expect(data.usage.total).toEqual(data.usage.month);
    expect(Date.now() - Date.parse(data.lastUsedAt)).toBeLessThan(60_000);
    app.ctx.clock.now = () => Date.now() + 40 * 86_400_000;
    const later = (await app.get(`/api-keys/${key.id}`)).body.data.usage;
    expect([later.month.tasks, later.total.tasks]).toEqual([0, 3]);
  });
});

describe("scopes", () => {
  test("every route declares a scope, and accepts exactly the keys that have it", async () => {
    await using app = await startServer();
    const keys = {
      read: (await givenKey(app, { scopes: ["read"] })).key,
      write: (await givenKey(app, { scopes: ["write"] })).key,
      admin: (await givenKey(app, { scopes: ["admin"] })).key,
    };
    const order = ["read", "write", "admin"] as const;
    const routes = await declaredRoutes(app);
    const wrong: string[] = [];
    for (const { name, method, path, scope } of routes)
      for (const one of order) {
        const status = await statusOf(app, method, path, keys[one]);
        const isAllowed = order.indexOf(one) >= order.indexOf(scope);
        if (status === 401 || isAllowed === (status === 403))
          wrong.push(`${name} needs ${scope}; ${one} was answered ${status}`);
      }
    expect(wrong).toEqual([]);
    const served = createApp(app.ctx, {
      hub: app.runner.hub,
      liveHub: createLiveHub(app.ctx, () => undefined),
      keyWatch: createKeyWatch(app.ctx),
      auditLog: createAuditLog(app.ctx),
      engine: () => undefined,
      firstLogin: createFirstLogin(app.ctx.clock, undefined),
      liveCalls: () => Promise.reject(new Error("no calls here")),
    }).routes.filter(({ method, path }) => method !== "ALL" && path.startsWith("/api/v1/"));
    const undeclared = served
      .map(({ method, path }) => `${method} ${path.replaceAll(/:(\w+)/g, "{$1}")}`)
      .filter((name) => !routes.some((route) => route.name === name));
    expect(undeclared).toEqual([]);
    expect(routes.length).toBeGreaterThan(15);
  });

  test("no path of the API answers without a key, and reads change nothing", async () => {
    await using app = await startServer();
    const routes = await declaredRoutes(app);
    for (const { name, method, path } of routes)
      expect([name, await statusOf(app, method, path, "")]).toEqual([name, 401]);
    const READ_BY_POST = new Set(["POST /api/v1/events/token"]);
    const suspicious = routes.filter(({ method, scope }) => method !== "GET" && scope === "read");
    expect(suspicious.map(({ name }) => name).filter((n) => !READ_BY_POST.has(n))).toEqual([]);
    const admin = routes.filter(({ path }) => /\/(api-keys|audit)/.test(path));
    expect(admin.filter(({ scope }) => scope !== "admin")).toEqual([]);
  });
});

/** Each operation of the OpenAPI document, with a well-formed path and its declared scope. */
async function declaredRoutes(app: TestServer) {
  const { paths } = (await app.get(`${app.url}/openapi.json`)).body;
  return Object.entries<Json>(paths).flatMap(([path, methods]) =>
    Object.entries<Json>(methods).map(([method, operation]) => ({
      name: `${method.toUpperCase()} ${path}`,
      method: method.toUpperCase(),
      path: path.replaceAll(/\{[^}]+\}/g, "none"),
      scope: operation.security[0].bearerAuth[0] as "read" | "write" | "admin",
    })),
  );
}

async function statusOf(app: TestServer, method: string, path: string, key: string) {
  const answer = await fetch(app.url + path, {
    method,
    headers: {
      authorization: `Bearer ${key}`,
      ...(method === "GET" ? {} : { "content-type": "application/json" }),
    },
    // Invalid for every operation, so that nothing changes if the key is accepted.
    ...(method === "GET" ? {} : { body: '{"nonsense":1}' }),
  });
  await answer.body?.cancel();
  return answer.status;
}
