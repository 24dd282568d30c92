import { expect, test } from "bun:test";

import { gate, startProvider } from "../support/provider.ts";
import { startServer, until } from "../support/server.ts";

const wait = { prefer: "wait=20" };

test("waits survive an outage of the database, and end when it is back", async () => {
  const { opened, open } = gate();
  await using provider = await startProvider(async () => {
    await opened;
    return undefined;
  });
  await using app = await startServer(provider.env);
  const waiting = app.post("/tasks?execute=true", { id: "t", prompt: "x" }, wait);
  await until(() => provider.requests.length === 1 || undefined);
  let failures = 0;
  const execute = app.ctx.client.execute.bind(app.ctx.client);
  app.ctx.client.execute = () => {
    failures++;
    return Promise.reject(new Error("the database is away"));
  };
  await until(() => failures >= 2 || undefined);
  app.ctx.client.execute = execute;
  open();
  expect((await waiting).body.data.status).toBe("completed");
});

test("a wait ends at once when its task is cancelled or deleted", async () => {
  await using provider = await startProvider(() => new Promise(() => {}));
  await using app = await startServer(provider.env);
  const waiting = app.post("/tasks?execute=true", { id: "t", prompt: "x" }, wait);
  await until(() => provider.requests.length === 1 || undefined);
  await app.del("/tasks/t?force=true");
  // Deleting cancels first; the answer shows the one or the other.
  const { status, body } = await waiting;
  expect([body.data?.status, status]).toContainEqual(status === 404 ? 404 : "cancelled");
});
