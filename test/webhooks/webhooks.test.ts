import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

import OpenAI from "openai";
import { Webhook } from "standardwebhooks";

import { updateWebhook } from "../../src/store/webhooks.ts";
import { startProcess, temporaryFolder } from "../support/process.ts";
import { gate } from "../support/provider.ts";
import { type Received, startReceiver } from "../support/receiver.ts";
import { type Json, startServer, type TestServer, until } from "../support/server.ts";

/** Lets retries follow at once, not after five seconds. */
const ALL_DUE = "UPDATE webhook_deliveries SET next_at = 1 WHERE next_at IS NOT NULL";

const many = (count: number) => Array.from({ length: count }, (_, i) => ({ prompt: `p${i}` }));

async function subscribe(app: Pick<TestServer, "post">, url: string, events: string[], more = {}) {
  const { status, body } = await app.post("/webhooks", { url, events, ...more });
  expect([status, body.error]).toEqual([201, undefined]);
  return body.data as { id: string; secret: string };
}

async function deliveries(app: Pick<TestServer, "get">, id: string, query = ""): Promise<Json[]> {
  return (await app.get(`/webhooks/${id}/deliveries?limit=100${query}`)).body.data.deliveries;
}

describe("a delivery", () => {
  test("is verified by the Standard Webhooks library and by OpenAI's, with either kind of secret", async () => {
    await using receiver = await startReceiver();
    await using app = await startServer(receiver.env);
    const given = await subscribe(app, receiver.url, ["task.completed"], {
      secret: "your-webhook-secret",
    });
    expect(given.secret).toBe("your-webhook-secret");
    const made = await subscribe(app, receiver.url, ["task.completed"]);
    expect(made.secret).toMatch(/^whsec_/);
    await app.post("/tasks?execute=true", { id: "t", prompt: "x" });
    await until(() => receiver.received.length === 2 || undefined);
    const openai = new OpenAI({ apiKey: "none" });
    const verifiers = [
      [
        "standardwebhooks, text",
        ({ raw, headers }: Received) =>
          new Webhook("your-webhook-secret", { format: "raw" }).verify(raw, headers),
      ],
      [
        "standardwebhooks, whsec_",
        ({ raw, headers }: Received) => new Webhook(made.secret).verify(raw, headers),
      ],
      [
        "openai, text",
        ({ raw, headers }: Received) => openai.webhooks.unwrap(raw, headers, "your-webhook-secret"),
      ],
      [
        "openai, whsec_",
        ({ raw, headers }: Received) => openai.webhooks.unwrap(raw, headers, made.secret),
      ],
    ] as const;
    for (const [name, verify] of verifiers) {
      const results = await Promise.all(
        receiver.received.map(async (one) => {
          try {
            return (await verify(one)) as Json;
          } catch {
            return undefined;
          }
        }),
      );
      const verified = results.filter(Boolean);
      expect([name, verified.length]).toEqual([name, 1]);
      expect(verified[0]).toEqual({
        type: "task.completed",
        timestamp: expect.any(String),
        data: { taskId: "t", executionId: expect.any(String), status: "completed" },
      });
    }
    const ids = receiver.received.map(({ headers }) => headers["webhook-id"]);
    expect(new Set(ids).size).toBe(2);
  });

  test("is recorded with its status, latency and attempts, but without answers of private addresses", async () => {
    await using receiver = await startReceiver((_, response) =>
      response.writeHead(200).end("internal"),
    );
    await using app = await startServer(receiver.env);
    const { id } = await subscribe(app, receiver.url, ["task.created"]);
    await app.post("/tasks", { id: "t", prompt: "x" });
    const [delivery] = await until(async () => {
      const found = await deliveries(app, id, "&status=delivered");
      return found.length === 1 ? found : undefined;
    });
    expect(delivery).toMatchObject({
      type: "task.created",
      status: "delivered",
      responseStatus: 200,
      error: null,
      response: null,
      messageId: receiver.received[0]?.headers["webhook-id"],
      payload: { data: { taskId: "t", status: "pending" } },
      attempts: [{ status: 200, error: null }],
    });
    const alone = await app.get(`/webhooks/${id}/deliveries/${delivery.id}`);
    expect(alone.body.data).toEqual(delivery);
  });

  test("arrives in order for one task, and a batch's end after all of its tasks", async () => {
    await using receiver = await startReceiver(() => Bun.sleep(Math.random() * 8));
    await using app = await startServer(receiver.env);
    await subscribe(app, receiver.url, ["task.*", "batch.*"]);
    await app.post("/batches", { id: "b", tasks: many(40) });
    await app.post("/batches/b/execute");
    await until(() => receiver.types().includes("batch.completed") || undefined);
    expect(receiver.types()[0]).toBe("batch.created");
    expect(receiver.types()).toHaveLength(2 + 40 + 40 + 1);
    expect(receiver.types().at(-1)).toBe("batch.completed");
    const states = new Map<string, string[]>();
    for (const { body } of receiver.received)
      if (body.data.taskId)
        states.set(body.data.taskId, [...(states.get(body.data.taskId) ?? []), body.data.status]);
    expect([...states.values()].every((list) => list.join() === "running,completed")).toBe(true);
  });

  test("that is refused is retried under the same id, and does not delay later ones", async () => {
    const seen = new Map<string, number>();
    await using receiver = await startReceiver(({ headers, body }, response) => {
      const id = headers["webhook-id"] ?? "";
      seen.set(id, (seen.get(id) ?? 0) + 1);
      if (body.data.taskId === "bad" && seen.get(id) === 1) response.writeHead(500).end("no");
    });
    await using app = await startServer(receiver.env);
    const { id } = await subscribe(app, receiver.url, ["task.created"]);
    await app.post("/tasks", { id: "bad", prompt: "x" });
    await app.post("/tasks", { id: "good", prompt: "x" });
    await until(() => receiver.received.length >= 2 || undefined);
    const waiting = await until(async () =>
      (await deliveries(app, id)).find(({ nextAttemptAt }) => nextAttemptAt !== null),
    );
    expect(waiting).toMatchObject({ payload: { data: { taskId: "bad" } }, responseStatus: 500 });
    const wait = Date.parse(waiting.nextAttemptAt) - Date.parse(waiting.attempts[0].at);
    expect(wait).toBeGreaterThanOrEqual(4500);
    expect(wait).toBeLessThan(6000);
    await app.ctx.client.execute(ALL_DUE);
    await until(() => receiver.received.length === 3 || undefined);
    const ids = receiver.received
      .filter(({ body }) => body.data.taskId === "bad")
      .map(({ headers }) => headers["webhook-id"]);
    expect(new Set(ids).size).toBe(1);
    const done = await until(async () => {
      const all = await deliveries(app, id, "&status=delivered");
      return all.length === 2 ? all : undefined;
    });
    expect(done.find(({ payload }: Json) => payload.data.taskId === "bad").attempts).toHaveLength(
      2,
    );
  });

  test("survives kill -9: unconfirmed deliveries are sent again under the same id", async () => {
    using folder = temporaryFolder();
    const held = gate();
    let isHolding = true;
    // Until its first success it gets one delivery at a time.
    let isFirst = true;
    await using receiver = await startReceiver(async () => {
      if (isHolding && !isFirst) await held.opened;
      isFirst = false;
    });
    const env = { DATA_DIR: folder.path, SIMULATOR_LATENCY_MS: "0", ...receiver.env };
    await using app = await startProcess(env);
    await subscribe(app, receiver.url, ["task.completed"]);
    await app.post("/batches", { id: "b", tasks: many(30) });
    await app.post("/batches/b/execute");
    await until(() => receiver.received.length >= 5 || undefined);
    const underWay = receiver.received.slice(1).map(({ headers }) => headers["webhook-id"]);
    await app.kill("SIGKILL");
    isHolding = false;
    held.open();

    await using again = await startProcess(env);
    await again.finished("b");
    const ids = () => receiver.received.map(({ headers }) => headers["webhook-id"]);
    const isSentAgain = (id: string | undefined) => ids().filter((one) => one === id).length > 1;
    await until(() => (new Set(ids()).size === 30 && underWay.every(isSentAgain)) || undefined);
    const tasks = receiver.received.map(({ body }) => body.data.taskId);
    expect(new Set(tasks).size).toBe(30);
  });
});

