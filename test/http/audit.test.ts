import { describe, expect, test } from "bun:test";

import { nameAction } from "../../src/http/audit.ts";
import { type Json, startServer, until } from "../support/server.ts";

describe("the audit log", () => {
  test("shows who created, changed, executed, revoked and deleted what, the latest first", async () => {
    await using app = await startServer();
    const { id: key } = (await app.post("/api-keys", { name: "k" })).body.data;
    await app.post("/tasks", { id: "t", prompt: "x" }, { "x-request-id": "my-request" });
    await app.patch("/tasks/t", { prompt: "y" });
    await app.post("/tasks/t/execute");
    await app.ended("t");
    const made = await app.post("/tasks?execute=true", { prompt: "z" });
    await app.post("/batches", { id: "b", tasks: [{ prompt: "x" }] });
    await app.post("/batches/b/execute");
    await app.finished("b");
    await app.del("/tasks/t");
    await app.del(`/api-keys/${key}`);
    // Reads and refused requests are not actions.
    await app.get("/tasks");
    await app.post("/tasks", { nonsense: 1 });
    await app.post("/tasks/none/execute");

    const entries = await until(async () => {
      const { data } = (await app.get("/audit?limit=100")).body;
      return data.pagination.total === 9 ? (data.entries as Json[]) : undefined;
    });
    expect(entries.map(({ action, target }) => [action, target]).toReversed()).toEqual([
      ["api-keys.create", key],
      ["tasks.create", "t"],
      ["tasks.update", "t"],
      ["tasks.execute", "t"],
      ["tasks.create", made.body.data.id],
      ["batches.create", "b"],
      ["batches.execute", "b"],
      ["tasks.delete", "t"],
      ["api-keys.delete", key],
    ]);
    const [admin] = (await app.get("/api-keys")).body.data.keys;
    expect(entries.at(-2)).toEqual({
      id: 2,
      time: expect.stringMatching(/^\d{4}-.*Z$/),
      keyId: admin.id,
      action: "tasks.create",
      target: "t",
      requestId: "my-request",
      address: "127.0.0.1",
      options: null,
    });
    expect(entries.at(-5)?.options).toEqual({ execute: "true" });
  });

  test("is searched by key, action, target and time, and read page by page", async () => {
    await using app = await startServer();
    const other = await app.post("/api-keys", { name: "k" });
    for (const name of ["a", "b", "c"])
      await app.patch(`/api-keys/${other.body.data.id}`, { name });
    const find = async (query: string) => (await app.get(`/audit?${query}`)).body.data;
    expect((await find("action=api-keys.update")).pagination.total).toBe(3);
    expect((await find(`target=${other.body.data.id}`)).pagination.total).toBe(4);
    expect((await find(`keyId=${other.body.data.id}`)).pagination.total).toBe(0);
    expect((await find("createdBefore=2020-01-01")).pagination.total).toBe(0);
    const first = await find("limit=3&order=asc");
    const rest = await find(`limit=3&order=asc&cursor=${first.pagination.nextCursor}`);
    expect([...first.entries, ...rest.entries].map(({ id }) => id)).toEqual([1, 2, 3, 4]);
  });

  test("is complete after a stop right after the last answer", async () => {
    await using first = await startServer();
    await first.post("/tasks", { id: "t", prompt: "x" });
    await first.stop();
    await using second = await startServer({ DATA_DIR: first.dir });
    expect((await second.get("/audit?target=t")).body.data.pagination.total).toBe(1);
  });

  test("cannot be rewritten", async () => {
    await using app = await startServer();
    await app.post("/api-keys", { name: "k" });
    const others = "at, key_id, action, target, request_id FROM audit_log";
    for (const sql of [
      "UPDATE audit_log SET target = 'x'",
      "UPDATE OR REPLACE audit_log SET id = id",
      "DELETE FROM audit_log",
      `REPLACE INTO audit_log (id, at, key_id, action, target, request_id) SELECT id, ${others}`,
      `INSERT OR IGNORE INTO audit_log (id, at, key_id, action, target, request_id) SELECT id, ${others}`,
      `INSERT INTO audit_log (id, at, key_id, action, target, request_id) SELECT id, ${others} WHERE true
       ON CONFLICT DO UPDATE SET target = 'x'`,
    ])
      await expect(app.ctx.client.execute(sql)).rejects.toThrow("append-only");
    expect((await app.get("/audit")).body.data.pagination.total).toBe(1);
  });

  test.each([
    ["POST", "/api/v1/tasks", "tasks.create"],
    ["POST", "/api/v1/scheduled-tasks/:id/enable", "scheduled-tasks.enable"],
    ["POST", "/api/v1/webhooks/:id/deliveries/:delivery/replay", "webhooks.deliveries.replay"],
    ["PATCH", "/api/v1/batches/:id", "batches.update"],
    ["POST", "/v1/batches/:id/cancel", "batches.cancel"],
    ["DELETE", "/v1/files/:id", "files.delete"],
  ])("calls %s %s %s", (method, route, action) => {
    expect(nameAction(method, route)).toBe(action);
  });
});
