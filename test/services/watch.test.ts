// Gives zod schemas their `openapi` method, before any is made.
import "@hono/zod-openapi";
import { describe, expect, test } from "bun:test";
import { hostname } from "node:os";

import type { Called } from "../../src/engine/outcome.ts";
import { createProviderWatch } from "../../src/engine/provider-watch.ts";
import { createUpstreams } from "../../src/engine/upstreams.ts";
import { createSystemClock } from "../../src/lib/clock.ts";
import { listOpenAlerts, raiseAlert } from "../../src/services/alerts.ts";
import { pruneHistory } from "../../src/services/retention.ts";
import { watchBooks, watchDisk, watchQueue } from "../../src/services/watch.ts";
import { takeLease } from "../../src/store/leases.ts";
import { temporaryFolder } from "../support/process.ts";
import { fail, hang, startProvider } from "../support/provider.ts";
import { startServer, type TestServer, until } from "../support/server.ts";

const listAlertRows = { sql: "SELECT code FROM alerts", args: [] };
const codes = async (app: TestServer) => (await listOpenAlerts(app.ctx)).map(({ code }) => code);

describe("an alert is raised, and cleared when it is over,", () => {
  test("when a provider does not answer", async () => {
    let isDown = true;
    await using provider = await startProvider((_, response) => {
      if (isDown) fail(response, 503);
      return undefined;
    });
    await using app = await startServer({
      ...provider.env,
      MAX_RETRIES: "50",
      RETRY_MAX_MS: "300",
    });
    const later = { ...app.ctx, clock: createSystemClock() };
    const watch = createProviderWatch(later, { calls: 3, forMs: 50 });
    // The same reports as the engine's own watch gets, which takes ten seconds.
    const outcome = (failure: object | null, at: number) =>
      ({ failure, final: { provider: "openai", at } }) as Parameters<typeof watch.see>[0][number];
    const down = { cause: "connect_failed", message: "connection refused" };
    watch.see([outcome(down, 1000), outcome(down, 1010), outcome(down, 1020)]);
    watch.see([outcome({ ...down, cause: "rate_limited" }, 1030)]);
    watch.see([outcome(down, 2000), outcome(down, 2010), outcome(down, 2060)]);
    await until(async () => (await codes(app)).length === 1 || undefined);
    expect(await listOpenAlerts(app.ctx)).toMatchObject([
      { code: "provider.down", subject: "openai" },
    ]);
    // A real answer through the engine ends the alert.
    isDown = false;
    await app.post("/tasks?execute=true", { id: "t", prompt: "x" });
    await app.ended("t");
    await until(async () => (await codes(app)).length === 0 || undefined);
  });

  test("when a provider is down and no calls are made that could show it", async () => {
    await using provider = await startProvider();
    await using app = await startServer(provider.env);
    const clock = { now: 1000 };
    const dead = { at: 0, latencyMs: 1, status: null, error: "connection refused" };
    const ctx = {
      ...app.ctx,
      clock: { ...app.ctx.clock, now: () => clock.now, steady: () => clock.now },
      probeProvider: async () => dead,
    };
    const watch = createProviderWatch(ctx);
    const upstreams = createUpstreams(ctx, (unreachable) => {
      if (unreachable) watch.probeFailed(unreachable.provider, unreachable.why);
    });
    const failure = { cause: "connect_failed", message: "connection refused" };
    const lost = { failure, final: { provider: "openai", at: clock.now } } as Called;
    for (let task = 1; task <= 5; task++) {
      const { upstream } = upstreams.choose("gpt-4o", clock.now);
      if (!upstream) throw new Error("the breaker opened too soon");
      upstreams.end(upstreams.begin(upstream, task, true), lost, clock.now);
      watch.see([lost]);
    }
    for (const end = clock.now + 11_000; clock.now < end; clock.now += 5) {
      expect(upstreams.choose("gpt-4o", clock.now).upstream).toBeNull();
      await Promise.resolve();
    }
    await until(async () => (await codes(app)).includes("provider.down") || undefined);
    watch.see([{ ...lost, failure: null }]);
    await until(async () => (await codes(app)).length === 0 || undefined);
  });

  test("when its provider, or the key of one, is no longer configured", async () => {
    using folder = temporaryFolder();
    await using provider = await startProvider();
    const env = { ...provider.env, DATA_DIR: folder.path };
    await using before = await startServer(env);
    for (const subject of ["openai", "openai (key 2)", "removed"])
      await raiseAlert(before.ctx, { code: "provider.unauthorized", subject, message: "x" });
    await before.stop();
    await using after = await startServer(env);
    expect((await listOpenAlerts(after.ctx)).map(({ subject }) => subject)).toEqual(["openai"]);
  });

  test("when a process raised it that is gone, and the provider answers others", async () => {
    await using provider = await startProvider();
    await using app = await startServer(provider.env);
    const run = async () => {
      const wait = { prefer: "wait=20" };
      const { body } = await app.post("/tasks?execute=true", { prompt: "x" }, wait);
      expect(body.data.status).toBe("completed");
    };
    // From now on this process knows that there is no alert.
    await run();
    for (const code of ["provider.unauthorized", "provider.down"] as const)
      await raiseAlert(app.ctx, { code, subject: "openai", message: "from another process" });
    const { clock } = app.ctx;
    const { monotonic } = clock;
    clock.monotonic = () => monotonic() + 60_000;
    await run();
    await until(async () => (await codes(app)).length === 0 || undefined);
  });

  test("when it could not be stored at first, with the next call that fails", async () => {
    await using app = await startServer();
    const { client } = app.ctx;
    await client.execute(
      "CREATE TRIGGER full BEFORE INSERT ON alerts BEGIN SELECT RAISE(ABORT, 'no'); END",
    );
    const watch = createProviderWatch(app.ctx, { calls: 1, forMs: 0 });
    watch.probeFailed("openai", "connection refused");
    // Behind it in the same queue, so that it has failed by then.
    await expect(app.ctx.writer.write({ read: listAlertRows })).resolves.toMatchObject({});
    await client.execute("DROP TRIGGER full");
    await until(async () => {
      watch.probeFailed("openai", "connection refused");
      return (await codes(app)).includes("provider.down") || undefined;
    });
  });

  test("when the disk is nearly full", async () => {
    await using app = await startServer();
    const MB = 1024 * 1024;
    const disk = (freeMb: number, totalMb: number) =>
      watchDisk({
        ...app.ctx,
        files: {
          ...app.ctx.files,
          space: async () => ({ free: freeMb * MB, total: totalMb * MB }),
        },
      });
    await disk(6000, 1_000_000);
    expect(await codes(app)).toEqual([]);
    await disk(300, 10_000);
    await disk(299, 10_000);
    expect(await codes(app)).toEqual(["disk.nearly_full"]);
    await disk(550, 10_000);
    expect(await codes(app)).toEqual(["disk.nearly_full"]);
    await disk(700, 10_000);
    expect(await codes(app)).toEqual([]);
    await watchDisk(app.ctx);
  });

  test("when the disk is nearly full, also after its machine is gone from a shared database", async () => {
    await using app = await startServer();
    const ctx = { ...app.ctx, isExclusive: false };
    for (const subject of ["gone", "living"])
      await raiseAlert(ctx, { code: "disk.nearly_full", subject, message: "full" });
    await ctx.writer.write({ lease: takeLease("disk living", "living", 60_000) });
    await watchDisk(ctx);
    const subjects = async () => (await listOpenAlerts(ctx)).map(({ subject }) => subject);
    expect(await subjects()).toEqual(["living"]);
    const full = async () => ({ free: 1, total: 10 ** 12 });
    const onFullDisk = { ...ctx, files: { ...ctx.files, space: full } };
    await watchDisk(onFullDisk);
    await watchDisk(onFullDisk);
    expect(await subjects()).toEqual(["living", hostname()]);
  });

  test("when tasks are ready and none is started", async () => {
    await using app = await startServer({ ROLE: "api" });
    await app.post("/tasks?execute=true", { id: "t", prompt: "x" });
    await watchQueue(app.ctx);
    expect(await codes(app)).toEqual([]);
    await until(async () => {
      await watchQueue(app.ctx, 20);
      return (await codes(app)).length === 1 || undefined;
    });
    expect(await codes(app)).toEqual(["queue.stuck"]);
    await app.post("/tasks/t/cancel");
    await watchQueue(app.ctx, 20);
    expect(await codes(app)).toEqual([]);
  });

  test("but not while calls are in flight, however long they take", async () => {
    await using provider = await startProvider(hang);
    await using app = await startServer({ ...provider.env, MAX_CONCURRENCY: "1" });
    await app.post("/tasks?execute=true", { id: "long", prompt: "x" });
    await until(() => provider.requests.length === 1 || undefined);
    await app.post("/tasks?execute=true", { id: "waits", prompt: "x" });
    await Bun.sleep(30);
    await watchQueue(app.ctx, 10);
    expect(await codes(app)).toEqual([]);
  });

  test("when a batch's counters differ from its tasks", async () => {
    await using app = await startServer();
    await app.post("/batches", { id: "b", tasks: [{ prompt: "x" }, { prompt: "y" }] });
    await app.post("/batches/b/execute");
    await app.finished("b");
    await watchBooks(app.ctx, 0);
    expect(await codes(app)).toEqual([]);
    const set = (count: number) =>
      app.ctx.writer.write({
        set: { sql: "UPDATE batches SET completed = ? WHERE id = 'b'", args: [count] },
      });
    await set(1);
    await watchBooks(app.ctx, 0);
    expect(await listOpenAlerts(app.ctx)).toMatchObject([
      { code: "invariant.violated", subject: "b" },
    ]);
    await set(2);
    await watchBooks(app.ctx, Date.now() + 1000);
    expect(await codes(app)).toEqual([]);
  });
});

