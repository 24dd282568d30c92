import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";

import { readConfig } from "../../src/config.ts";
import { openDatabase } from "../../src/db/client.ts";
import { createSystemClock } from "../../src/lib/clock.ts";
import { startProvider } from "../support/provider.ts";
import { startServer, type TestServer } from "../support/server.ts";

const json = { "content-type": "application/json" };

/** The bytes that the server writes to a client that sends `request` and then nothing more. */
async function answerTo(app: TestServer, request: string): Promise<string> {
  const { hostname, port } = new URL(app.url);
  const socket = connect(Number(port), hostname, () => socket.write(request));
  let answer = "";
  try {
    for await (const chunk of socket) {
      answer += String(chunk);
      if (answer.includes("\r\n\r\n")) return answer;
    }
    return answer;
  } finally {
    socket.destroy();
  }
}

describe("a request", () => {
  test("of an unreasonable shape is refused, with the reason", async () => {
    await using app = await startServer();
    const nested = (levels: number) =>
      `{"prompt":"x","metadata":{"a":${"[".repeat(levels)}${"]".repeat(levels)}}}`;
    const cases: [string, string][] = [
      [nested(200), "levels deep"],
      [nested(1_000_000), "levels deep"],
      [`{"prompt":"x","metadata":{"a":[${"0,".repeat(100_001)}0]}}`, "items"],
      [`{"prompt":"x","metadata":{"a":"${"x".repeat(5_000_001)}"}}`, "characters"],
      [
        `{"prompt":"x","metadata":{${Array.from({ length: 10_001 }, (_, i) => `"k${i}":1`).join()}}}`,
        "fields",
      ],
      ['{"prompt":"x","metadata":{"a":[{"__proto__":{"admin":true}}]}}', "__proto__"],
      ['{"prompt":"x","__proto__":{"id":"y"}}', "__proto__"],
    ];
    for (const [body, why] of cases) {
      const answer = await app.post("/tasks", body, json);
      expect([answer.status, answer.body.error.code]).toEqual([400, "VALIDATION_ERROR"]);
      expect(answer.body.error.message).toContain(why);
    }
    expect((await app.get("/tasks")).body.data.pagination.total).toBe(0);
    const fine = await app.post("/tasks?execute=true", nested(90), json);
    expect(fine.status).toBe(201);
    await app.ended(fine.body.data.id);
  });

  test("may use names of Object.prototype as data", async () => {
    await using app = await startServer();
    const metadata = { constructor: { prototype: { a: 1 } }, toString: "x", hasOwnProperty: 1 };
    await app.post("/tasks", { id: "t", prompt: "x", metadata });
    expect((await app.get("/tasks/t")).body.data.metadata).toEqual(metadata);
    expect(({} as Record<string, unknown>)["a"]).toBeUndefined();
  });

  test("may use names of Object.prototype for models, columns and files", async () => {
    await using provider = await startProvider();
    await using app = await startServer(provider.env);
    for (const model of ["constructor", "toString", "__proto__"]) {
      const { body } = await app.post("/tasks?execute=true", { prompt: "x", model });
      expect(await app.ended(body.data.id)).toMatchObject({
        status: "completed",
        result: { costUsd: null },
      });
      writeFileSync(join(app.filesDir, "x.csv"), `prompt,${model}\na,b\n`);
      expect((await app.post("/batches", { inputFile: "x.csv" })).status).toBe(201);
      expect((await app.get(`${app.url}/docs/swagger-ui-dist/${model}`)).status).toBe(404);
      expect((await app.post("/events/token", { types: [model] })).status).toBe(400);
    }
  });

  test("whose body is too slow is answered, and its connection is closed", async () => {
    await using app = await startServer({ BODY_TIMEOUT_SECONDS: "1" });
    const head = [
      "POST /api/v1/tasks HTTP/1.1",
      "Host: x",
      "Authorization: Bearer test-key",
      "Content-Type: application/json",
    ];
    const known = [...head, "Content-Length: 100000", "", '{"prompt":'].join("\r\n");
    const chunked = [...head, "Transfer-Encoding: chunked", "", "3", '{"a', ""].join("\r\n");
    for (const answer of await Promise.all([answerTo(app, known), answerTo(app, chunked)]))
      expect(answer).toStartWith("HTTP/1.1 408");
    expect((await app.get("/tasks")).status).toBe(200);
  });

  test("with too many headers does not reach the application", async () => {
    await using app = await startServer();
    const { status } = await app.get("/tasks", { "x-long": "x".repeat(100_000) });
    expect(status).toBe(431);
  });
});

