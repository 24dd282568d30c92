import { describe, expect, test } from "bun:test";

import packageJson from "../../package.json" with { type: "json" };
import { overallHealth } from "../../src/domain/health.ts";
import { LIST_DATE } from "../../src/domain/price-list/list.ts";
import { raiseAlert } from "../../src/services/alerts.ts";
import { toldTime } from "../support/clock.ts";
import { hang, startProvider } from "../support/provider.ts";
import { type Json, startServer, until } from "../support/server.ts";

/** Without the age of the list of prices, which depends on the day of the test. */
const reasonsOf = ({ data }: Json) =>
  data.reasons.filter(({ service }: Json) => service !== "prices");

describe("the status", () => {
  test("is measured for each component", async () => {
    await using app = await startServer();
    const { body } = await app.get("/status");
    expect(body.data).toMatchObject({
      status: "healthy",
      version: packageJson.version,
      services: {
        database: "healthy",
        openai: "healthy",
        scheduler: "healthy",
        workers: "healthy",
        webhooks: "healthy",
      },
      provider: { name: "simulator", isSimulator: true },
    });
    expect(reasonsOf(body)).toEqual([]);
    expect(Date.now() - Date.parse(body.data.lastHealthCheck)).toBeLessThan(5000);
    const database = (await app.get("/status/services/database")).body.data;
    expect(database).toMatchObject({
      service: "database",
      status: "healthy",
      details: { connectionCount: 1, queryTime: expect.any(Number), lastError: null },
    });
    const workers = (await app.get("/status/services/workers")).body.data;
    expect(workers.details).toMatchObject({ threads: 1, threadsAlive: 1, nodes: [{ running: 0 }] });
    expect(workers.details.nodes[0].heartbeatAge).toBeLessThan(15);
  });

  test("knows no other services", async () => {
    await using app = await startServer();
    const { status, body } = await app.get("/status/services/redis");
    expect([status, body.error.code]).toEqual([404, "SERVICE_NOT_FOUND"]);
  });

  test("is degraded by a provider that cannot be reached or refuses the key, and says so", async () => {
    await using gone = await startServer({ OPENAI_BASE_URL: "http://127.0.0.1:9/v1" });
    const { body } = await gone.get("/status");
    expect(body.data).toMatchObject({ status: "degraded", services: { openai: "unhealthy" } });
    expect(body.data.reasons[0].reason).toContain("cannot be reached");

    const refusing = Bun.serve({ port: 0, fetch: () => new Response("{}", { status: 401 }) });
    await using refused = await startServer({
      OPENAI_BASE_URL: `http://127.0.0.1:${refusing.port}/v1`,
    });
    const openai = (await refused.get("/status/services/openai")).body.data;
    expect(openai).toMatchObject({
      status: "unhealthy",
      reasons: [expect.stringMatching(/^openai refuses the API key: /)],
      details: { lastStatus: 401 },
    });
    await refusing.stop(true);
  });

  test.each([
    ["the base URL has no /v1", "404 page not found", 404, "has no /v1"],
    ["it is that of a web page", "<!doctype html><title>Open WebUI</title>", 200, "Open WebUI"],
    ["the server words it as a good answer", '{"error":"Unexpected endpoint"}', 200, "Unexpected"],
  ])("says of the provider's address that %s", async (_why, text, status, words) => {
    const other = Bun.serve({ port: 0, fetch: () => new Response(text, { status }) });
    await using app = await startServer({ OPENAI_BASE_URL: `http://127.0.0.1:${other.port}` });
    const openai = (await app.get("/status/services/openai")).body.data;
    expect(openai.status).toBe("unhealthy");
    expect(openai.reasons[0]).toContain(words);
    await other.stop(true);
  });

  test("calls the provider at most once in half a minute, and accepts one without a list of models", async () => {
    let asked = 0;
    const counting = Bun.serve({
      port: 0,
      fetch() {
        asked++;
        return new Response("nothing here", { status: 404 });
      },
    });
    await using app = await startServer({
      OPENAI_BASE_URL: `http://127.0.0.1:${counting.port}/v1`,
    });
    for (let i = 0; i < 5; i++) expect((await app.get("/status")).body.data.status).toBe("healthy");
    expect(asked).toBe(1);
    await counting.stop(true);
  });

  test("does not count tasks of a paused batch as ready", async () => {
    await using provider = await startProvider(() => hang());
    await using app = await startServer({ ...provider.env, MAX_CONCURRENCY: "1" });
    await app.post("/batches", { id: "b", tasks: [{ prompt: "x" }, { prompt: "y" }] });
    await app.post("/batches/b/execute");
    await until(() => provider.requests.length === 1 || undefined);
    const oldest = async () => (await app.get("/metrics")).body.data.queue.oldestAge as number;
    await until(async () => (await oldest()) > 0 || undefined);
    await app.post("/batches/b/pause");
    expect(await oldest()).toBe(0);
  });

  test("is unhealthy if no process runs tasks", async () => {
    await using app = await startServer({ ROLE: "api" });
    const { body } = await app.get("/status");
    expect(body.data).toMatchObject({ status: "unhealthy", services: { workers: "unhealthy" } });
    expect(reasonsOf(body)).toEqual([{ service: "workers", reason: "No process runs tasks" }]);
  });

  test("is degraded while an alert is open", async () => {
    await using provider = await startProvider();
    await using app = await startServer(provider.env);
    await raiseAlert(app.ctx, { code: "disk.nearly_full", message: "The disk is nearly full" });
    const { body } = await app.get("/status");
    expect(body.data.status).toBe("degraded");
    expect(reasonsOf(body)).toEqual([
      { service: "disk.nearly_full", reason: "The disk is nearly full" },
    ]);
  });

  test("says that the list of prices is older than 90 days, which makes nothing unhealthy", async () => {
    const isOldAt = Date.parse(LIST_DATE) + 91 * 86_400_000;
    const { reported, clock } = toldTime(isOldAt - 500);
    await using app = await startServer({}, { clock });
    expect((await app.get("/status")).body.data.reasons).toEqual([]);
    reported.now = isOldAt;
    expect((await app.get("/status")).body.data).toMatchObject({
      status: "healthy",
      reasons: [{ service: "prices", reason: expect.stringContaining("is 91 days old") }],
      prices: { date: LIST_DATE },
    });
  });

  test("of the whole is as bad as that of a vital component", () => {
    const well = {
      database: "healthy",
      openai: "healthy",
      scheduler: "healthy",
      workers: "healthy",
      webhooks: "healthy",
    } as const;
    expect(overallHealth(well)).toBe("healthy");
    expect(overallHealth({ ...well, openai: "unhealthy" })).toBe("degraded");
    expect(overallHealth({ ...well, workers: "degraded" })).toBe("degraded");
    expect(overallHealth({ ...well, database: "unhealthy" })).toBe("unhealthy");
  });
});