test("events and deliveries older than RETENTION_DAYS are removed; younger ones and pending deliveries stay", async () => {
  await using app = await startServer({ RETENTION_DAYS: "2", ROLE: "api" });
  const hook = { url: "https://example.com/hook", events: ["task.created"] };
  await app.post("/webhooks", hook);
  const day = 86_400_000;
  const at = (days: number) => Date.now() - days * day;
  const rows = (count: number, time: number) =>
    Array.from({ length: count }, () => ({
      sql: "INSERT INTO events (at, type) VALUES (?, 'system.alert')",
      args: [time],
    }));
  await app.ctx.writer.write({
    old: rows(1200, at(3)),
    young: rows(3, at(1)),
    deliveries: [
      [1, at(3), "delivered", null],
      [1, at(1), "delivered", null],
      // The active endpoint still has to get it. The other one may never get it.
      [1, at(3), "pending", at(-1)],
      [2, at(3), "pending", at(-1)],
    ].map((args) => ({
      sql: "INSERT INTO webhook_deliveries (webhook, type, body, at, status, next_at) VALUES (?1, 'x', '{}', ?2, ?3, ?4)",
      args,
    })),
  });
  // The endpoint has its deliveries of all events.
  await app.ctx.client.execute("UPDATE webhooks SET cursor = (SELECT max(id) FROM events)");
  expect(await pruneHistory(app.ctx)).toBe(1202);
  expect(await pruneHistory(app.ctx)).toBe(0);
  const left = await app.ctx.client.execute(
    "SELECT (SELECT count(*) FROM events) AS events, (SELECT group_concat(status) FROM webhook_deliveries) AS deliveries",
  );
  expect(left.rows[0]).toMatchObject({ events: 3, deliveries: "delivered,pending" });
});
