import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { pruneHistory } from "../../src/services/retention.ts";
import { afterRead, beforeRead, beforeWrite } from "../support/interleave.ts";
import { chatAnswer, gate, startProvider } from "../support/provider.ts";
import { type Json, KEY, startServer, type TestServer, until } from "../support/server.ts";
import { follow } from "../support/sse.ts";

/*
 * Requests that others overtake: something changes after a request has read what it decides by, and before it writes.
 */

/** A provider that holds all calls until it is opened. */
async function startHeld() {
  const { opened, open } = gate();
  const provider = await startProvider(async (request) => {
    await opened;
    return chatAnswer(request);
  });
  return { ...provider, open };
}

describe("a batch that gets its tasks after a request has read it", () => {
  let provider: Awaited<ReturnType<typeof startProvider>>;
  let app: TestServer;
  const gates = new Map<string, ReturnType<typeof gate>>();

  beforeAll(async () => {
    provider = await startProvider(async (request) => {
      await gates.get(request.prompt)?.opened;
      return chatAnswer(request);
    });
    app = await startServer(provider.env);
  });
  afterAll(async () => {
    for (const { open } of gates.values()) open();
    expect(await app.differences()).toEqual([]);
    await app[Symbol.asyncDispose]();
    await provider[Symbol.asyncDispose]();
  });

  const batch = async (id: string): Promise<Json> => (await app.get(`/batches/${id}`)).body.data;

  /** A batch that waits for another, to start with its answers. It gets its tasks before the next move is written. */
  async function givenWaiting(id: string): Promise<void> {
    const [first, second] = [gate(), gate()];
    gates.set(`${id} first`, first).set(`${id} second`, second);
    await app.post("/batches", { id: `${id}-input`, tasks: [{ prompt: `${id} first` }] });
    const config = { promptTemplate: `${id} second` };
    await app.post("/batches", { id, inputBatch: `${id}-input`, config });
    await app.post(`/batches/${id}/execute`);
    await app.post(`/batches/${id}-input/execute`);
    beforeWrite(app, ["moved"], async () => {
      first.open();
      await until(async () => (await batch(id)).status === "running" || undefined);
    });
  }

  test("is changed", async () => {
    await givenWaiting("changed");
    const { status, body } = await app.patch("/batches/changed", { maxCostUsd: 7 });
    expect([status, body.data.config.maxCostUsd]).toEqual([200, 7]);
  });

  test("is paused", async () => {
    await givenWaiting("paused");
    const { status, body } = await app.post("/batches/paused/pause");
    expect([status, body.data.status]).toEqual([200, "paused"]);
  });

  test("is cancelled", async () => {
    await givenWaiting("cancelled");
    const { status, body } = await app.post("/batches/cancelled/cancel");
    expect([status, body.data.status]).toEqual([200, "cancelled"]);
  });

  test("is deleted with force", async () => {
    await givenWaiting("deleted");
    expect((await app.del("/batches/deleted?force=true")).status).toBe(200);
    expect((await app.get("/batches/deleted")).status).toBe(404);
  });
});

