import { describe, expect, test } from "bun:test";

import { Validator } from "@seriousme/openapi-schema-validator";

import { ensureKeys } from "../../src/services/first-keys.ts";
import { buildPage } from "../support/page.ts";
import { client, startServer } from "../support/server.ts";

describe("every answer", () => {
  test("to a guessed path says where the paths are", async () => {
    await using app = await startServer();
    const guesses: [string, RegExp][] = [
      ["/jobs", /^There is nothing at \/api\/v1\/jobs; \/docs .*\/openapi\.json/],
      [`${app.url}/jobs`, /^There is nothing at \/jobs; \/docs .*\/openapi\.json/],
      [`${app.url}/v1/foo`, /^Invalid URL \(GET \/v1\/foo\); docs\/openai\.md .* \/docs/],
    ];
    for (const [path, hint] of guesses) {
      const { status, body } = await app.get(path);
      expect([status, body.error.message]).toEqual([404, expect.stringMatching(hint)]);
    }
    for (const path of ["/docs", "/openapi.json"])
      expect((await app.get(`${app.url}${path}`)).status).toBe(200);
  });

  test("has the envelope, errors of the framework included", async () => {
    await using app = await startServer({ MAX_BODY_BYTES: "2000" });
    const big = "x".repeat(3000);
    const json = { "content-type": "application/json" };
    const cases: [string, Promise<Awaited<ReturnType<typeof app.get>>>, number, string][] = [
      ["unknown route", app.get("/nowhere"), 404, "NOT_FOUND"],
      ["unknown route outside the API", app.get(`${app.url}/nowhere`), 404, "NOT_FOUND"],
      ["unknown task", app.get("/tasks/none"), 404, "TASK_NOT_FOUND"],
      ["unknown batch", app.get("/batches/none"), 404, "BATCH_NOT_FOUND"],
      ["unknown execution", app.get("/executions/none"), 404, "EXECUTION_NOT_FOUND"],
      ["wrong method", app.send("PUT", "/tasks"), 405, "METHOD_NOT_ALLOWED"],
      ["wrong method and type", app.send("PUT", "/tasks", "hi"), 405, "METHOD_NOT_ALLOWED"],
      ["wrong method, large body", app.send("PUT", "/tasks", big), 405, "METHOD_NOT_ALLOWED"],
      ["no id", app.send("PUT", "/tasks/"), 404, "NOT_FOUND"],
      ["unknown route and type", app.post("/nowhere", "hi"), 404, "NOT_FOUND"],
      ["malformed JSON", app.post("/tasks", '{"prompt":', json), 400, "VALIDATION_ERROR"],
      ["no JSON object", app.post("/tasks", "[]", json), 400, "VALIDATION_ERROR"],
      ["null", app.post("/tasks", "null", json), 400, "VALIDATION_ERROR"],
      ["no body", app.post("/tasks", "", json), 400, "VALIDATION_ERROR"],
      ["nothing at all", app.post("/tasks"), 400, "VALIDATION_ERROR"],
      [
        "wrong content type",
        app.post("/tasks", '{"prompt":"x"}', { "content-type": "text/plain" }),
        415,
        "UNSUPPORTED_MEDIA_TYPE",
      ],
      [
        "no content type",
        app.post("/tasks", new TextEncoder().encode('{"prompt":"x"}')),
        415,
        "UNSUPPORTED_MEDIA_TYPE",
      ],
      [
        "invalid UTF-8",
        app.post("/tasks", new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x7d]), json),
        400,
        "VALIDATION_ERROR",
      ],
      ["a large body", app.post("/tasks", { prompt: big }), 413, "PAYLOAD_TOO_LARGE"],
      ["odd id", app.get("/tasks/a%20b"), 400, "VALIDATION_ERROR"],
      ["very odd id", app.get("/tasks/%00"), 400, "VALIDATION_ERROR"],
      ["broken escape in id", app.get("/tasks/%zz"), 400, "VALIDATION_ERROR"],
      ["long id", app.get(`/tasks/${"a".repeat(101)}`), 400, "VALIDATION_ERROR"],
      ["bad page", app.get("/tasks?page=0"), 400, "VALIDATION_ERROR"],
      ["bad limit", app.get("/tasks?limit=101"), 400, "VALIDATION_ERROR"],
      ["bad status", app.get("/tasks?status=done"), 400, "VALIDATION_ERROR"],
      ["bad sort", app.get("/tasks?sort=prompt"), 400, "VALIDATION_ERROR"],
      ["bad time", app.get("/tasks?createdAfter=yesterday"), 400, "VALIDATION_ERROR"],
      ["bad cursor", app.get("/tasks?cursor=zzz"), 400, "VALIDATION_ERROR"],
      ["unknown parameter", app.get("/tasks?statuss=failed"), 400, "VALIDATION_ERROR"],
    ];
    for (const [name, answering, status, code] of cases) {
      const { status: got, body, headers } = await answering;
      expect([name, got, body?.error?.code]).toEqual([name, status, code]);
      expect(body).toEqual({
        success: false,
        error: {
          code,
          message: expect.any(String),
          details: expect.objectContaining({ requestId: headers.get("x-request-id") }),
        },
        timestamp: expect.stringMatching(/^\d{4}-.*Z$/),
      });
    }
    expect((await app.get("/tasks")).body.data.pagination.total).toBe(0);
  });

  test("to a chunked body that is too large comes before the whole body is sent", async () => {
    await using app = await startServer({ MAX_BODY_BYTES: "2000" });
    let sent = 0;
    const body = new ReadableStream({
      async pull(controller) {
        sent += 1000;
        if (sent > 1_000_000) controller.close();
        else controller.enqueue(new Uint8Array(1000).fill(32));
        await Bun.sleep(1);
      },
    });
    const answer = await fetch(`${app.url}/api/v1/tasks`, {
      method: "POST",
      headers: { authorization: "Bearer test-key", "content-type": "application/json" },
      body,
    });
    expect(answer.status).toBe(413);
    expect(sent).toBeLessThan(500_000);
  });

  test("names the invalid fields", async () => {
    await using app = await startServer();
    const { body } = await app.post("/tasks", {
      prompt: "",
      promt: "typo",
      temperature: 3,
      maxTokens: 1.5,
      messages: [{ role: "robot", content: "x" }, { role: "user" }],
      metadata: "none",
      parameters: { model: "gpt-4" },
    });
    const paths = body.error.details.issues.map(({ path }: { path: string }) => path);
    expect(paths.toSorted()).toEqual([
      "maxTokens",
      "messages.0.role",
      "messages.1.content",
      "metadata",
      "parameters.model",
      "prompt",
      "promt",
      "temperature",
    ]);
    expect(body.error.message).toContain("(and 7 more)");
  });

  test("lists the methods of a path", async () => {
    await using app = await startServer();
    const { headers } = await app.send("PUT", "/tasks/x");
    expect(headers.get("allow")).toBe("GET, HEAD, PATCH, DELETE");
  });

  test("has the request's id, or a new one if that is invalid", async () => {
    await using app = await startServer();
    const kept = await app.get("/tasks", { "x-request-id": "my-id_1.2" });
    expect(kept.headers.get("x-request-id")).toBe("my-id_1.2");
    const odd = await app.get("/tasks/none", { "x-request-id": "a b" });
    expect(odd.headers.get("x-request-id")).toMatch(/^req-/);
    expect(odd.body.error.details.requestId).toBe(odd.headers.get("x-request-id"));
  });

  test("treats keys such as __proto__ as data", async () => {
    await using app = await startServer();
    const text = '{"prompt":"x","metadata":{"__proto__":{"admin":true},"constructor":1}}';
    await app.post("/tasks", text, { "content-type": "application/json" });
    expect(({} as Record<string, unknown>)["admin"]).toBeUndefined();
    const unknown = await app.post("/tasks", '{"prompt":"x","__proto__":{"id":"y"}}', {
      "content-type": "application/json",
    });
    expect(unknown.status).toBe(400);
  });
});

