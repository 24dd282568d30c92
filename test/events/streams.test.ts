import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { connect } from "node:net";

import type { InStatement } from "@libsql/client";

import { createEventHub } from "../../src/services/event-hub.ts";
import { startProcess, temporaryFolder } from "../support/process.ts";
import { gate, startProvider } from "../support/provider.ts";
import { client, type Json, startServer, type TestServer, until } from "../support/server.ts";
import { follow } from "../support/sse.ts";

setDefaultTimeout(60_000);

const many = (count: number) => Array.from({ length: count }, (_, i) => ({ prompt: `p${i}` }));

/** The ids of the log, in the order of their commits. */
async function logged(
  app: { ctx: { client: { execute(sql: string): Promise<Json> } } },
  where = "1",
) {
  const { rows } = await app.ctx.client.execute(`SELECT id FROM events WHERE ${where} ORDER BY id`);
  return rows.map(({ id }: { id: number }) => id);
}

describe("the stream of everything", () => {
  test("begins with the reconnect delay, and reports a task's life with ids, types and small bodies", async () => {
    await using app = await startServer();
    await using stream = await follow(app.url, "/events");
    expect(stream.response.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
    await app.post("/tasks?execute=true", { id: "t", prompt: "a long prompt".repeat(100) });
    await stream.until("task.completed");
    expect(stream.text()).toStartWith("retry: 2000\n\n");
    expect(stream.reported.map(({ event, data }) => [event, data])).toEqual([
      [
        "task.created",
        {
          type: "task.created",
          timestamp: expect.any(String),
          data: { taskId: "t", status: "pending" },
        },
      ],
      [
        "task.started",
        {
          type: "task.started",
          timestamp: expect.any(String),
          data: { taskId: "t", executionId: "exec-000000001-1", status: "running" },
        },
      ],
      [
        "task.completed",
        {
          type: "task.completed",
          timestamp: expect.any(String),
          data: { taskId: "t", executionId: "exec-000000001-1", status: "completed" },
        },
      ],
    ]);
    expect(stream.ids()).toEqual(await logged(app));
  });

  test("begins with the next event, or after the given id", async () => {
    await using app = await startServer();
    await app.post("/tasks", { id: "before", prompt: "x" });
    await using fresh = await follow(app.url, "/events");
    await using whole = await follow(app.url, "/events?since=0");
    await app.post("/tasks", { id: "after", prompt: "x" });
    await until(() => whole.reported.length === 2 || undefined);
    await until(() => fresh.reported.length === 1 || undefined);
    expect(fresh.reported[0]?.data.data.taskId).toBe("after");
    await using resumed = await follow(app.url, "/events?since=0", {
      headers: { "last-event-id": String(whole.ids()[0]) },
    });
    await until(() => resumed.reported.length === 1 || undefined);
    expect(resumed.ids()).toEqual(fresh.ids());
  });

  test("can be narrowed by type, pattern, task and batch", async () => {
    await using app = await startServer();
    await app.post("/batches", { id: "b", tasks: many(3) });
    await app.post("/batches/b/execute");
    await app.finished("b");
    await app.post("/tasks?execute=true", { id: "t", prompt: "x" });
    await app.ended("t");
    const reported = async (query: string, count: number) => {
      await using stream = await follow(app.url, `/events?since=0&${query}`);
      await until(() => stream.reported.length >= count || undefined);
      return stream.types();
    };
    expect(await reported("types=batch.created,batch.finished", 2)).toEqual([
      "batch.created",
      "batch.completed",
    ]);
    expect(await reported("types=task.*&taskId=t", 3)).toEqual([
      "task.created",
      "task.started",
      "task.completed",
    ]);
    expect(new Set(await reported("batchId=b&types=task.completed", 3))).toEqual(
      new Set(["task.completed"]),
    );
    const refused = await app.get("/events?types=task.compleated");
    expect(refused.status).toBe(400);
    expect(refused.body.error.message).toContain("did you mean task.completed?");
    expect((await app.get("/events?since=x")).status).toBe(400);
  });

  test("changes from stored to live events without gap or repeat while the log grows", async () => {
    await using app = await startServer({ MAX_CONCURRENCY: "32" });
    await app.post("/batches", { id: "b", tasks: many(3000) });
    await app.post("/batches/b/execute");
    const streams = [];
    for (let i = 0; i < 12; i++) {
      streams.push(await follow(app.url, "/events?since=0"));
      await Bun.sleep(20);
    }
    await app.finished("b");
    const ids = await logged(app);
    expect(ids.length).toBeGreaterThan(6000);
    for (const stream of streams) {
      await until(() => stream.lastId() >= (ids.at(-1) ?? 0) || undefined);
      expect(stream.ids()).toEqual(ids);
      await stream.close();
    }
  });

  test("resumes after kill -9 at the reader's position", async () => {
    using folder = temporaryFolder();
    const env = { DATA_DIR: folder.path, SIMULATOR_LATENCY_MS: "20", MAX_CONCURRENCY: "8" };
    await using app = await startProcess(env);
    await app.post("/batches", { id: "b", tasks: many(200) });
    const before = await follow(app.url ?? "", "/events?since=0&types=task.completed");
    await app.post("/batches/b/execute");
    await until(() => before.reported.length > 50 || undefined);
    await app.kill("SIGKILL");
    await before.ended();

    await using again = await startProcess(env);
    await using after = await follow(again.url ?? "", "/events?types=task.completed", {
      headers: { "last-event-id": String(before.lastId()) },
    });
    await again.finished("b");
    await until(() => before.reported.length + after.reported.length >= 200 || undefined);
    const tasks = [...before.reported, ...after.reported].map(({ data }) => data.data.taskId);
    expect(tasks).toHaveLength(200);
    expect(new Set(tasks).size).toBe(200);
    expect(after.ids()[0]).toBeGreaterThan(before.lastId());
  });

  test("of a slow reader has a bounded buffer, and catches up from the log", async () => {
    await using app = await startServer({ MAX_CONCURRENCY: "32" });
    const socket = connect(Number(new URL(app.url).port), "127.0.0.1");
    socket.write(
      "GET /api/v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer test-key\r\n\r\n",
    );
    await new Promise((resolve) => socket.once("data", resolve));
    socket.pause();
    // Far more than the buffers of the sockets and the stream hold together.
    const big = "x".repeat(100);
    for (let round = 0; round < 40; round++)
      await app.ctx.writer.write({
        alerts: Array.from({ length: 250 }, () => ({
          sql: "INSERT INTO events (at, type, data) VALUES (?, 'system.alert', ?)",
          args: [Date.now(), JSON.stringify({ code: big.repeat(10) })],
        })),
      });
    app.ctx.signals.emit("events", undefined);
    await until(() => app.runner.hub.size() === 1 || undefined);
    let text = "";
    socket.setEncoding("utf8");
    socket.on("data", (piece: string) => (text += piece));
    socket.resume();
    await until(() => text.split("\nid: ").length >= 10_001 || undefined);
    const ids = [...text.matchAll(/^id: (\d+)$/gm)].map(([, id]) => Number(id));
    expect(ids).toEqual(await logged(app));
    socket.destroy();
    await until(() => app.runner.hub.size() === 0 || undefined);
  });
});

test("an idle stream gets comments", async () => {
  await using app = await startServer();
  const hub = createEventHub(app.ctx, { pingMs: 5 });
  const body = await hub.open({}, undefined, {
    signal: new AbortController().signal,
    release: () => undefined,
  });
  const reader = body.getReader();
  let text = "";
  while (text.split(": still here\n\n").length < 4)
    text += new TextDecoder().decode((await reader.read()).value);
  await reader.cancel();
  expect(hub.size()).toBe(0);
});

describe("the stream of a task", () => {
  test("has past events, the pieces of the answer in order, and ends with the task; then 204", async () => {
    const text = "One two three four five six seven.";
    await using app = await startServer({ SIMULATOR_LATENCY_MS: "1000" });
    await app.post("/tasks", { id: "t", prompt: text, parameters: { stream: true } });
    await using stream = await follow(app.url, "/tasks/t/events");
    await app.post("/tasks/t/execute");
    await stream.ended();
    const types = stream.types();
    expect(types.slice(0, 2)).toEqual(["task.created", "task.started"]);
    expect(types.at(-1)).toBe("task.completed");
    const pieces = stream.reported.filter(({ event }) => event === "task.delta");
    expect(pieces.length).toBeGreaterThan(1);
    expect(pieces.every(({ id }) => id === undefined)).toBe(true);
    let length = 0;
    for (const { data } of pieces) {
      expect(data.data).toMatchObject({ taskId: "t", offset: length });
      length += data.data.text.length;
    }
    const { result } = await app.ended("t");
    expect(pieces.map(({ data }) => data.data.text).join("")).toBe(result.content);

    await using again = await follow(app.url, "/tasks/t/events");
    await again.ended();
    expect(again.types()).toEqual(["task.created", "task.started", "task.completed"]);
    const over = await follow(app.url, "/tasks/t/events", {
      headers: { "last-event-id": String(again.lastId()) },
    });
    expect(over.status).toBe(204);
    expect((await follow(app.url, "/tasks/nobody/events")).status).toBe(404);
  });

  test("continues if a finished task is executed again", async () => {
    await using app = await startServer();
    await app.post("/tasks?execute=true", { id: "t", prompt: "x" });
    await app.ended("t");
    await using first = await follow(app.url, "/tasks/t/events");
    await first.ended();
    await app.post("/tasks/t/execute");
    await using second = await follow(app.url, "/tasks/t/events", {
      headers: { "last-event-id": String(first.lastId()) },
    });
    await second.ended();
    expect(second.types()).toEqual(["task.started", "task.completed"]);
  });
});

describe("the stream of a batch", () => {
  test("reports its tasks, its end, and progress at most twice a second; then 204", async () => {
    await using app = await startServer({ SIMULATOR_LATENCY_MS: "10", MAX_CONCURRENCY: "4" });
    await app.post("/batches", { id: "b", tasks: many(300) });
    await using stream = await follow(app.url, "/batches/b/events");
    await using brief = await follow(app.url, "/batches/b/events?types=batch.*");
    const begun = Date.now();
    await app.post("/batches/b/execute");
    await Promise.all([stream.ended(), brief.ended()]);
    const seconds = (Date.now() - begun) / 1000;
    expect(stream.types().filter((type) => type === "task.completed")).toHaveLength(300);
    expect(brief.types()[0]).toBe("batch.created");
    expect(brief.types().at(-1)).toBe("batch.completed");
    expect(brief.types().some((type) => type.startsWith("task."))).toBe(false);
    const progress = brief.reported.filter(({ event }) => event === "batch.progress");
    expect(progress.length).toBeGreaterThan(0);
    expect(progress.length).toBeLessThanOrEqual(2 * seconds + 2);
    expect(brief.reported.at(-1)?.data.data).toMatchObject({
      batchId: "b",
      status: "completed",
      total: 300,
      completed: 300,
    });
    const over = await follow(app.url, "/batches/b/events?types=batch.*", {
      headers: { "last-event-id": String(brief.lastId()) },
    });
    expect(over.status).toBe(204);
  });
});

describe("the reader of the log", () => {
  /** Passes reads of the event log through `on`. */
  function intercept(
    app: TestServer,
    on: (sql: string, read: () => Promise<Json>) => Promise<Json>,
  ) {
    const execute = app.ctx.client.execute.bind(app.ctx.client);
    const through: typeof execute = (statement: InStatement) => {
      const sql = typeof statement === "string" ? statement : statement.sql;
      const read = () => execute(statement);
      return sql.includes("FROM events") ? on(sql, read) : read();
    };
    app.ctx.client.execute = through;
    return () => (app.ctx.client.execute = execute);
  }

  test("counts no stream whose first read has failed, and opens the next one", async () => {
    await using app = await startServer();
    const restore = intercept(app, () => Promise.reject(new Error("the database is away")));
    for (let i = 0; i < 2; i++)
      expect((await app.get("/events")).status).toBeGreaterThanOrEqual(500);
    restore();
    expect(app.runner.hub.size()).toBe(0);
    await using stream = await follow(app.url, "/events");
    await app.post("/tasks", { id: "t", prompt: "x" });
    await stream.until("task.created");
  });

  test("does not move back if a read ends after it has slept and woken", async () => {
    await using app = await startServer();
    const first = await follow(app.url, "/events");
    const [held, released] = [gate(), gate()];
    const restore = intercept(app, async (sql, read) => {
      const page = await read();
      if (!sql.includes("LIMIT") || page.rows.length === 0) return page;
      held.open();
      await released.opened;
      return page;
    });
    await app.post("/tasks", { id: "a", prompt: "x" });
    await held.opened;
    restore();
    await first.close();
    await until(() => app.runner.hub.size() === 0 || undefined);
    await app.post("/tasks", { id: "b", prompt: "x" });
    await using second = await follow(app.url, "/events");
    released.open();
    await app.post("/tasks", { id: "c", prompt: "x" });
    await second.until("task.created");
    expect(second.reported.map(({ data }) => data.data.taskId)).toEqual(["c"]);
  });
});

describe("stream tokens", () => {
  test("open only streams, for a minute and within their filter", async () => {
    await using app = await startServer();
    await app.post("/tasks?execute=true", { id: "t", prompt: "x" });
    await app.ended("t");
    const made = await app.post("/events/token", { taskId: "t", types: ["task.*"] });
    expect(made.status).toBe(201);
    const { token, expiresAt } = made.body.data;
    expect(Date.parse(expiresAt) - Date.now()).toBeLessThanOrEqual(60_000);
    const anonymous = client(app.url, "");
    await using stream = await follow(app.url, `/events?since=0&access_token=${token}`, {
      key: "",
    });
    await until(() => stream.reported.length >= 3 || undefined);
    expect(stream.reported.every(({ data }) => data.data.taskId === "t")).toBe(true);
    await using own = await follow(app.url, `/tasks/t/events?access_token=${token}`, { key: "" });
    await own.ended();
    expect(own.types().at(-1)).toBe("task.completed");

    const status = async (path: string) => (await anonymous.get(path)).status;
    expect(await status(`/events?taskId=other&access_token=${token}`)).toBe(403);
    expect(await status(`/events?types=batch.*&access_token=${token}`)).toBe(400);
    expect(await status(`/tasks/other/events?access_token=${token}`)).toBe(403);
    expect(await status(`/tasks?access_token=${token}`)).toBe(401);
    expect(await status(`/tasks/t?access_token=${token}`)).toBe(401);
    expect(await status(`/events?access_token=test-key`)).toBe(401);
    await app.ctx.client.execute("UPDATE stream_tokens SET expires_at = 0");
    expect(await status(`/tasks/t/events?access_token=${token}`)).toBe(401);
  });
});

describe("stopping", () => {
  test("reports the last results, and when to reconnect", async () => {
    using folder = temporaryFolder();
    await using provider = await startProvider(() => Bun.sleep(300) as Promise<undefined>);
    await using app = await startProcess({ DATA_DIR: folder.path, ...provider.env });
    await using stream = await follow(app.url ?? "", "/events");
    await app.post("/tasks?execute=true", { id: "t", prompt: "x" });
    await stream.until("task.started");
    expect(await app.kill("SIGTERM")).toBe(0);
    await stream.ended();
    expect(stream.types()).toContain("task.completed");
    expect(stream.text()).toEndWith("retry: 1000\n\n: the server stops; come back\n\n");
  });
});
