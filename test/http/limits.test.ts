import { describe, expect, test } from "bun:test";

import { createConnections } from "../../src/http/connections.ts";
import { createSystemClock } from "../../src/lib/clock.ts";
import { startProcess, temporaryFolder } from "../support/process.ts";
import { hang, startProvider } from "../support/provider.ts";
import { type Answer, client, startServer, type TestServer, until } from "../support/server.ts";
import { startSqld } from "../support/sqld.ts";
import { sqld } from "../support/tools.ts";

/** A server whose clock stands in the middle of a minute until a test moves it. */
async function startAtNoon(env: Record<string, string>) {
  const app = await startServer(env);
  const clock = { now: Date.parse("2030-01-01T12:00:30.000Z") };
  app.ctx.clock.now = () => clock.now;
  return { app, clock };
}

const limitsOf = ({ headers }: Answer) =>
  ["limit", "remaining", "reset"].map((name) => Number(headers.get(`x-ratelimit-${name}`)));

const RESET = Date.parse("2030-01-01T12:01:00.000Z") / 1000;

async function statuses(app: Pick<TestServer, "get">, count: number): Promise<number[]> {
  const answers = await Promise.all(Array.from({ length: count }, () => app.get("/tasks?limit=1")));
  return answers.map(({ status }) => status);
}

const countOf = (statuses: number[], status: number) =>
  statuses.filter((one) => one === status).length;

describe("the rate limit of a key", () => {
  test("is reported in every answer, and ends with a 429 and Retry-After", async () => {
    const { app: server, clock } = await startAtNoon({ RATE_LIMIT_PER_MINUTE: "4" });
    await using app = server;
    expect(limitsOf(await app.get("/tasks"))).toEqual([4, 3, RESET]);
    expect(limitsOf(await app.get("/tasks/none"))).toEqual([4, 2, RESET]);
    expect(limitsOf(await app.get("/nowhere"))).toEqual([4, 1, RESET]);
    expect(limitsOf(await app.post("/tasks", "{", { "content-type": "text/plain" }))).toEqual([
      4,
      0,
      RESET,
    ]);
    const refused = await app.get("/tasks");
    expect([refused.status, refused.body.error.code]).toEqual([429, "RATE_LIMIT_EXCEEDED"]);
    expect(limitsOf(refused)).toEqual([4, 0, RESET]);
    expect(refused.headers.get("retry-after")).toBe("30");
    clock.now = RESET * 1000;
    expect(limitsOf(await app.get("/tasks"))).toEqual([4, 3, RESET + 60]);
  });

  test("lets exactly that many of a thousand concurrent requests through", async () => {
    const { app: server } = await startAtNoon({ RATE_LIMIT_PER_MINUTE: "100" });
    await using app = server;
    const got = await statuses(app, 1000);
    expect([countOf(got, 200), countOf(got, 429)]).toEqual([100, 900]);
  });

  test("can be set per key, is counted per key, and changes at once", async () => {
    const { app: server } = await startAtNoon({ RATE_LIMIT_PER_MINUTE: "50" });
    await using app = server;
    const made = await app.post("/api-keys", { name: "small", rateLimitPerMinute: 2 });
    const small = client(app.url, made.body.data.key);
    const path = `/api-keys/${made.body.data.id}`;
    expect(countOf(await statuses(small, 5), 200)).toBe(2);
    expect((await app.get("/tasks")).status).toBe(200);
    await app.patch(path, { rateLimitPerMinute: 3 });
    expect(countOf(await statuses(small, 5), 200)).toBe(1);
    await app.patch(path, { rateLimitPerMinute: 0 });
    const free = await small.get("/tasks");
    expect([free.status, free.headers.has("x-ratelimit-limit")]).toEqual([200, false]);
    await app.patch(path, { rateLimitPerMinute: null });
    expect(limitsOf(await small.get("/tasks"))[0]).toBe(50);
  });

  test.if(sqld !== undefined)(
    "is one for all processes of a shared database, and never exceeded",
    async () => {
      using folder = temporaryFolder();
      await using database = await startSqld(folder.path);
      const env = { DATABASE_URL: database.url, DATA_DIR: folder.path, ROLE: "api" };
      await using a = await startProcess({ ...env, RATE_LIMIT_PER_MINUTE: "200" });
      await using b = await startProcess({ ...env, RATE_LIMIT_PER_MINUTE: "200" });
      // Within one minute of the clock.
      await until(() => Date.now() % 60_000 < 45_000 || undefined);
      const both = await Promise.all([statuses(a, 300), statuses(b, 300)]);
      const allowed = countOf(both.flat(), 200);
      expect(allowed).toBeLessThanOrEqual(200);
      expect(allowed).toBeGreaterThanOrEqual(160);
      expect(countOf(await statuses(b, 40), 200) + allowed).toBeLessThanOrEqual(200);
    },
  );
});

