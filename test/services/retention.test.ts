// Gives zod schemas their `openapi` method, before any is made.
import "@hono/zod-openapi";
import { describe, expect, test } from "bun:test";
import { statSync } from "node:fs";
import { join } from "node:path";

import { pruneHistory } from "../../src/services/retention.ts";
import { shrinkFile } from "../../src/services/vacuum.ts";
import { KEY, startServer, type TestServer } from "../support/server.ts";

const DAY = 86_400_000;
const daysAgo = (days: number) => Date.now() - days * DAY;

async function run(app: TestServer, sql: string, ...args: (number | string)[]): Promise<void> {
  await app.ctx.client.execute(sql, args);
}

describe("what is old is removed", () => {
  test("though a row before it is dated in the future", async () => {
    await using app = await startServer({ RETENTION_DAYS: "2" });
    await pruneHistory(app.ctx);
    const rows = `INSERT INTO events (at, type)
      SELECT ?, 'system.alert' FROM json_each('[' || substr(replace(hex(zeroblob(?)), '00', ',1'), 2) || ']')`;
    await run(app, rows, daysAgo(-3000), 700);
    await run(app, rows, daysAgo(3), 1200);
    await run(app, rows, daysAgo(1), 5);
    expect(await pruneHistory(app.ctx)).toBe(1200);
    expect(await pruneHistory(app.ctx)).toBe(0);
  });

  test("idempotency keys", async () => {
    await using app = await startServer({ RETENTION_DAYS: "2", ROLE: "api" });
    await app.post("/tasks", { id: "t", prompt: "x", idempotencyKey: "k" });
    await run(app, "UPDATE idempotency_keys SET created_at = ?", daysAgo(3));
    // What the server removes at its start may have come to it before.
    await pruneHistory(app.ctx);
    const { rows } = await app.ctx.client.execute("SELECT key FROM idempotency_keys");
    expect(rows).toEqual([]);
  });

  test("batches, single tasks and uploads only where that is asked for", async () => {
    await using app = await startServer({ TASK_RETENTION_DAYS: "2", FILE_RETENTION_DAYS: "2" });
    await app.post("/batches", { id: "old", tasks: [{ prompt: "x" }] });
    await app.post("/batches", { id: "open", tasks: [{ prompt: "x" }] });
    await app.post("/tasks", { id: "idle", prompt: "x" });
    await app.post("/tasks?execute=true", { id: "done", prompt: "x" }, { prefer: "wait=10" });
    await app.post("/batches/old/execute");
    await app.finished("old");
    const form = new FormData();
    form.append("file", new Blob(["prompt\nx\n"]), "x.csv");
    await fetch(`${app.url}/api/v1/files`, {
      method: "POST",
      headers: { authorization: `Bearer ${KEY}` },
      body: form,
    });
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

test("DELETE /tasks removes those of a status that are older, and says how many", async () => {
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
    (await app.get("/audit/export")).text
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
  await app.post("/api-keys", { name: "k" });
  expect((await lines()).map(({ action }) => action)).toEqual([
    "tasks.create",
    "tasks.create",
    "api-keys.create",
  ]);
});

test("the file of the database shrinks when much was deleted", async () => {
  await using app = await startServer();
  const size = () => statSync(join(app.dir, "task-runner.db")).size;
  for (let i = 0; i < 20; i++)
    await app.post("/tasks", { id: `t${i}`, prompt: "x".repeat(1_000_000) });
  await app.ctx.client.execute("PRAGMA wal_checkpoint(TRUNCATE)");
  const large = size();
  for (let i = 0; i < 20; i++) await app.send("DELETE", `/tasks/t${i}`);
  while (await shrinkFile(app.ctx));
  await app.ctx.client.execute("PRAGMA wal_checkpoint(TRUNCATE)");
  expect(size()).toBeLessThan(large / 2);
});
