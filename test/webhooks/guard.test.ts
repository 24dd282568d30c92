import { expect, test } from "bun:test";

import { startReceiver } from "../support/receiver.ts";
import { type Json, startServer, until } from "../support/server.ts";

test("an endpoint whose name later resolves to a private address gets nothing, and the record says why", async () => {
  await using receiver = await startReceiver();
  const resolveHost = async () => ["127.0.0.1"];
  await using app = await startServer({}, { resolveHost });
  const url = `http://rebind.example:${receiver.port}/hook`;
  const { body } = await app.post("/webhooks", { url, events: ["task.created"] });
  await app.post("/tasks", { id: "t", prompt: "x" });
  const delivery: Json = await until(async () => {
    const { data } = (await app.get(`/webhooks/${body.data.id}/deliveries`)).body;
    return data.deliveries.find((one: Json) => one.attempts.length > 0);
  });
  expect(delivery).toMatchObject({ status: "pending", responseStatus: null, response: null });
  expect(delivery.error).toContain("rebind.example is a private address");
  expect(receiver.received).toEqual([]);
  const tested = await app.post(`/webhooks/${body.data.id}/test`);
  expect(tested.body.data).toMatchObject({ status: "failed", responseStatus: null });
  expect(receiver.received).toEqual([]);
});

test("private targets are refused when a webhook is created or changed", async () => {
  await using app = await startServer();
  for (const url of [
    "http://127.0.0.1/",
    "http://[::1]/",
    "http://2130706433/",
    "ftp://example.com/",
    "https://u@example.com/",
  ]) {
    const { status, body } = await app.post("/webhooks", { url, events: ["*"] });
    expect([url, status, body.error?.code]).toEqual([url, 400, "VALIDATION_ERROR"]);
    expect(body.error.details.issues[0].path).toBe("url");
  }
  const refused = await app.post("/webhooks", {
    url: "https://example.com/",
    events: ["task.don"],
  });
  expect(refused.body.error.details.issues[0]).toMatchObject({ path: "events.0" });
});
