import { describe, expect, test } from "bun:test";

import { createEndpoints } from "../../src/courier/endpoints.ts";
import { createFanOut } from "../../src/courier/fan-out.ts";
import { listActiveWebhooks } from "../../src/store/webhooks.ts";
import { startServer } from "../support/server.ts";

const BEFORE = ["batch.created"];
const AFTER = ["batch.created", "task.created"];

/** A server without a courier, with an endpoint for `BEFORE`. */
async function startWorld() {
  const app = await startServer({ ROLE: "api" });
  const hook = { url: "https://receiver.example", events: BEFORE };
  const { id } = (await app.post("/webhooks", hook)).body.data;
  return {
    change: (patch: object) => app.patch(`/webhooks/${id}`, patch),
    addTask: () => app.post("/tasks", { prompt: "x" }),
    addBatch: () => app.post("/batches", { tasks: [{ prompt: "x" }] }),
    /** The fan-out of a process that reads the endpoints only when the test says so. */
    async startProcess() {
      const endpoints = createEndpoints();
      const fanOut = createFanOut(app.ctx);
      async function readEndpoints() {
        endpoints.set(await listActiveWebhooks(app.ctx.db));
        fanOut.reset(endpoints.all());
      }
      await readEndpoints();
      return {
        readEndpoints,
        advance: () => fanOut.advance(endpoints.all(), new Map(), 100, async () => {}),
        save: () => fanOut.save(endpoints.all()),
      };
    },
    async deliveries() {
      const { rows } = await app.ctx.client.execute(
        "SELECT type FROM webhook_deliveries ORDER BY event",
      );
      return rows.map((row) => row["type"]);
    },
    [Symbol.asyncDispose]: () => app[Symbol.asyncDispose](),
  };
}

describe("an event of a type that an endpoint has just been given", () => {
  test("is delivered once, though deliveries of later events were made for its former types", async () => {
    await using world = await startWorld();
    const process = await world.startProcess();
    await world.change({ events: AFTER });
    await world.addTask();
    await world.addBatch();
    expect(await process.advance()).toMatchObject({ isOutdated: true });
    expect(await world.deliveries()).toEqual(["batch.created"]);

    await process.readEndpoints();
    expect(await process.advance()).toMatchObject({ isOutdated: false });

    expect(await world.deliveries()).toEqual(["task.created", "batch.created"]);
  });

  test("is delivered, though it was passed over as an event of another type", async () => {
    await using world = await startWorld();
    const process = await world.startProcess();
    await world.change({ events: AFTER });
    await world.addTask();
    await process.advance();
    await process.save();

    await process.readEndpoints();
    await process.advance();

    expect(await world.deliveries()).toEqual(["task.created"]);
  });

  test("is delivered, though a process passed it while the endpoint was not active", async () => {
    await using world = await startWorld();
    const process = await world.startProcess();
    await world.change({ isActive: false });
    await world.addTask();
    await world.addBatch();
    await process.advance();
    await process.save();

    await world.change({ isActive: true, events: AFTER });
    await process.readEndpoints();
    await process.advance();

    expect(await world.deliveries()).toEqual(["task.created", "batch.created"]);
  });
});
