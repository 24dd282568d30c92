// Gives zod schemas their `openapi` method, before any is made.
import "@hono/zod-openapi";
import { describe, expect, test } from "bun:test";
import { mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import type { InStatement } from "@libsql/client";

import type { Context, PostWebhook } from "../../src/context.ts";
import { deleteTasksWhere } from "../../src/services/delete-tasks.ts";
import { pruneHistory } from "../../src/services/retention.ts";
import { shrinkFile } from "../../src/services/vacuum.ts";
import { type Json, KEY, startServer, type TestServer, until } from "../support/server.ts";

const DAY = 86_400_000;
const daysAgo = (days: number) => Date.now() - days * DAY;

async function run(app: TestServer, sql: string, ...args: (number | string)[]): Promise<void> {
  await app.ctx.client.execute(sql, args);
}

async function uploaded(app: TestServer, name: string): Promise<string> {
  const form = new FormData();
  form.append("file", new Blob(["prompt\nx\n"]), name);
  const headers = { authorization: `Bearer ${KEY}` };
  const answer = await fetch(`${app.url}/api/v1/files`, { method: "POST", headers, body: form });
  return ((await answer.json()) as Json).data.id;
}

describe("what is old is removed", () => {
  test("even if an earlier row has a date in the future", async () => {
    await using app = await startServer({ RETENTION_DAYS: "2" });
    await pruneHistory(app.ctx);
    const rows = `INSERT INTO events (at, type)
      SELECT ?, 'system.alert' FROM json_each('[' || substr(replace(hex(zeroblob(?)), '00', ',1'), 2) || ']')`;
    await run(app, rows, daysAgo(-3000), 700);
    await run(app, rows, daysAgo(3), 1200);
    await run(app, rows, daysAgo(1), 5);
    expect(await pruneHistory(app.ctx)).toBe(1200);
    expect(await pruneHistory(app.ctx)).toBe(0);
    const key =
      "INSERT INTO idempotency_keys (api_key, key, fingerprint, created_at) VALUES (1, ?, 'f', ?)";
    for (const [i, days] of [-3000, 3, 1].entries()) await run(app, key, `k${i}`, daysAgo(days));
    const { id } = (await app.post("/webhooks", { url: "https://example.com/", events: ["*"] }))
      .body.data;
    const sent = `INSERT INTO webhook_deliveries (webhook, event, type, body, at, status)
      SELECT seq, ?, 'task.created', '{}', ?, 'delivered' FROM webhooks WHERE id = ?`;
    for (const [i, days] of [-3000, 3, 1].entries())
      await run(app, sent, -1 - i, daysAgo(days), id);
    expect(await pruneHistory(app.ctx)).toBe(2);
  });

  test("idempotency keys", async () => {
    await using app = await startServer({ RETENTION_DAYS: "2", ROLE: "api" });
    await app.post("/tasks", { id: "t", prompt: "x", idempotencyKey: "k" });
    await run(app, "UPDATE idempotency_keys SET created_at = ?", daysAgo(3));
    // The server's own pruning after its start may have been first.
    await pruneHistory(app.ctx);
    expect(await app.ctx.client.execute("SELECT 1 FROM idempotency_keys")).toMatchObject({
      rows: [],
    });
  });

  test("ended runs of schedules, and cached answers", async () => {
    await using app = await startServer({ RETENTION_DAYS: "2", CACHE_RETENTION_DAYS: "2" });
    const task = { prompt: "x", cache: true };
    await app.post("/tasks?execute=true", { id: "t", ...task }, { prefer: "wait=10" });
    await run(app, "UPDATE executions SET completed_at = ?", daysAgo(3));
    mkdirSync(join(app.dir, "files"), { recursive: true });
    writeFileSync(join(app.dir, "files", "in.csv"), "prompt\nx\n");
    const schedule = { name: "s", inputFile: "in.csv", schedule: "0 0 1 1 *" };
    const { id } = (await app.post("/scheduled-tasks", schedule)).body.data;
    const fire = `INSERT INTO schedule_runs (id, schedule, cause, status, is_dry_run, scheduled_at, fired_at)
      SELECT 'run-' || hex(randomblob(8)), seq, 'manual', ?, 0, ?, ? FROM schedules WHERE id = ?`;
    const ended = ["completed", "failed", "skipped"];
    for (const status of [...ended, "queued"])
      await run(app, fire, status, daysAgo(3), daysAgo(3), id);
    await run(app, fire, "completed", daysAgo(1), daysAgo(1), id);
    await pruneHistory(app.ctx);
    const left = await app.ctx.client.execute("SELECT status FROM schedule_runs ORDER BY seq");
    expect(left.rows.map(({ status }) => status)).toEqual(["queued", "completed"]);
    const again = await app.post("/tasks?execute=true", task, { prefer: "wait=10" });
    expect([again.status, again.body.data.result.cached]).toEqual([201, false]);
  });

  test("deliveries, but not those that wait for a retry", async () => {
    let isDown = true;
    const postWebhook: PostWebhook = async () => ({
      status: isDown ? 503 : 200,
      retryAfter: undefined,
      text: "",
      isPrivate: false,
    });
    await using app = await startServer({ RETENTION_DAYS: "1" }, { postWebhook });
    const hook = { url: "https://example.com/", events: ["task.created"] };
    const { body } = await app.post("/webhooks", hook);
    const path = `/webhooks/${body.data.id}/deliveries`;
    const left = async (): Promise<string[]> =>
      (await app.get(path)).body.data.deliveries.map(({ status }: Json) => status);
    await app.post("/tasks", { prompt: "x" });
    await until(async () => (await app.get(path)).body.data.deliveries[0]?.nextAttemptAt);
    isDown = false;
    await app.post("/tasks", { prompt: "x" });
    await until(async () => (await left()).includes("delivered") || undefined);
    await run(app, "UPDATE webhook_deliveries SET at = ?", daysAgo(2));

    await pruneHistory(app.ctx);

    expect(await left()).toEqual(["pending"]);
  });

  test("events, but not those that an active webhook has no deliveries of yet", async () => {
    await using app = await startServer({ RETENTION_DAYS: "1" });
    const hook = { url: "https://hooks.invalid/", events: ["task.created"] };
    const { id } = (await app.post("/webhooks", hook)).body.data;
    await app.runner.stop(0);
    for (const id of ["a", "b"]) await app.post("/tasks", { id, prompt: "x" });
    await run(app, "UPDATE events SET at = ?", daysAgo(2));
    await run(app, "UPDATE webhooks SET cursor = 1");
    const left = async () => {
      await pruneHistory(app.ctx);
      return (await app.ctx.client.execute("SELECT task FROM events")).rows;
    };
    expect(await left()).toMatchObject([{ task: "b" }]);
    await app.patch(`/webhooks/${id}`, { isActive: false });
    expect(await left()).toEqual([]);
    // One that never catches up does not keep the log from being removed.
    await app.patch(`/webhooks/${id}`, { isActive: true });
    await app.post("/tasks", { id: "c", prompt: "x" });
    await run(app, "UPDATE events SET at = ?", daysAgo(3.9));
    await run(app, "UPDATE webhooks SET cursor = 0");
    expect(await left()).toMatchObject([{ task: "c" }]);
    await run(app, "UPDATE events SET at = ?", daysAgo(4.1));
    expect(await left()).toEqual([]);
  });

  test("batches, single tasks and uploads only if that is configured", async () => {
    await using app = await startServer({ TASK_RETENTION_DAYS: "2", FILE_RETENTION_DAYS: "2" });
    await app.post("/batches", { id: "old", tasks: [{ prompt: "x" }] });
    await app.post("/batches", { id: "open", tasks: [{ prompt: "x" }] });
    await app.post("/tasks", { id: "idle", prompt: "x" });
    await app.post("/tasks?execute=true", { id: "done", prompt: "x" }, { prefer: "wait=10" });
    await app.post("/batches/old/execute");
    await app.finished("old");
    await uploaded(app, "x.csv");
    expect(await pruneHistory(app.ctx)).toBe(0);
    await run(
      app,
      "UPDATE batches SET completed_at = ? WHERE completed_at IS NOT NULL",
      daysAgo(3),
    );
    await run(app, "UPDATE tasks SET created_at = ?", daysAgo(4));
    await run(app, "UPDATE tasks SET completed_at = ? WHERE status <> 'pending'", daysAgo(3));
    await run(app, "UPDATE files SET created_at = ?", daysAgo(3));
    expect(await pruneHistory(app.ctx)).toBe(3);
    const statusOf = async (path: string) => (await app.get(path)).status;
    expect(
      await Promise.all(
        ["/batches/old", "/tasks/done", "/tasks/idle", "/batches/open"].map(statusOf),
      ),
    ).toEqual([404, 404, 200, 200]);
    expect(await app.differences()).toEqual([]);
  });
});

/** The context of a server in which `act` happens between the reading of a page with `sql` and its deletion. */
function actingAfter({ ctx }: TestServer, sql: string, act: () => Promise<unknown>): Context {
  const { client } = ctx.longReads;
  const execute = async (statement: InStatement) => {
    const rows = await client.execute(statement);
    if (JSON.stringify(statement).includes(sql)) await act();
    return rows;
  };
  const acting = new Proxy(client, {
    get: (target, name) => (name === "execute" ? execute : Reflect.get(target, name)),
  });
  return { ...ctx, longReads: { ...ctx.longReads, client: acting } };
}

describe("what changes after it was found for removal stays", () => {
  test("batches and single tasks that ran again", async () => {
    await using app = await startServer({ TASK_RETENTION_DAYS: "2", ROLE: "all" });
    await app.post("/batches", { id: "b", tasks: [{ prompt: "x" }] });
    await app.post("/batches/b/execute", { isDryRun: true });
    await app.finished("b");
    const runTask = () => app.post("/tasks/t/execute", {}, { prefer: "wait=10" });
    await app.post("/tasks", { id: "t", prompt: "x" });
    await runTask();
    for (const table of ["batches", "tasks"])
      await run(
        app,
        `UPDATE ${table} SET completed_at = ?, created_at = ?`,
        daysAgo(3),
        daysAgo(3),
      );

    const runBatch = async () => {
      await app.post("/batches/b/execute");
      await app.finished("b");
    };
    expect(await pruneHistory(actingAfter(app, "FROM batches", runBatch))).toBe(1);
    expect((await app.get("/batches/b")).status).toBe(200);
    expect((await app.get("/tasks/t")).status).toBe(404);

    await app.post("/tasks", { id: "t", prompt: "x" });
    await runTask();
    await run(app, "UPDATE tasks SET completed_at = ?, created_at = ?", daysAgo(3), daysAgo(3));
    let isFirst = true;
    const runOnce = async () => {
      if (isFirst) await runTask();
      isFirst = false;
    };
    expect(
      await pruneHistory(actingAfter(app, "completed_at AS completedAt FROM tasks", runOnce)),
    ).toBe(0);
    expect((await app.get("/tasks/t")).status).toBe(200);
  });

  test("cancelled tasks that are executed", async () => {
    await using app = await startServer();
    await app.post("/tasks", { id: "t", prompt: "x" });
    await app.post("/tasks/t/cancel");
    const execute = () => app.post("/tasks/t/execute", {}, { prefer: "wait=10" });
    const which = { status: "cancelled", createdBefore: Date.now() + 1000 } as const;
    const ctx = actingAfter(app, "FROM tasks", execute);
    expect(await deleteTasksWhere(ctx, which)).toEqual({ deleted: 0, isMore: false });
    expect((await app.get("/tasks/t")).body.data.status).toBe("completed");
  });

  test("an upload that is gone by then does not end the removal", async () => {
    await using app = await startServer({ FILE_RETENTION_DAYS: "2" });
    const ids = await Promise.all(["a", "b"].map((name) => uploaded(app, name)));
    await run(app, "UPDATE files SET created_at = ?", daysAgo(3));
    const remove = () => app.send("DELETE", `/files/${ids[0]}`);
    await pruneHistory(actingAfter(app, "FROM files", remove));
    expect((await app.get("/files")).body.data.files).toEqual([]);
  });
});

test("DELETE /tasks removes older tasks of a status, and returns their number", async () => {
  await using app = await startServer();
  await app.post("/batches", {
    id: "b",
    tasks: Array.from({ length: 45 }, () => ({ prompt: "x" })),
  });
  await app.post("/batches/b/execute");
  await app.finished("b");
  await app.post("/tasks", { id: "idle", prompt: "x" });
  const before = new Date(Date.now() + 1000).toISOString();
  const remove = (query: string) => app.send("DELETE", `/tasks?${query}`);
  expect((await remove(`status=running&createdBefore=${before}`)).status).toBe(400);
  expect((await remove("status=completed")).status).toBe(400);
  expect((await remove("status=completed&createdBefore=2020-01-01")).body.data).toEqual({
    deleted: 0,
    more: false,
  });
  expect((await remove(`status=completed&createdBefore=${before}`)).body.data).toEqual({
    deleted: 45,
    more: false,
  });
  expect((await app.get("/tasks/idle")).status).toBe(200);
  expect(await app.differences()).toEqual([]);
});

test("the audit log is exported, the oldest entry first", async () => {
  await using app = await startServer();
  for (const id of ["a", "b"]) await app.post("/tasks", { id, prompt: "x" });
  const lines = async () =>
    (await app.get("/audit/export?format=jsonl")).text
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
  await app.post("/api-keys", { name: "k" });
  expect((await lines()).map(({ action }) => action)).toEqual([
    "tasks.create",
    "tasks.create",
    "api-keys.create",
  ]);
  const csv = (await app.get("/audit/export")).text.split("\n");
  expect(csv[0]).toBe("id,time,keyId,action,target,requestId,address,options");
  expect(csv[2]).toMatch(/^2,\d{4}-.*Z,.*,tasks\.create,b,.*,127\.0\.0\.1,$/);
});

test("the audit log is trimmed only by age, and records that", async () => {
  await using app = await startServer();
  const actions = async () =>
    (await app.get("/audit?order=asc")).body.data.entries.map(({ action }: Json) => action);
  const insert = "INSERT INTO audit_log (at, key_id, action, request_id) VALUES (?, 'k', ?, 'r')";
  for (const days of [400, 300, 2]) await run(app, insert, daysAgo(days), `${days} days ago`);
  expect(run(app, "DELETE FROM audit_log WHERE id = 1")).rejects.toThrow("append-only");
  const trim = (before: number) =>
    app.send("DELETE", `/audit?createdBefore=${new Date(before).toISOString()}`);
  expect((await trim(daysAgo(-1))).status).toBe(400);
  expect((await trim(daysAgo(30))).body.data).toEqual({ deleted: 2, more: false });
  expect(await actions()).toEqual(["2 days ago", "audit.delete"]);
  expect((await trim(daysAgo(200))).body.data).toEqual({ deleted: 0, more: false });
  expect(run(app, "DELETE FROM audit_log WHERE action = '2 days ago'")).rejects.toThrow();
  expect(await actions()).toEqual(["2 days ago", "audit.delete", "audit.delete"]);
});

test("the database file shrinks after many deletions", async () => {
  await using app = await startServer();
  const size = () => statSync(join(app.dir, "task-runner.db")).size;
  for (let i = 0; i < 20; i++)
    await app.post("/tasks", { id: `t${i}`, prompt: "x".repeat(1_000_000) });
  await app.ctx.client.execute("PRAGMA wal_checkpoint(TRUNCATE)");
  const large = size();
  for (let i = 0; i < 20; i++) await app.send("DELETE", `/tasks/t${i}`);
  while (await shrinkFile(app.ctx));
  expect(size()).toBeLessThan(large / 2);
});