describe("an answer", () => {
  test("must not be sniffed, framed, stored or executed", async () => {
    await using app = await startServer();
    for (const path of ["/tasks", "/tasks/none", "/nowhere"]) {
      const { headers } = await app.get(path);
      expect(headers.get("x-content-type-options")).toBe("nosniff");
      expect(headers.get("x-frame-options")).toBe("DENY");
      expect(headers.get("referrer-policy")).toBe("no-referrer");
      expect(headers.get("cache-control")).toBe("no-store");
      expect(headers.get("content-security-policy")).toBe(
        "default-src 'none'; frame-ancestors 'none'",
      );
      expect(headers.has("access-control-allow-origin")).toBe(false);
    }
  });

  test("that is a page may run its own scripts and no others", async () => {
    await using app = await startServer();
    for (const path of ["/", "/docs"]) {
      const { text, headers } = await app.get(`${app.url}${path}`);
      const policy = headers.get("content-security-policy") ?? "";
      expect(policy).toContain("default-src 'none'");
      expect(/script-src [^;]*unsafe/.test(policy)).toBe(false);
      expect(policy.match(/'sha256-/g)?.length ?? 0).toBe(text.match(/<script>/g)?.length ?? 0);
      expect(text).not.toMatch(/ on[a-z]+="/);
    }
  });

  test("is readable for pages of other origins only if that is configured", async () => {
    await using closed = await startServer();
    const preflight = {
      origin: "https://app.example",
      "access-control-request-method": "POST",
      "access-control-request-headers": "authorization",
    };
    const refused = await closed.send("OPTIONS", "/tasks", undefined, preflight);
    expect(refused.headers.has("access-control-allow-origin")).toBe(false);

    await using open = await startServer({ CORS_ORIGINS: "https://app.example" });
    const allowed = await open.send("OPTIONS", "/tasks", undefined, preflight);
    expect([allowed.status, allowed.headers.get("access-control-allow-origin")]).toEqual([
      204,
      "https://app.example",
    ]);
    expect(allowed.headers.get("access-control-allow-headers")).toContain("Last-Event-ID");
    const other = { ...preflight, origin: "https://evil.example" };
    const answer = await open.send("OPTIONS", "/tasks", undefined, other);
    expect(answer.headers.get("access-control-allow-origin")).toBeNull();
    const read = await open.get("/tasks/none", { origin: "https://app.example" });
    expect(read.headers.get("access-control-allow-origin")).toBe("https://app.example");
    expect(read.headers.get("access-control-allow-credentials")).toBeNull();
    expect(read.headers.get("access-control-expose-headers")).toContain("X-Request-ID");
  });

  test("with details of the health checks needs a key", async () => {
    await using app = await startServer();
    const anonymous = (path: string) => fetch(`${app.url}${path}`).then(({ status }) => status);
    expect(await anonymous("/readyz")).toBe(200);
    expect(await anonymous("/readyz?deep=1")).toBe(401);
    expect((await app.get(`${app.url}/readyz?deep=1`)).status).toBe(200);
  });
});

describe("starting", () => {
  test("with a database that does not answer prints its address without the token", async () => {
    const url = "http://user:hidden-password@127.0.0.1:1/db?authToken=hidden-token";
    const { databaseUrl } = readConfig({ DATABASE_URL: url });
    const refusal = await openDatabase(databaseUrl, createSystemClock(), {
      authToken: "hidden-token",
    }).catch(String);
    expect(refusal).toContain("http://127.0.0.1:1/db");
    expect(refusal).not.toContain("hidden");
  });
});
