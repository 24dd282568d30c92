import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { fail, hang, startProvider } from "../support/provider.ts";
import { client, startServer, type TestServer, until } from "../support/server.ts";

/*
 * The budget of a key if a live call may go to several providers: a free one, one with a known price, and one with an
 * unknown price.
 */

const BUDGET = 0.00001;

let free: Awaited<ReturnType<typeof startProvider>>;
let dear: Awaited<ReturnType<typeof startProvider>>;
let app: TestServer;
let folder: string;

beforeAll(async () => {
  [free, dear] = await Promise.all([startProvider(), startProvider()]);
  folder = mkdtempSync(join(tmpdir(), "providers-"));
  const file = join(folder, "providers.json");
  const price = { input: 1, output: 1 };
  const providers = [
    {
      name: "free",
      baseUrl: free.url,
      models: ["both", "gratis"],
      prices: { "*": { input: 0, output: 0 } },
    },
    {
      name: "dear",
      baseUrl: dear.url,
      models: ["both", "paid"],
      prices: { both: price, paid: price },
    },
    { name: "odd", baseUrl: dear.url, models: ["odd"] },
  ];
  const fallbacks = { gratis: ["odd"] };
  writeFileSync(file, JSON.stringify({ providers, fallbacks }));
  app = await startServer({
    PROVIDERS_FILE: file,
    DEFAULT_MODEL: "both",
    LIVE_MAX_WAIT_MS: "5000",
    RETRY_BASE_MS: "500",
    RETRY_MAX_MS: "1000",
  });
});
afterAll(async () => {
  await app[Symbol.asyncDispose]();
  await free[Symbol.asyncDispose]();
  await dear[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

/** A key whose budget is spent, or not yet. */
async function givenKey({ isSpent }: { isSpent: boolean }) {
  const { body } = await app.post("/api-keys", {
    name: "k",
    scopes: ["write"],
    monthlyBudgetUsd: BUDGET,
  });
  const { key, id } = body.data;
  const { send } = client(app.url, key);
  const ask = (model: string) =>
    send("POST", `${app.url}/v1/chat/completions`, {
      model,
      messages: [{ role: "user", content: "x" }],
    });
  if (isSpent) {
    free.state.behave = dear.state.behave = () => undefined;
    expect((await ask("paid")).status).toBe(200);
    await until(async () => {
      const { month } = (await app.get(`/api-keys/${id}`)).body.data.usage;
      return month.costUsd > BUDGET || undefined;
    });
  }
  return ask;
}

describe("a key whose budget is spent", () => {
  test("can still use free providers", async () => {
    const ask = await givenKey({ isSpent: true });
    const { status, headers } = await ask("both");
    expect([status, headers.get("x-gtr-provider")]).toEqual([200, "free"]);
  });

  test("does not reach a provider that costs if a free one fails", async () => {
    const ask = await givenKey({ isSpent: true });
    const before = dear.requests.length;
    free.state.behave = (_, response) => fail(response, 500);
    expect((await ask("both")).status).toBe(500);
    expect(dear.requests).toHaveLength(before);
  });

  test("does not reach a provider whose circuit breaker was open at first", async () => {
    const ask = await givenKey({ isSpent: true });
    dear.state.behave = (_, response) => {
      response.destroy();
      return null;
    };
    const rich = (await app.post("/api-keys", { name: "rich", scopes: ["write"] })).body.data.key;
    const call = () =>
      client(app.url, rich).send("POST", `${app.url}/v1/chat/completions`, {
        model: "paid",
        messages: [{ role: "user", content: "x" }],
      });
    for (let i = 0; i < 6; i++) await call();
    const before = dear.requests.length;
    dear.state.behave = () => undefined;
    expect((await ask("paid")).status).toBe(429);
    expect(dear.requests).toHaveLength(before);
  });
});

test("a key with a budget does not reach a provider whose price is unknown", async () => {
  const ask = await givenKey({ isSpent: false });
  const before = dear.requests.length;
  free.state.behave = (_, response) => fail(response, 500);
  dear.state.behave = () => undefined;
  expect((await ask("gratis")).status).toBe(500);
  const refused = await ask("odd");
  expect([refused.status, refused.body.error.code]).toEqual([429, "insufficient_quota"]);
  expect(dear.requests).toHaveLength(before);
});

test("a model of several providers is listed once, with the first of them", async () => {
  const { body } = await app.send("GET", `${app.url}/v1/models`);
  const listed = body.data.filter(({ id }: { id: string }) => id === "both");
  expect(listed).toEqual([{ id: "both", object: "model", created: 0, owned_by: "free" }]);
});

test("a client that leaves a stream before its first word pays for the prompt", async () => {
  const { body } = await app.post("/api-keys", { name: "k", scopes: ["write"] });
  const { key, id } = body.data;
  dear.state.behave = (_, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(": wait\n\n");
    return hang();
  };
  const leaving = new AbortController();
  const stream = await fetch(`${app.url}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({
      model: "paid",
      stream: true,
      messages: [{ role: "user", content: "word ".repeat(1000) }],
    }),
    signal: leaving.signal,
  });
  expect(stream.status).toBe(200);
  leaving.abort();
  const month = await until(async () => {
    const { usage } = (await app.get(`/api-keys/${id}`)).body.data;
    return usage.month.costUsd > 0 ? usage.month : undefined;
  });
  expect(month.promptTokens).toBeGreaterThan(900);
  expect(month.completionTokens).toBe(0);
});
