import { expect, test } from "bun:test";
import { existsSync, mkdirSync, statSync } from "node:fs";
import { join } from "node:path";

import type { InArgs } from "@libsql/client";

import { openDatabase } from "../../src/db/client.ts";
import { createCommitClient } from "../../src/db/commit-client.ts";
import { fateOf } from "../../src/db/refusal.ts";
import { startCommitThread } from "../../src/db/threads.ts";
import { createWriter } from "../../src/db/writer.ts";
import { createSystemClock } from "../../src/lib/clock.ts";
import type { StartThread } from "../../src/lib/thread.ts";
import { shrinkFile } from "../../src/services/vacuum.ts";
import { temporaryFolder } from "../support/process.ts";
import { startServer } from "../support/server.ts";

const clock = createSystemClock();
const statement = (sql: string, args: InArgs & unknown[] = []) => ({ sql, args }) as never;

/**
 * Starts real threads. A doomed one ends with its next commit: before it takes effect, or after that and before anybody
 * hears of it. From `doomAll` on, each thread is doomed after some commits, in either way by turns.
 */
function createMortalThreads() {
  let started = 0;
  let most = Infinity;
  let doom: "before" | "after" | undefined;
  const start: StartThread = (handlers) => {
    started++;
    const kind = started % 2 === 0 ? "before" : "after";
    let commits = 0;
    const die = () => {
      doom = undefined;
      thread.end();
      queueMicrotask(() => handlers.onDeath("killed"));
    };
    const thread = startCommitThread<{ kind: string }, { kind: string }>({
      onDeath: handlers.onDeath,
      onMessage: (message) => {
        if (doom === "after" && message.kind === "done") die();
        else handlers.onMessage(message as never);
      },
    });
    const post = (message: { kind: string }) => {
      if (message.kind === "commit" && ++commits > most) doom = kind;
      if (doom === "before" && message.kind === "commit") die();
      else thread.post(message);
    };
    return { post, end: thread.end } as never;
  };
  return {
    start,
    started: () => started,
    doom: (when: typeof doom) => (doom = when),
    doomAll: (commits: number) => (most = commits),
  };
}

async function openTable(path: string, startThread: StartThread = startCommitThread) {
  const client = createCommitClient(path, startThread, clock);
  await client.executeMultiple("CREATE TABLE t (id INTEGER PRIMARY KEY, v)");
  return { client, writer: createWriter(client, clock) };
}

test("units are committed in a thread, in order, and get their own results with every kind of value", async () => {
  using folder = temporaryFolder();
  const { client, writer } = await openTable(join(folder.path, "t.db"));
  const values = [1.5, "ä 東京 👩🏽‍💻", null, new Uint8Array([0, 255]), true, 2n ** 53n];
  const outcomes = await Promise.all(
    values.map((value, i) =>
      writer.write({
        inserted: statement("INSERT INTO t VALUES (?, ?)", [i, value]),
        read: statement(
          "SELECT v, typeof(v) AS kind, (SELECT count(*) FROM t) AS n FROM t WHERE id = ?",
          [i],
        ),
      }),
    ),
  );
  const rows = outcomes.map(({ read }) => (read as { rows: Record<string, unknown>[] }).rows[0]);
  expect(rows.map((row) => row?.["kind"])).toEqual([
    "real",
    "text",
    "null",
    "blob",
    "real",
    "integer",
  ]);
  expect(rows[1]?.["v"]).toBe("ä 東京 👩🏽‍💻");
  expect(new Uint8Array(rows[3]?.["v"] as ArrayBuffer)).toEqual(new Uint8Array([0, 255]));
  expect(rows.map((row) => row?.["n"])).toEqual([1, 2, 3, 4, 5, 6]);
  expect(outcomes.map(({ inserted }) => (inserted as { changed: number }).changed)).toEqual([
    1, 1, 1, 1, 1, 1,
  ]);
  await client.stop();
});

