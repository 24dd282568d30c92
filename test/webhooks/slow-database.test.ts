import { expect, test } from "bun:test";

import { drizzle } from "drizzle-orm/libsql";

import { createCourier } from "../../src/courier/courier.ts";
import { startReceiver } from "../support/receiver.ts";
import { startServer, until } from "../support/server.ts";

test("a delivery that ends while a read of the database returns is not repeated", async () => {
  let answers = 0;
  await using receiver = await startReceiver(() => Bun.sleep(5 + (answers++ % 10) * 5));
  await using app = await startServer({ ...receiver.env, ROLE: "api" });
  const { client } = app.ctx;
  // As over a network: the result of a read is some milliseconds old when it arrives.
  const late = {
    ...client,
    execute: async (...args: Parameters<typeof client.execute>) => {
      const result = await client.execute(...args);
      await Bun.sleep(15);
      return result;
    },
  };
  const ctx = { ...app.ctx, db: drizzle({ client: late, casing: "snake_case" }) };
  await app.post("/webhooks", { url: receiver.url, events: ["task.created"] });
  for (let i = 0; i < 60; i++) await app.post("/tasks", { prompt: `p${i}` });
  const courier = createCourier(ctx);
  courier.start();
  const reported = () => new Set(receiver.received.map(({ body }) => body.data.taskId)).size;
  await until(() => reported() === 60 || undefined);
  await courier.stop(1000);
  expect(receiver.received).toHaveLength(60);
});

test("outcomes that are not stored yet take no slots, and are not sent again", async () => {
  await using receiver = await startReceiver();
  await using app = await startServer({ ...receiver.env, ROLE: "api" });
  const stored = Promise.withResolvers<void>();
  const { writer } = app.ctx;
  const late: typeof writer = {
    ...writer,
    async carryOut(plan) {
      await stored.promise;
      return writer.carryOut(plan);
    },
  };
  const { body } = await app.post("/webhooks", { url: receiver.url, events: ["task.created"] });
  const list = `/webhooks/${body.data.id}/deliveries?status=delivered&limit=1`;
  const delivered = async () => (await app.get(list)).body.data.pagination.total;
  for (let i = 0; i < 20; i++) await app.post("/tasks", { prompt: `p${i}` });

  const courier = createCourier({ ...app.ctx, writer: late }, { perEndpoint: 2 });
  courier.start();
  await until(() => receiver.received.length === 20 || undefined);
  expect(await delivered()).toBe(0);

  stored.resolve();
  await until(async () => (await delivered()) === 20 || undefined);
  await courier.stop(1000);
  expect(new Set(receiver.received.map(({ body: event }) => event.data.taskId)).size).toBe(20);
  expect(receiver.received).toHaveLength(20);
});
