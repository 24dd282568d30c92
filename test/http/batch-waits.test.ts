import { expect, test } from "bun:test";

import { chatAnswer, startProvider } from "../support/provider.ts";
import { startServer, until } from "../support/server.ts";

const wait = { prefer: "wait=30" };

async function givenBatch(more: object = {}) {
  let release = () => {};
  const isReleased = new Promise<void>((resolve) => (release = resolve));
  const upstream = await startProvider(async (request) => {
    if (!request.prompt?.startsWith("soon")) await isReleased;
    return chatAnswer(request);
  });
  const app = await startServer(upstream.env);
  const tasks = ["soon a", "b", "c"].map((prompt) => ({ prompt }));
  await app.post("/batches", { id: "b", tasks, ...more });
  return {
    app,
    upstream,
    release,
    async [Symbol.asyncDispose]() {
      await app[Symbol.asyncDispose]();
      await upstream[Symbol.asyncDispose]();
    },
  };
}

test("executing a batch with Prefer: wait answers when it has ended", async () => {
  await using world = await givenBatch();
  const { app, upstream, release } = world;
  const executing = app.post("/batches/b/execute", {}, wait);
  await until(() => upstream.requests.length === 3 || undefined);
  const reading = app.get("/batches/b", wait);
  const first = await Promise.race([executing, reading, Bun.sleep(200).then(() => "neither")]);
  expect(first).toBe("neither");
  release();
  const executed = await executing;
  expect(executed.body.data).toMatchObject({
    status: "completed",
    executionId: expect.any(String),
  });
  expect(executed.headers.get("preference-applied")).toBe("wait=30");
  const read = await reading;
  expect(read.body.data).toMatchObject({ status: "completed", progress: { completed: 3 } });
  expect(read.headers.get("preference-applied")).toBe("wait=30");
});

test("a batch that has not ended in time is returned as it is, without Preference-Applied", async () => {
  await using world = await givenBatch();
  const { app, release } = world;
  const executed = await app.post("/batches/b/execute", {}, { prefer: "wait=1" });
  expect(executed.body.data).toMatchObject({ status: "running" });
  expect(executed.headers.get("preference-applied")).toBeNull();
  const paused = app.get("/batches/b", wait);
  await app.post("/batches/b/pause");
  expect((await paused).body.data).toMatchObject({ status: "paused" });
  release();
});

test("the wait covers a pilot, although its batch stays pending", async () => {
  await using world = await givenBatch();
  const { app, release } = world;
  const { body } = await app.post("/batches/b/execute", { limit: 1 }, wait);
  expect(body).toMatchObject({ message: "Pilot executed", data: { status: "pending", rows: 1 } });
  expect((await app.get("/batches/b")).body.data.progress).toMatchObject({ completed: 1 });
  release();
});

test("the wait covers a batch that waits for the rows of another", async () => {
  await using world = await givenBatch();
  const { app, release } = world;
  await app.post("/batches", {
    id: "c",
    inputBatch: "b",
    config: { promptTemplate: "soon {{result}}" },
  });
  const chained = app.post("/batches/c/execute", {}, wait);
  await app.post("/batches/b/execute");
  release();
  expect((await chained).body.data.status).toBe("completed");
});