test("a refused unit fails alone, with the database's words and code", async () => {
  using folder = temporaryFolder();
  const { client, writer } = await openTable(join(folder.path, "t.db"));
  const insert = (id: number) => ({ inserted: statement("INSERT INTO t VALUES (?, 0)", [id]) });
  const outcomes = await Promise.allSettled([1, 2, 1, 3].map((id) => writer.write(insert(id))));
  expect(outcomes.map(({ status }) => status)).toEqual([
    "fulfilled",
    "fulfilled",
    "rejected",
    "fulfilled",
  ]);
  const [, , refused] = outcomes;
  const error: unknown = refused?.status === "rejected" ? refused.reason : undefined;
  expect(error).toMatchObject({ code: "SQLITE_CONSTRAINT_PRIMARYKEY", statementIndex: 2 });
  expect(fateOf(error)).toBe("refused");
  await client.stop();
});

test("whether a commit took effect is unknown if its thread ends, and the next one has a new thread", async () => {
  using folder = temporaryFolder();
  const threads = createMortalThreads();
  const { client, writer } = await openTable(join(folder.path, "t.db"), threads.start);
  await writer.write({ one: statement("INSERT INTO t VALUES (1, 0)") });
  threads.doom("before");
  const lost = writer
    .write({ two: statement("INSERT INTO t VALUES (2, 0)") })
    .catch((error: unknown) => error);
  const error = await lost;
  expect(fateOf(error)).toBe("unknown");
  expect(String(error)).toContain("The thread that writes the database ended");
  const { ids } = await writer.write({
    three: statement("INSERT INTO t VALUES (3, 0)"),
    ids: statement("SELECT id FROM t WHERE id <> 2"),
  });
  expect((ids as { rows: unknown[] }).rows).toEqual([{ id: 1 }, { id: 3 }]);
  expect(threads.started()).toBe(2);
  await client.stop();
});

test("the event loop runs while a commit takes long", async () => {
  using folder = temporaryFolder();
  const { client, writer } = await openTable(join(folder.path, "t.db"));
  const state = { isOver: false };
  const rows =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000) SELECT i, i FROM n";
  const commit = writer
    .write({ many: statement(`INSERT INTO t ${rows}`) })
    .then(() => (state.isOver = true));
  let rounds = 0;
  while (!state.isOver) {
    await new Promise<void>((resolve) => setTimeout(resolve, 1));
    rounds++;
  }
  await commit;
  expect(rounds).toBeGreaterThan(5);
  await client.stop();
});

test("more texts than are remembered, and writes after the end", async () => {
  using folder = temporaryFolder();
  const { client, writer } = await openTable(join(folder.path, "t.db"));
  const numbers = Array.from({ length: 2500 }, (_, i) => i);
  const outcomes = await Promise.all(
    numbers.map((i) => writer.write({ one: statement(`SELECT ${i} AS i`) })),
  );
  expect(outcomes.map(({ one }) => (one as { rows: { i: number }[] }).rows[0]?.i)).toEqual(numbers);
  await client.stop();
  await client.stop();
  const late = await writer.write({ one: statement("SELECT 1") }).catch((error: unknown) => error);
  expect(late).toMatchObject({ code: "CLIENT_CLOSED" });
});

test("only the thread writes a database that has one, and closing leaves one file", async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "t.db");
  const database = await openDatabase(`file:${path}`, clock, { startCommitter: startCommitThread });
  const row = "INSERT INTO files (id, name, bytes, sha256, created_at) VALUES (?, 'a', 1, '', 5)";
  await database.writer.write({ one: statement(row, ["f"]) });
  expect((await database.client.execute("SELECT id FROM files")).rows).toHaveLength(1);
  const refused = await database.client
    .execute("DELETE FROM files")
    .catch((error: unknown) => error);
  expect(refused).toMatchObject({ code: "SQLITE_READONLY" });
  await database.close();
  expect(existsSync(`${path}-wal`) && statSync(`${path}-wal`).size > 0).toBe(false);
});

