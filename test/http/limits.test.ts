import { describe, expect, test } from "bun:test";

import { createConnections } from "../../src/http/connections.ts";
import { hang, startProvider } from "../support/provider.ts";
import { startServer, until } from "../support/server.ts";

describe("connections that stay open", () => {
  test("are counted for each key and kind, and given back once", () => {
    const connections = createConnections({ maxStreamsPerKey: 2, maxWaitsPerKey: 1 });
    const first = connections.hold(1, "stream");
    expect(connections.hold(1, "stream")).toBeDefined();
    expect(connections.hold(1, "stream")).toBeUndefined();
    expect(connections.hold(1, "wait")).toBeDefined();
    expect(connections.hold(1, "wait")).toBeUndefined();
    expect(connections.hold(2, "stream")).toBeDefined();
    first?.();
    first?.();
    expect(connections.hold(1, "stream")).toBeDefined();
    expect(connections.hold(1, "stream")).toBeUndefined();
  });

  test("a wait beyond the cap is answered at once, and its task is queued all the same", async () => {
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
