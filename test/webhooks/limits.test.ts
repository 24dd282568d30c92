import { describe, expect, test } from "bun:test";

import { gate } from "../support/provider.ts";
import { startReceiver } from "../support/receiver.ts";
import { type Json, startServer, type TestServer, until } from "../support/server.ts";

const hook = (url: string) => ({ url, events: ["task.created"] });

describe("webhooks", () => {
  test("never exceed MAX_WEBHOOKS, however many are created at once", async () => {
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

  test("that wait are in the status, also that they wait for long", async () => {
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
    expect(late.reasons.join()).toContain("to be sent for the first time");
    const hooks = (await app.get("/webhooks?limit=100")).body.data.webhooks;
    for (const { id } of hooks.slice(1)) await app.patch(`/webhooks/${id}`, { isActive: false });
    await app.del(`/webhooks/${hooks[1].id}`);
    const held = (await read()).details;
    expect([held.active, held.waitingDeliveries, held.heldDeliveries]).toEqual([1, 20, 760]);
    expect(await miscounted(app)).toEqual([]);
  });

  test("without a process that delivers to them are reported in the status", async () => {
    await using app = await startServer();
    await app.post("/webhooks", hook("https://hooks.invalid/x"));
    await app.runner.stop(0);
    await app.post("/tasks", { prompt: "x" });
    await app.ctx.client.execute("UPDATE events SET at = at - 120000");
    const { details, reasons } = (await app.get("/status/services/webhooks")).body.data;
    expect([details.waitingDeliveries, details.unreadEvents]).toEqual([0, 1]);
    expect(reasons.join()).toContain("to be sent for the first time");
  });

  test("have exact counts of deliveries, also when these fail, are replayed and removed", async () => {
    await using receiver = await startReceiver(({ raw }, response) => {
      if (raw.includes('"bad"')) response.writeHead(500).end();
    });
    await using app = await startServer(receiver.env);
    const { id } = (await app.post("/webhooks", hook(receiver.url))).body.data;
    for (const task of ["good", "bad"]) await app.post("/tasks", { id: task, prompt: "x" });
    const details = async () => (await app.get("/status/services/webhooks")).body.data.details;
    const isOneLeft = async () => {
      const { waitingDeliveries, neverAttempted } = await details();
      return (waitingDeliveries === 1 && neverAttempted === 0) || undefined;
    };
    await until(() => receiver.received.length >= 2 || undefined);
    await until(isOneLeft);
    await app.post(`/webhooks/${id}/replay`, { since: new Date(0).toISOString() });
    await until(() => receiver.received.length >= 3 || undefined);
    await until(isOneLeft);
    expect(await miscounted(app)).toEqual([]);
    await app.del(`/webhooks/${id}`);
    expect(await details()).toMatchObject({ active: 0, waitingDeliveries: 0, heldDeliveries: 0 });
  });

  test("that answer 410 after they were deleted or switched off raise no alert", async () => {
    const held = gate();
    await using receiver = await startReceiver(async (_, response) => {
      await held.opened;
      response.writeHead(410).end();
    });
    await using app = await startServer(receiver.env);
    const [deleted, off, last] = await Promise.all(
      ["deleted", "off", "last"].map(async (name) => {
        const { body } = await app.post("/webhooks", hook(`${receiver.url}/${name}`));
        return body.data.id as string;
      }),
    );
    await app.post("/tasks", { prompt: "x" });
    await until(() => receiver.received.length === 3 || undefined);
    await app.del(`/webhooks/${deleted}`);
    await app.patch(`/webhooks/${off}`, { isActive: false });
    held.open();
    const alerts = async () => (await app.get("/alerts")).body.data.open;
    await until(
      async () => (await alerts()).some(({ subject }: Json) => subject === last) || undefined,
    );
    await app.runner.stop(1000);
    expect((await alerts()).map(({ subject }: Json) => subject)).toEqual([last]);
    expect((await app.get(`/webhooks/${off}`)).body.data.disabledReason).toBeNull();
    expect(await miscounted(app)).toEqual([]);
  });

  test("all get all of many events", async () => {
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

/** Webhooks whose counts of deliveries differ from the deliveries. */
async function miscounted(app: TestServer): Promise<unknown[]> {
  const { rows } = await app.ctx.client.execute(`
    SELECT w.seq, w.waiting, w.retrying, w.replaying, total(d.status = 'pending') AS pending,
           total(d.next_at IS NOT NULL) AS due,
           total(d.status = 'pending' AND d.is_replay AND d.next_at IS NULL) AS again
    FROM webhooks w LEFT JOIN webhook_deliveries d ON d.webhook = w.seq
    GROUP BY w.seq HAVING w.waiting <> pending OR w.retrying <> due
      OR w.replaying <> again`);
  return rows;
}

async function addHooks(app: TestServer, url: string, count: number): Promise<void> {
  for (let i = 0; i < count; i++) await app.post("/webhooks", hook(`${url}/${i}`));
}