describe("keys", () => {
  test("no request is answered without a valid key", async () => {
    await using app = await startServer();
    for (const authorization of [
      "",
      "Bearer",
      "Bearer wrong",
      "Basic test-key",
      "test-key",
      "Bearer test-key extra",
    ]) {
      const answer = await fetch(`${app.url}/api/v1/tasks`, { headers: { authorization } });
      expect(answer.status).toBe(401);
      expect((await answer.json()).error.code).toBe("UNAUTHORIZED");
    }
    expect((await client(app.url, "").get("/tasks")).status).toBe(401);
    expect((await app.get("/tasks")).status).toBe(200);
  });

  test("the first start makes a key, and stores only its hash", async () => {
    await using app = await startServer({ API_KEYS: "" });
    const key = app.runner.firstKey ?? "";
    expect(key).toMatch(/^gtr_[0-9a-z]{40}$/);
    expect((await client(app.url, key).get("/tasks")).status).toBe(200);
    const rows = JSON.stringify((await app.ctx.client.execute("SELECT * FROM api_keys")).rows);
    expect(rows).not.toContain(key);
    expect(rows).toContain("gtr_");
  });

  test("of many processes that start at once, only one makes a key", async () => {
    await using app = await startServer();
    await app.ctx.client.execute("DELETE FROM api_keys");
    const ctx = { ...app.ctx, config: { ...app.ctx.config, apiKeys: [] } };
    const keys = await Promise.all(Array.from({ length: 20 }, () => ensureKeys(ctx)));
    expect(keys.filter((key) => key !== undefined)).toHaveLength(1);
  });

  test("on an address that other machines can reach, a restart makes no key if all were revoked", async () => {
    await using first = await startServer({ API_KEYS: "", HOST: "0.0.0.0" });
    const { dir } = first;
    const key = client(first.url, first.runner.firstKey ?? "");
    const [{ id }] = (await key.get("/api-keys")).body.data.keys;
    expect((await key.del(`/api-keys/${id}`)).status).toBe(200);
    await first.stop();
    const restart = (HOST: string) => startServer({ API_KEYS: "", HOST, DATA_DIR: dir });
    await expect(restart("0.0.0.0")).rejects.toThrow("nobody could get in on 0.0.0.0");
    await using local = await restart("127.0.0.1");
    expect(local.runner.firstKey).toMatch(/^gtr_/);
  });

  test("a key that leaves the environment is no longer valid", async () => {
    await using first = await startServer({ API_KEYS: "one,two" });
    const { dir } = first;
    expect((await client(first.url, "two").get("/tasks")).status).toBe(200);
    await first.stop();
    await using second = await startServer({ API_KEYS: "one", DATA_DIR: dir });
    expect((await client(second.url, "one").get("/tasks")).status).toBe(200);
    expect((await client(second.url, "two").get("/tasks")).status).toBe(401);
    await second.stop();
    await using third = await startServer({ API_KEYS: "two", DATA_DIR: dir });
    expect((await client(third.url, "two").get("/tasks")).status).toBe(200);
    expect(third.runner.firstKey).toBeUndefined();
  });
});

