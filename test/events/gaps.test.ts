import { describe, expect, test } from "bun:test";
import { copyFileSync, rmSync } from "node:fs";
import { join } from "node:path";

import type { PostWebhook } from "../../src/context.ts";
import { temporaryFolder } from "../support/process.ts";
import { type Json, startServer, type TestServer, until } from "../support/server.ts";
import { follow } from "../support/sse.ts";

const after = (id: number | string) => ({ headers: { "last-event-id": String(id) } });

/** What the tests ask of a server. */
function asked(app: TestServer) {
  return {
    sql: (text: string) => app.ctx.writer.write({ changed: { sql: text, args: [] } }),
    /** The gap that a reader gets, if any: it comes with the first bytes. */
    async gapAfter(id: number): Promise<Json> {
      await using stream = await follow(app.url, "/events", after(id));
      await until(() => stream.text() || undefined);
      const [first] = stream.reported;
      return first?.event === "gap" ? first.data.data : undefined;
    },
    async read(path: string, options: object) {
      await using stream = await follow(app.url, path, options);
      await stream.ended();
      return stream.reported;
    },
  };
}

describe("a reader that reconnects", () => {
  test("after a restore of the database is notified, gets everything, and no id is used twice", async () => {
    using folder = temporaryFolder();
    const DATA_DIR = folder.path;
    const path = join(DATA_DIR, "task-runner.db");
    const sent: string[] = [];
    const postWebhook: PostWebhook = async (_, { headers }) => {
      sent.push(headers["webhook-id"] ?? "");
      return { status: 200, retryAfter: undefined, text: "", isPrivate: false };
    };
    const start = () => startServer({ DATA_DIR }, { postWebhook });
    const first = await start();
    await first.post("/webhooks", { url: "https://example.com/", events: ["task.completed"] });
    await first.post("/tasks", { id: "kept", prompt: "x" });
    await first.post("/batches", { id: "b", tasks: [{ prompt: "x" }] });
    await first.stop();
    copyFileSync(path, `${path}.backup`);
    const second = await start();
    await second.post("/tasks?execute=true", { id: "lost", prompt: "x" }, { prefer: "wait=20" });
    const executeKept = async (app: TestServer) =>
      (await app.post("/tasks/kept/execute")).body.data.executionId as string;
    const startBatch = async (app: TestServer) =>
      (await app.post("/batches/b/execute")).body.data.executionId as string;
    const lostIds = new Set([await executeKept(second), await startBatch(second)]);
    const seen = await follow(second.url, "/events?since=0");
    await seen.until("task.completed");
    await seen.close();
    await until(() => sent[0]);
    await second.stop();
    const lostMessages = new Set(sent.splice(0));
    for (const end of ["-wal", "-shm"]) rmSync(path + end, { force: true });
    copyFileSync(`${path}.backup`, path);
    const third = await start();
    const lastId = seen.lastId();
    await third.post("/tasks", { id: "new", prompt: "x" });
    const stream = await follow(third.url, "/events", after(lastId));
    await stream.until("task.created");
    await third.post("/tasks", { id: "newer", prompt: "x" });
    const both = () => stream.reported.filter(({ event }) => event === "task.created");
    while (both().length < 3) await Bun.sleep(5);
    expect(stream.reported[0]).toMatchObject({
      id: undefined,
      event: "gap",
      data: { type: "gap", data: { reason: "restored", after: lastId } },
    });
    expect(both().map(({ data }) => data.data.taskId)).toEqual(["kept", "new", "newer"]);
    expect(stream.lastId()).toBeGreaterThan(lastId);
    await stream.close();
    const again = await follow(third.url, "/events", after(stream.lastId()));
    await third.post("/tasks", { id: "last", prompt: "x" });
    await again.until("task.created");
    expect(again.types()).toEqual(["task.created"]);
    await again.close();
    const newIds = [await executeKept(third), await startBatch(third)];
    expect(newIds.filter((id) => lostIds.has(id))).toEqual([]);
    await until(async () => {
      const { body } = await third.get(`/executions/${newIds[0]}`);
      return body.data?.status === "completed" || undefined;
    });
    // Receivers drop a message whose id they have had.
    await until(() => sent[0]);
    expect(sent.filter((id) => lostMessages.has(id))).toEqual([]);
    await third.stop();
  });

  test("after events were removed is notified, and continues with the oldest", async () => {
    await using app = await startServer();
    for (const id of ["a", "b", "c"]) await app.post("/tasks", { id, prompt: "x" });
    await app.ctx.writer.write({ gone: { sql: "DELETE FROM events WHERE id < 3", args: [] } });
    await using stream = await follow(app.url, "/events", after(1));
    await stream.until("task.created");
    expect(stream.reported).toMatchObject([
      { event: "gap", data: { data: { reason: "expired", after: 1, oldest: 3, newest: 3 } } },
      { event: "task.created", id: 3 },
    ]);
    await using fromOldest = await follow(app.url, "/events?since=0");
    await fromOldest.until("task.created");
    expect(fromOldest.types()).toEqual(["task.created"]);
  });

  test("is notified also of an earlier restore, of events removed between others, and of an empty log", async () => {
    await using app = await startServer();
    const { sql, gapAfter } = asked(app);
    for (const id of ["a", "b", "c", "d", "e"]) await app.post("/tasks", { id, prompt: "x" });
    // Two restores: the log has 1 and 2, then 1000003 to 1000005, then the rest.
    await sql("UPDATE events SET id = id + 1000000 WHERE id > 2");
    await sql("UPDATE sqlite_sequence SET seq = 3000000 WHERE name = 'events'");
    await sql("INSERT INTO timeline VALUES (1, 2, 1000005, 3000000)");
    await app.post("/tasks", { id: "f", prompt: "x" });
    expect(await gapAfter(6)).toMatchObject({ reason: "restored", oldest: 1, newest: 3_000_001 });
    expect(await gapAfter(1_000_009)).toMatchObject({ reason: "restored" });
    for (const kept of [1, 2, 1_000_003, 1_000_005, 3_000_001])
      expect([kept, await gapAfter(kept)]).toEqual([kept, undefined]);
    // The clock was ahead when the event before was written, so that is kept longer.
    await sql("DELETE FROM events WHERE id = 1000004");
    expect(await gapAfter(1_000_003)).toMatchObject({ reason: "expired", oldest: 1 });
    expect(await gapAfter(1_000_004)).toBeUndefined();
    await sql("DELETE FROM events");
    expect(await gapAfter(3_000_000)).toMatchObject({ reason: "expired", oldest: 3_000_002 });
    expect(await gapAfter(3_000_001)).toBeUndefined();
    expect(await gapAfter(3_000_002)).toMatchObject({ reason: "restored" });
  });

  test("to the stream of a task that has ended is notified, too, and the stream ends", async () => {
    await using app = await startServer();
    const { sql, read } = asked(app);
    await app.post("/tasks?execute=true", { id: "t", prompt: "x" }, { prefer: "wait=20" });
    const path = "/tasks/t/events";
    const restored = await read(path, after(1000));
    expect(restored.at(0)).toMatchObject({ event: "gap", data: { data: { reason: "restored" } } });
    expect(restored.at(-1)?.event).toBe("task.completed");
    expect(await app.get(path, after(restored.at(-1)?.id ?? 0).headers)).toMatchObject({
      status: 204,
    });
    await app.post("/tasks", { id: "other", prompt: "x" });
    await sql(`DELETE FROM events WHERE id <= ${restored.at(-1)?.id}`);
    const [gap, ...others] = await read(path, after(1));
    expect([gap?.data.data.reason, others]).toEqual(["expired", []]);
    expect(await app.get(path, after(gap?.id ?? 0).headers)).toMatchObject({ status: 204 });
  });

  test("with an empty Last-Event-ID has none", async () => {
    await using app = await startServer();
    await app.post("/tasks", { id: "a", prompt: "x" });
    for (const empty of ["", " "]) {
      await using stream = await follow(app.url, "/events?since=0", after(empty));
      expect(stream.status).toBe(200);
      await stream.until("task.created");
    }
  });

  test("with a Last-Event-ID that is no number of an event is refused, and one with zeros is read", async () => {
    await using app = await startServer();
    for (const id of ["a", "b"]) await app.post("/tasks", { id, prompt: "x" });
    const odd = ["-1", "+1", "1.5", "1e3", "0x1", "1, 2", "null", "9007199254740993"];
    for (const id of odd) {
      const { status, body } = await app.get("/events", { "last-event-id": id });
      expect([id, status, body.error?.code]).toEqual([id, 400, "VALIDATION_ERROR"]);
    }
    await using stream = await follow(app.url, "/events", after("0001"));
    await stream.until("task.created");
    expect(stream.reported.map(({ data }) => data.data.taskId)).toEqual(["b"]);
    await using beyond = await follow(app.url, "/tasks/a/events", after(999_999_999_999_999));
    await beyond.until("task.created");
    expect(beyond.types()).toEqual(["gap", "task.created"]);
  });
});

test("the stream of a task or batch ends when that is deleted, also in bulk", async () => {
  await using app = await startServer();
  await app.post("/tasks", { id: "t", prompt: "x" });
  await app.post("/batches", { id: "b", tasks: [{ prompt: "x" }] });
  await using task = await follow(app.url, "/tasks/t/events");
  await using batch = await follow(app.url, "/batches/b/events");
  await task.until("task.created");
  await batch.until("batch.created");
  await app.del("/tasks/t");
  await task.ended();
  await app.del("/batches/b");
  await batch.ended();
  await app.post("/tasks", { id: "many", prompt: "x" });
  await using other = await follow(app.url, "/tasks/many/events");
  await other.until("task.created");
  const createdBefore = new Date(Date.now() + 1000).toISOString();
  await app.send("DELETE", `/tasks?status=pending&createdBefore=${createdBefore}`);
  await other.ended();
  // At once, and not with the next comment, which follows within ten seconds.
  expect(other.text()).not.toContain("still here");
});