describe("a task", () => {
  test("is deleted with force although it begins after the request has read it", async () => {
    await using provider = await startHeld();
    await using app = await startServer(provider.env);
    await app.post("/tasks", { id: "t", prompt: "x" });
    beforeWrite(app, ["deleted"], async () => {
      await app.post("/tasks/t/execute");
      await until(() => provider.requests.length > 0 || undefined);
    });
    expect((await app.del("/tasks/t?force=true")).status).toBe(200);
    expect((await app.get("/tasks/t")).status).toBe(404);
    provider.open();
  });

  test("ends the batch that it is the last open one of, and that it was moved to", async () => {
    await using provider = await startHeld();
    await using app = await startServer(provider.env);
    await app.post("/tasks", { id: "last", prompt: "x", batchId: "b" });
    beforeWrite(app, ["deleted"], async () => {
      const tasks = [
        { prompt: "y", priority: "high" },
        { id: "last", prompt: "x" },
      ];
      await app.post("/batches", { id: "b", tasks, config: { maxConcurrency: 1 } });
      await app.post("/batches/b/execute");
      await until(() => provider.requests.length > 0 || undefined);
      await app.post("/batches/b/pause");
      provider.open();
      await until(
        async () => (await app.get("/batches/b")).body.data.progress.completed === 1 || undefined,
      );
    });
    expect((await app.del("/tasks/last")).status).toBe(200);
    const { status, progress } = (await app.get("/batches/b")).body.data;
    expect([status, progress.total]).toEqual(["completed", 1]);
  });

  test("that is executed while its cancellation is answered is called once more, not aborted", async () => {
    await using provider = await startHeld();
    await using app = await startServer(provider.env);
    await app.post("/tasks?execute=true", { id: "t", prompt: "x" });
    await until(() => provider.requests.length === 1 || undefined);
    // The next read of the task is that of the answer.
    beforeWrite(app, ["cancelled"], async () =>
      beforeRead(app, "task_inputs", async () => {
        await app.post("/tasks/t/execute");
        await until(() => provider.requests.length === 2 || undefined);
      }),
    );
    await app.post("/tasks/t/cancel");
    provider.open();
    await app.ended("t");
    const { status, attempts } = (await app.get("/tasks/t")).body.data;
    expect([status, attempts, provider.requests.length]).toEqual(["completed", 1, 2]);
  });
});

test("an old upload stays if a schedule begins to read it while others are removed", async () => {
  await using app = await startServer({ FILE_RETENTION_DAYS: "2", ROLE: "api" });
  const form = new FormData();
  form.append("file", new Blob(["prompt\nx\n"]), "in.csv");
  const headers = { authorization: `Bearer ${KEY}` };
  const answer = await fetch(`${app.url}/api/v1/files`, { method: "POST", headers, body: form });
  const { id } = ((await answer.json()) as Json).data;
  beforeWrite(app, ["loose"], () =>
    app.post("/scheduled-tasks", { name: "s", schedule: "@daily", inputFile: id }),
  );
  await app.ctx.client.execute("UPDATE files SET created_at = 1");
  await pruneHistory(app.ctx);
  expect((await app.get(`/files/${id}/content`)).text).toBe("prompt\nx\n");
});

test("an output file that was written too late, maybe over a newer one, is written again", async () => {
  await using app = await startServer();
  const { fileStore, client } = app.ctx;
  const write = fileStore.write.bind(fileStore);
  let writes = 0;
  fileStore.write = async (...args) => {
    await write(...args);
    if (++writes > 1) return;
    // As if the batch had run again, and another process had written the answers of that run.
    writeFileSync(join(app.filesDir, "out.csv"), "old");
    await client.execute("UPDATE batches SET output_status = 'written', output_owner = NULL");
  };
  await app.post("/batches", { id: "b", outputFile: "out.csv", tasks: [{ prompt: "x" }] });
  await app.post("/batches/b/execute");
  await until(() => writes === 2 || undefined);
  await until(
    async () => (await app.get("/batches/b")).body.data.output.status === "written" || undefined,
  );
  expect(await Bun.file(join(app.filesDir, "out.csv")).text()).toContain("prompt");
});

test("the stream of a task that ends after the request has read it reports the end", async () => {
  await using provider = await startHeld();
  await using app = await startServer(provider.env);
  // Another stream, so that the log is being read.
  await using other = await follow(app.url, "/events");
  await app.post("/tasks?execute=true", { id: "t", prompt: "x" });
  await until(() => provider.requests.length > 0 || undefined);
  afterRead(app, "task_inputs", async () => {
    provider.open();
    await other.until("task.completed");
  });
  const stream = await follow(app.url, "/tasks/t/events?since=now");
  await stream.until("task.completed");
  await stream.ended();
});
