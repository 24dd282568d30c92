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