describe("an endpoint", () => {
  test("accepts the documented body, patterns and the alias, and shows its secret once", async () => {
    await using app = await startServer();
    const { status, body } = await app.post("/webhooks", {
      url: "https://your-app.com/webhook",
      events: ["task.completed", "batch.finished", "system.alert"],
      secret: "your-webhook-secret",
    });
    expect(status).toBe(201);
    expect(body.data).toMatchObject({ isActive: true, secret: "your-webhook-secret" });
    const read = await app.get(`/webhooks/${body.data.id}`);
    expect(read.text).not.toContain("your-webhook-secret");
    expect(read.body.data.events).toEqual(["task.completed", "batch.finished", "system.alert"]);
    expect((await app.get("/webhooks")).body.data.webhooks).toHaveLength(1);
    const patched = await app.patch(`/webhooks/${body.data.id}`, {
      events: ["*"],
      isActive: false,
    });
    expect(patched.body.data).toMatchObject({ events: ["*"], isActive: false });
    expect((await app.del(`/webhooks/${body.data.id}`)).status).toBe(200);
    expect((await app.get(`/webhooks/${body.data.id}`)).status).toBe(404);
  });

  test("gets progress only if it names that event, and batch.finished is batch.completed", async () => {
    await using receiver = await startReceiver();
    await using other = await startReceiver();
    await using app = await startServer({
      ...receiver.env,
      SIMULATOR_LATENCY_MS: "5",
      MAX_CONCURRENCY: "4",
    });
    await subscribe(app, receiver.url, ["*"]);
    await subscribe(app, other.url, ["batch.progress", "batch.finished"]);
    await app.post("/batches", { id: "b", tasks: many(100) });
    await app.post("/batches/b/execute");
    await until(
      () =>
        (receiver.types().includes("batch.completed") &&
          other.types().includes("batch.completed")) ||
        undefined,
    );
    expect(receiver.types()).not.toContain("batch.progress");
    expect(other.types()).toContain("batch.progress");
    expect(new Set(other.types())).toEqual(new Set(["batch.progress", "batch.completed"]));
  });

  test("gets events of a schedule's run, and of batches that were paused and cancelled", async () => {
    await using receiver = await startReceiver();
    await using app = await startServer({ ...receiver.env, SIMULATOR_LATENCY_MS: "200" });
    writeFileSync(join(app.filesDir, "in.csv"), "prompt\nhi\n");
    const events = ["scheduled_task.executed", "batch.paused", "batch.cancelled"];
    await subscribe(app, receiver.url, events);
    const schedule = { name: "s", schedule: "@yearly", inputFile: "in.csv" };
    const { id } = (await app.post("/scheduled-tasks", schedule)).body.data;
    await app.post(`/scheduled-tasks/${id}/run`);
    await app.post("/batches", { id: "b", tasks: many(50), config: { maxConcurrency: 1 } });
    for (const action of ["execute", "pause", "cancel"]) await app.post(`/batches/b/${action}`);
    await until(() => new Set(receiver.types()).size === events.length || undefined);
    expect(receiver.types().toSorted()).toEqual(events.toSorted());
  });

  test("is signed for with both secrets for a day after a rotation", async () => {
    await using receiver = await startReceiver();
    await using app = await startServer({ ...receiver.env, ENCRYPTION_KEY: "k".repeat(32) });
    const { id, secret } = await subscribe(app, receiver.url, ["task.created"]);
    const rotated = await app.post(`/webhooks/${id}/rotate-secret`);
    expect(rotated.body.data.secret).not.toBe(secret);
    const stored = await app.ctx.client.execute("SELECT secret, previous_secret FROM webhooks");
    expect(JSON.stringify(stored.rows)).not.toContain("whsec_");
    const { body } = await app.post(`/webhooks/${id}/test`);
    expect(body.data).toMatchObject({
      type: "webhook.test",
      status: "delivered",
      responseStatus: 204,
    });
    const [one] = receiver.received;
    for (const key of [secret, rotated.body.data.secret])
      expect(new Webhook(key).verify(one?.raw ?? "", one?.headers ?? {})).toMatchObject({
        type: "webhook.test",
      });
    await app.ctx.writer.write({
      lapsed: { sql: "UPDATE webhooks SET previous_secret_until = 1", args: [] },
    });
    await app.post(`/webhooks/${id}/test`);
    const later = receiver.received[1];
    expect(() => new Webhook(secret).verify(later?.raw ?? "", later?.headers ?? {})).toThrow();
  });

  test("that answers 410 is disabled with an alert, and when enabled again gets what it missed", async () => {
    let isGone = true;
    await using receiver = await startReceiver((_, response) => {
      if (isGone) response.writeHead(410).end();
    });
    await using watcher = await startReceiver();
    await using app = await startServer(receiver.env);
    const { id } = await subscribe(app, receiver.url, ["task.created"]);
    await subscribe(app, watcher.url, ["system.alert"]);
    await app.post("/tasks", { id: "one", prompt: "x" });
    await until(() => watcher.received.length === 1 || undefined);
    expect(watcher.received[0]?.body.data).toMatchObject({
      code: "webhook.disabled",
      status: "raised",
      subject: id,
    });
    expect((await app.get(`/webhooks/${id}`)).body.data).toMatchObject({
      isActive: false,
      disabledReason: "it answered 410 Gone",
    });
    await app.post("/tasks", { id: "two", prompt: "x" });
    isGone = false;
    await app.patch(`/webhooks/${id}`, { isActive: true });
    await until(() => receiver.received.at(-1)?.body.data.taskId === "two" || undefined);
    await until(() => watcher.received[1]?.body.data.status === "cleared" || undefined);
  });

  test("that fails from the first attempt to the last is disabled", async () => {
    await using receiver = await startReceiver((_, response) => response.writeHead(400).end());
    await using app = await startServer(receiver.env);
    const { id } = await subscribe(app, receiver.url, ["task.created"]);
    await app.post("/tasks", { id: "t", prompt: "x" });
    for (let attempt = 1; attempt <= 10; attempt++) {
      await until(() => receiver.received.length === attempt || undefined);
      await until(
        async () => (await deliveries(app, id))[0]?.attempts.length === attempt || undefined,
      );
      await app.ctx.client.execute(ALL_DUE);
    }
    await until(async () => !(await app.get(`/webhooks/${id}`)).body.data.isActive || undefined);
    expect((await deliveries(app, id))[0]).toMatchObject({ status: "failed", nextAttemptAt: null });
  });

  test("that gets another URL is not disabled by an attempt at the old one", async () => {
    for (const [by, status] of [
      ["this process", 410],
      ["this process", 400],
      ["another process", 410],
    ] as const) {
      const held = gate();
      await using old = await startReceiver(async (_, response) => {
        if (old.received.length === 2) await held.opened;
        response.writeHead(old.received.length === 2 ? status : 400).end();
      });
      await using repaired = await startReceiver();
      await using app = await startServer(old.env);
      const { id } = await subscribe(app, old.url, ["task.created"]);
      await app.post("/tasks", { id: "t", prompt: "x" });
      await until(async () => (await deliveries(app, id))[0]?.attempts.length === 1 || undefined);
      // The next attempt is the last one.
      await app.ctx.client.execute("UPDATE webhook_deliveries SET attempts = 9, next_at = 1");
      await until(() => old.received.length === 2 || undefined);

      if (by === "this process")
        await app.patch(`/webhooks/${id}`, { url: repaired.url, isActive: true });
      else
        await app.ctx.writer.write({
          changed: updateWebhook(id, { url: repaired.url }, app.ctx.clock.now()),
        });
      held.open();

      await until(async () => (await deliveries(app, id, "&status=failed"))[0]);
      const { rows } = await app.ctx.client.execute(
        "SELECT is_active, failing_since, (SELECT count(*) FROM alerts) FROM webhooks",
      );
      expect([status, ...Array.from(rows[0] ?? [])]).toEqual([status, 1, null, 0]);
      await app.post("/tasks", { id: "u", prompt: "x" });
      await until(() => repaired.received[0]?.body.data.taskId === "u" || undefined);
    }
  });

  test("that another process has reached since is not disabled for failing all the time", async () => {
    const held = gate();
    await using receiver = await startReceiver(async (_, response) => {
      if (receiver.received.length === 2) await held.opened;
      response.writeHead(400).end();
    });
    await using app = await startServer(receiver.env);
    const { id } = await subscribe(app, receiver.url, ["task.created"]);
    await app.post("/tasks", { id: "t", prompt: "x" });
    await until(async () => (await deliveries(app, id))[0]?.attempts.length === 1 || undefined);
    await app.ctx.client.execute("UPDATE webhook_deliveries SET attempts = 9, next_at = 1");
    await until(() => receiver.received.length === 2 || undefined);

    await app.ctx.client.execute("UPDATE webhooks SET failing_since = NULL");
    held.open();

    await until(async () => (await deliveries(app, id, "&status=failed"))[0]);
    expect((await app.get(`/webhooks/${id}`)).body.data.isActive).toBe(true);
  });

  test("can get one delivery again, and all events since a time, even from before its creation", async () => {
    await using receiver = await startReceiver();
    await using app = await startServer(receiver.env);
    const since = new Date(Date.now() - 1000).toISOString();
    await app.post("/tasks", { id: "before", prompt: "x" });
    const { id } = await subscribe(app, receiver.url, ["task.created"]);
    await app.post("/tasks", { id: "after", prompt: "x" });
    const [delivery] = await until(async () => {
      const found = await deliveries(app, id, "&status=delivered");
      return found.length > 0 ? found : undefined;
    });
    await app.post(`/webhooks/${id}/deliveries/${delivery.id}/replay`);
    await until(() => receiver.received.length === 2 || undefined);
    expect(receiver.received[0]?.headers["webhook-id"]).toBe(
      receiver.received[1]?.headers["webhook-id"] ?? "",
    );
    await until(
      async () => (await deliveries(app, id, "&status=delivered")).length === 1 || undefined,
    );
    const { body } = await app.post(`/webhooks/${id}/replay`, { since });
    expect(body.data.deliveries).toBe(2);
    await until(() => receiver.received.length === 4 || undefined);
    expect(receiver.received.map(({ body }) => body.data.taskId).toSorted()).toEqual([
      "after",
      "after",
      "after",
      "before",
    ]);
    expect(
      (await app.post(`/webhooks/${id}/replay`, { since, onlyFailed: true })).body.data.deliveries,
    ).toBe(0);
  });
});