test("a server with a thread for commits completes batches, and shrinks its file after a deletion", async () => {
  await using app = await startServer({}, { startCommitter: startCommitThread });
  const tasks = Array.from({ length: 80 }, (_, i) => ({ prompt: `${i} ${"x".repeat(90_000)}` }));
  const ids = ["a", "b", "c"];
  for (const id of ids) {
    await app.post("/batches", { id, tasks });
    await app.post(`/batches/${id}/execute`, {});
  }
  for (const id of ids) {
    const waiting = { prefer: "wait=30" };
    const { body } = await app.send("GET", `/batches/${id}`, undefined, waiting);
    expect([body.data.status, body.data.progress.completed]).toEqual(["completed", 80]);
  }
  expect(await app.differences()).toEqual([]);

  const size = () => statSync(join(app.dir, "task-runner.db")).size;
  await app.ctx.writer.maintain("PRAGMA wal_checkpoint(TRUNCATE)");
  const full = size();
  for (const id of ids) await app.send("DELETE", `/batches/${id}`);
  while (await shrinkFile(app.ctx));
  expect(size()).toBeLessThan(full * 0.7);
});

test("a batch completes, each task once, although the thread that writes ends again and again", async () => {
  const threads = createMortalThreads();
  const env = { SIMULATOR_LATENCY_MS: "5", MAX_CONCURRENCY: "4" };
  await using app = await startServer(env, { startCommitter: threads.start });
  await app.post("/batches", {
    id: "b",
    tasks: Array.from({ length: 200 }, () => ({ prompt: "hello" })),
  });
  threads.doomAll(20);
  await app.post("/batches/b/execute", {});
  const { status, progress } = await app.finished("b");
  threads.doomAll(Infinity);
  expect([status, progress.completed]).toEqual(["completed", 200]);
  expect(threads.started()).toBeGreaterThan(2);
  expect(await app.differences()).toEqual([]);
  const sql = "SELECT count(*), count(DISTINCT task) FROM executions WHERE status = 'completed'";
  const [row] = (await app.ctx.client.execute(sql)).rows;
  expect([row?.[0], row?.[1]]).toEqual([200, 200]);
});

test("a file that cannot be opened for a moment is opened by a later commit", async () => {
  using folder = temporaryFolder();
  const client = createCommitClient(join(folder.path, "later", "t.db"), startCommitThread, clock);
  const writer = createWriter(client, clock);
  const write = () => writer.write({ one: statement("SELECT 1 AS n") });
  const early = await write().catch((error: unknown) => error);
  expect(fateOf(early)).toBe("unable");
  mkdirSync(join(folder.path, "later"));
  expect((await write()).one).toMatchObject({ rows: [{ n: 1 }] });
  await client.stop();
});

test("while a commit does not end, the server is not ready, and says why", async () => {
  let isHanging = false;
  const held: (() => void)[] = [];
  const start: StartThread = (handlers) => {
    const thread = startCommitThread<{ kind: string }, never>(handlers as never);
    const post = (message: { kind: string }) => {
      if (isHanging && message.kind === "commit") held.push(() => thread.post(message));
      else thread.post(message);
    };
    return { post, end: thread.end } as never;
  };
  let skippedMs = 0;
  const skewed = { ...clock, monotonic: () => clock.monotonic() + skippedMs };
  await using app = await startServer({}, { startCommitter: start, clock: skewed });
  const ready = async () => (await fetch(`${app.url}/readyz`)).status;
  expect(await ready()).toBe(200);
  isHanging = true;
  const creating = app.post("/tasks", { id: "t", prompt: "hello" }).catch(() => undefined);
  while (held.length === 0) await new Promise<void>((resolve) => setTimeout(resolve, 1));
  skippedMs = 10_001;
  expect(await ready()).toBe(503);
  const { body } = await app.send("GET", "/status");
  const reason = { service: "database", reason: "The database does not answer" };
  isHanging = false;
  for (const post of held) post();
  expect(body.data.reasons).toContainEqual(reason);
  expect((await creating)?.status).toBe(201);
  expect(await ready()).toBe(200);
});