describe("a client without a key, or with a wrong one", () => {
  test("is limited by address, more strictly for wrong keys, without locking out the others", async () => {
    const { app: server, clock } = await startAtNoon({
      RATE_LIMIT_PER_MINUTE: "5",
      FAILED_LOGINS_PER_MINUTE: "3",
    });
    await using app = server;
    const keyless = await statuses(client(app.url, ""), 20);
    expect([countOf(keyless, 401), countOf(keyless, 429)]).toEqual([5, 15]);

    const made = await app.post("/api-keys", { name: "another" });
    const guesses = await statuses(client(app.url, "guess"), 20);
    expect([countOf(guesses, 401), countOf(guesses, 429)]).toEqual([3, 17]);
    // A right guess gets the same answer as a wrong one. A key that is in use still works.
    const another = client(app.url, made.body.data.key);
    const refused = await another.get("/tasks");
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([429, "30"]);
    expect(limitsOf(refused)).toEqual([3, 0, RESET]);
    expect((await app.get("/tasks")).status).toBe(200);
    clock.now = RESET * 1000;
    expect((await another.get("/tasks")).status).toBe(200);
  });

  test("has a limit that is not shown in answers to a right key", async () => {
    await using app = await startServer({
      RATE_LIMIT_PER_MINUTE: "0",
      FAILED_LOGINS_PER_MINUTE: "3",
    });
    const first = await app.get("/tasks");
    expect([first.status, first.headers.get("x-ratelimit-limit")]).toEqual([200, null]);
    const wrong = await client(app.url, "guess").get("/tasks");
    expect([wrong.status, wrong.headers.get("x-ratelimit-limit")]).toEqual([401, "3"]);
  });

  test("is identified by the header of a trusted proxy, not by its own", async () => {
    const env = { FAILED_LOGINS_PER_MINUTE: "1", TRUSTED_PROXY_HOPS: "1" };
    const { app: server } = await startAtNoon(env);
    await using app = server;
    const guess = async (forwarded: string) =>
      (await client(app.url, "guess").get("/tasks", { "x-forwarded-for": forwarded })).status;
    expect(await guess("203.0.113.1")).toBe(401);
    expect(await guess("203.0.113.1")).toBe(429);
    expect(await guess("198.51.100.9, 203.0.113.1")).toBe(429);
    expect(await guess("203.0.113.1, 203.0.113.2")).toBe(401);
    expect(await guess("2001:db8:0:1::5")).toBe(401);
    expect(await guess("2001:db8:0:1:ffff::6")).toBe(429);
    expect(await guess("2001:db8::6")).toBe(401);
  });
});

const callerOf = (key: number) => ({
  key,
  keyId: `key-${key}`,
  scopes: [],
  rateLimitPerMinute: null,
  hasBudget: false,
  secretHash: "",
  validUntil: Infinity,
});

describe("connections that are kept open", () => {
  test("are counted per key and kind, and released once", () => {
    const keys = { watch: () => () => undefined };
    const connections = createConnections(
      {
        config: { maxStreamsPerKey: 2, maxWaitsPerKey: 1, liveMaxCallsPerKey: 0 },
        clock: createSystemClock(),
      },
      keys,
    );
    const [one, two] = [callerOf(1), callerOf(2)];
    const first = connections.hold(one, "stream");
    expect(connections.hold(one, "stream")).toBeDefined();
    expect(connections.hold(one, "stream")).toBeUndefined();
    expect(connections.hold(one, "wait")).toBeDefined();
    expect(connections.hold(one, "wait")).toBeUndefined();
    expect(connections.hold(two, "stream")).toBeDefined();
    first?.release();
    first?.release();
    expect(connections.hold(one, "stream")).toBeDefined();
    expect(connections.hold(one, "stream")).toBeUndefined();
  });

  test("a wait over the cap is answered at once, and its task is queued", async () => {
    await using provider = await startProvider(hang);
    await using app = await startServer({ ...provider.env, MAX_WAITS_PER_KEY: "1" });
    const waiting = app.post("/tasks?execute=true", { prompt: "a" }, { prefer: "wait=60" });
    await until(() => provider.requests.length === 1 || undefined);
    const { status, headers, body } = await app.post(
      "/tasks?execute=true",
      { id: "b", prompt: "b" },
      { prefer: "wait=60" },
    );
    expect(status).toBe(201);
    expect(headers.has("preference-applied")).toBe(false);
    expect(body.data).toMatchObject({ id: "b", executionId: expect.any(String) });
    const [first] = (await app.get("/tasks?sort=createdAt&order=asc")).body.data.tasks;
    await app.post(`/tasks/${first.id}/cancel`);
    expect((await waiting).body.data.status).toBe("cancelled");
  });
});