describe("the server's own description", () => {
  test("the OpenAPI document is valid and describes every route under /api/v1", async () => {
    await using app = await startServer();
    const { body } = await app.get(`${app.url}/openapi.json`);
    expect(body.openapi).toBe("3.1.0");
    const result = await new Validator().validate(body);
    expect(result.errors ?? []).toEqual([]);
    expect(result.valid).toBe(true);
    const operations = Object.entries<Record<string, { responses: object; security: unknown[] }>>(
      body.paths,
    ).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({
        name: `${method} ${path}`,
        operation,
      })),
    );
    expect(operations.length).toBeGreaterThan(10);
    for (const { name, operation } of operations) {
      expect([name, operation.security]).toEqual([name, [{ bearerAuth: [expect.any(String)] }]]);
      expect(Object.keys(operation.responses)).toEqual(expect.arrayContaining(["401", "500"]));
    }
  });

  test("the documentation page loads nothing from elsewhere", async () => {
    await using app = await startServer();
    const page = await app.get(`${app.url}/docs`);
    expect(page.headers.get("content-type")).toContain("text/html");
    const sources = [...page.text.matchAll(/(?:src|href)="([^"]+)"/g)].map(
      ([, source]) => source ?? "",
    );
    expect(sources).toEqual([
      "docs/swagger-ui-dist/swagger-ui.css",
      "docs/swagger-ui-dist/swagger-ui-bundle.js",
    ]);
    for (const source of sources) {
      const asset = await fetch(`${app.url}/${source}`);
      expect(asset.status).toBe(200);
      expect((await asset.text()).length).toBeGreaterThan(10_000);
    }
    expect((await app.get(`${app.url}/docs/swagger-ui-dist/package.json`)).status).toBe(404);
  });

  test("the root is the page, with all files that it loads", async () => {
    buildPage();
    await using app = await startServer();
    const page = await fetch(app.url);
    const text = await page.text();
    // Only the inline script of the build may run, by its hash, and there are no other inline scripts or styles.
    const inline = [...text.matchAll(/<script>(.*?)<\/script>/gs)].map(([, script = ""]) => script);
    expect(inline).toHaveLength(1);
    const hash = new Bun.CryptoHasher("sha256").update(inline[0] ?? "").digest("base64");
    const policy = page.headers.get("content-security-policy")?.split("; ");
    expect(policy).toContain(`script-src 'self' 'sha256-${hash}'`);
    expect(text.replace(`<script>${inline[0]}</script>`, "")).not.toMatch(
      /<script(?![^>]*src=)|style=|onclick=/,
    );
    const assets = [...text.matchAll(/(?:src|href)="([\w./-]+)"/g)].map(
      ([, path = ""]) => `/${path}`,
    );
    expect(assets).toContainEqual(expect.stringMatching(/^\/monitor\/main-\w+\.js$/));
    for (const path of assets.filter((path) => path.startsWith("/monitor/"))) {
      const asset = await fetch(app.url + path, { headers: { "accept-encoding": "br" } });
      expect([path, asset.status]).toEqual([path, 200]);
      expect(asset.headers.get("cache-control")).toContain("max-age");
    }
    expect((await fetch(`${app.url}/monitor/..%2fpage.ts`)).status).toBe(404);
  });

  test("the login link of the first start gives the key once", async () => {
    await using app = await startServer({ API_KEYS: "" });
    const { loginToken, firstKey } = app.runner;
    const redeem = (token: string | undefined) =>
      fetch(`${app.url}/monitor/login`, {
        method: "POST",
        headers: { authorization: `Bearer ${token}` },
      });
    expect((await redeem("gtl_wrong")).status).toBe(401);
    const first = await redeem(loginToken);
    expect(await first.json()).toEqual({ key: firstKey });
    expect(first.headers.get("cache-control")).toBe("no-store");
    expect((await redeem(loginToken)).status).toBe(401);
    await using other = await startServer();
    expect(other.runner.loginToken).toBeUndefined();
  });

  test("liveness, readiness, and consistent counters", async () => {
    await using app = await startServer();
    expect((await app.get(`${app.url}/healthz`)).status).toBe(200);
    expect((await app.get(`${app.url}/readyz`)).status).toBe(200);
    expect((await app.get(`${app.url}/readyz?deep=1`)).status).toBe(200);
    await app.post("/tasks", { prompt: "x" });
    await app.ctx.client.execute("UPDATE batches SET completed = 5 WHERE seq = 0");
    const deep = await app.get(`${app.url}/readyz?deep=1`);
    expect(deep.status).toBe(503);
    expect(deep.headers.get("retry-after")).toBe("5");
    expect(deep.body.error.details.differences).toEqual([
      { batchId: "", counter: "completed", stored: 5, counted: 0 },
    ]);
  });

  test("a process that only answers requests is ready without an engine, and runs nothing", async () => {
    await using app = await startServer({ ROLE: "api" });
    expect((await app.get(`${app.url}/readyz`)).status).toBe(200);
    await app.post("/tasks?execute=true", { id: "t", prompt: "x" });
    await Bun.sleep(50);
    const { body } = await app.get("/tasks/t");
    expect(body.data).toMatchObject({ status: "pending", queuedAt: expect.any(String) });
  });
});
