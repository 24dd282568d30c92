import { describe, expect, test } from "bun:test";

import { startReceiver } from "../support/receiver.ts";
import { client, KEY, startServer, type TestServer, until } from "../support/server.ts";

const hook = (url: string) => ({ url, events: ["task.created"] });

async function upload(url: string, key: string, bytes: number) {
  const form = new FormData();
  form.append("file", new Blob(["x".repeat(bytes)]), "a.csv");
  const answer = await fetch(`${url}/api/v1/files`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}` },
    body: form,
  });
  return { status: answer.status, body: await answer.json() };
}

describe("webhooks", () => {
  test("there are no more than MAX_WEBHOOKS of them, however many are asked for at once", async () => {
    await using app = await startServer({ MAX_WEBHOOKS: "3" });
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => app.post("/webhooks", hook("https://example.com/x"))),
    );
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(3);
    const refused = answers.find(({ status }) => status !== 201);
    expect([refused?.status, refused?.body.error.code]).toEqual([409, "LIMIT_REACHED"]);
    const [one] = (await app.get("/webhooks")).body.data.webhooks;
    await app.del(`/webhooks/${one.id}`);
    expect((await app.post("/webhooks", hook("https://example.com/y"))).status).toBe(201);
  });

  test("the status tells what waits, and that it waits for long", async () => {
    await using app = await startServer({ MAX_WEBHOOKS: "0" });
    for (let i = 0; i < 40; i++) await app.post("/webhooks", hook(`https://hooks.invalid/${i}`));
    for (let i = 0; i < 20; i++) await app.post("/tasks", { prompt: "x" });
    const read = async () => (await app.get("/status/services/webhooks")).body.data;
    const busy = await until(async () => {
      const status = await read();
      return status.details.waitingDeliveries === 800 ? status : undefined;
    });
    expect(busy.details.active).toBe(40);
    await app.ctx.client.execute(
      "UPDATE webhook_deliveries SET at = at - 120000 WHERE status = 'pending'",
    );
    const late = await read();
    expect(late.details.oldestAge).toBeGreaterThan(100);
    expect(late.reasons.join()).toContain("for its first attempt");
  });

  test("many of them get all of many events", async () => {
    await using receiver = await startReceiver();
    await using app = await startServer({
      MAX_WEBHOOKS: "0",
      ...receiver.env,
    });
    await addHooks(app, receiver.url, 50);
    for (let i = 0; i < 30; i++) await app.post("/tasks", { prompt: "x" });
    await until(() => receiver.received.length === 1500 || undefined);
    const ids = new Set(receiver.received.map(({ headers }) => headers["webhook-id"]));
    expect(ids.size).toBe(1500);
  });
});

async function addHooks(app: TestServer, url: string, count: number): Promise<void> {
  for (let i = 0; i < count; i++) await app.post("/webhooks", hook(`${url}/${i}`));
}

test("uploads take no more than was set, for a key and in all", async () => {
  await using app = await startServer({
    MAX_STORED_BYTES: "5000",
    MAX_STORED_BYTES_PER_KEY: "3000",
  });
  const other = (await app.post("/api-keys", { name: "k" })).body.data.key;
  const first = await upload(app.url, KEY, 2000);
  expect(first.status).toBe(201);
  const more = await upload(app.url, KEY, 2000);
  expect([more.status, more.body.error.code]).toEqual([409, "LIMIT_REACHED"]);
  expect(more.body.error.message).toContain("MAX_STORED_BYTES_PER_KEY");
  expect((await upload(app.url, other, 2900)).status).toBe(201);
  const all = await upload(app.url, KEY, 500);
  expect(all.body.error.message).toContain("(MAX_STORED_BYTES)");
  await client(app.url).del(`/files/${first.body.data.id}`);
  expect((await upload(app.url, KEY, 500)).status).toBe(201);
});
