import { describe, expect, test } from "bun:test";

import { createHashTable } from "../../src/lib/hash-table.ts";
import { sha256Hex } from "../../src/lib/hash.ts";
import { temporaryFolder } from "../support/process.ts";
import { fail, startProvider } from "../support/provider.ts";
import { type Json, startServer, type TestServer } from "../support/server.ts";

const prompts = (...texts: string[]) => texts.map((prompt) => ({ prompt }));

async function create(app: TestServer, fields: object): Promise<Json> {
  const { status, body } = await app.post("/batches", {
    ...fields,
    config: { model: "gpt-4", ...(fields as Json).config },
  });
  expect([status, body.error]).toEqual([201, undefined]);
  return body.data;
}

async function run(app: TestServer, id: string, body: object = {}): Promise<Json> {
  expect((await app.post(`/batches/${id}/execute`, body)).status).toBe(200);
  await app.finished(id);
  return (await app.get(`/batches/${id}`)).body.data;
}

describe("a batch with a baseBatch", () => {
  test("reuses the answers to the same requests, once, and sends the rest", async () => {
    await using provider = await startProvider(({ prompt, earlier }, response) =>
      prompt === "refused" && earlier === 0 ? fail(response, 400) : undefined,
    );
    await using app = await startServer(provider.env);
    await create(app, { id: "b1", tasks: prompts("a", "b", "b", "refused") });
    await run(app, "b1");
    const before = provider.requests.length;

    const tasks = prompts("a", "b", "b", "refused", "new", "a");
    expect(await create(app, { id: "b2", baseBatch: "b1", tasks })).toMatchObject({ reused: 4 });
    expect((await app.get("/batches/b2/estimate")).body.data).toMatchObject({
      tasks: 6,
      sampledTasks: 2,
      reused: 4,
    });
    const ended = await run(app, "b2");
    expect(ended).toMatchObject({ baseBatch: "b1", reused: 4, status: "completed" });
    expect(ended.progress).toMatchObject({ completed: 6, cached: 4 });
    expect(provider.requests.slice(before).map(({ prompt }) => prompt)).toEqual(
      expect.arrayContaining(["refused", "new"]),
    );
    expect(provider.requests).toHaveLength(before + 2);
    const [first] = (await app.get("/batches/b2")).body.data.tasks;
    const task = (await app.get(`/tasks/${first.id}`)).body.data;
    expect(task).toMatchObject({ cache: false, result: { content: "re: a", cached: true } });
    expect(task.result.costUsd).toBe(0);

    // A task that is executed again makes a new call. A changed task is a different request.
    await app.post(`/tasks/${first.id}/execute`, {}, { prefer: "wait=20" });
    expect((await app.ended(first.id)).result.cached).toBe(false);
    // A reused answer can be reused again from there.
    expect(await create(app, { id: "b3", baseBatch: "b2", tasks })).toMatchObject({ reused: 6 });
    const changed = (await app.get("/batches/b3")).body.data.tasks[1].id;
    await app.patch(`/tasks/${changed}`, { prompt: "other" });
    const third = await run(app, "b3");
    expect(third.progress).toMatchObject({ completed: 6, cached: 5 });
    expect(third.costUsd).toBeGreaterThan(0);
  });

  test("compares the whole request, and reuses only answers that match the requested output", async () => {
    const good = JSON.stringify({ label: "x" });
    await using provider = await startProvider(() => ({
      choices: [{ message: { role: "assistant", content: good }, finish_reason: "stop" }],
      usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 },
    }));
    await using app = await startServer(provider.env);
    const tasks = prompts("a", "b");
    await create(app, { id: "plain", tasks });
    await create(app, { id: "checked", tasks, config: { output: ["label"] } });
    await Promise.all([run(app, "plain"), run(app, "checked")]);
    const reused = async (baseBatch: string, config: object) =>
      (await create(app, { baseBatch, tasks, config })).reused;
    expect(await reused("plain", {})).toBe(2);
    expect(await reused("plain", { output: ["label"] })).toBe(0);
    expect(await reused("checked", { output: ["label"] })).toBe(2);
    expect(await reused("checked", { output: ["label", "why"] })).toBe(0);
    expect(await reused("checked", {})).toBe(0);
    expect(await reused("plain", { temperature: 0 })).toBe(0);
    expect(await reused("plain", { model: "gpt-4o" })).toBe(0);
  });

  test("reuses the answer of a fallback model only if the same model would be called", async () => {
    await using provider = await startProvider(({ body }) =>
      body.model === "gpt-4"
        ? {
            choices: [{ message: { role: "assistant", content: "cut" }, finish_reason: "length" }],
            usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 },
          }
        : undefined,
    );
    await using app = await startServer(provider.env);
    const tasks = prompts("a");
    const config = { escalateTo: "gpt-4o" };
    await create(app, { id: "b1", tasks, config });
    await run(app, "b1");
    const again = await create(app, { id: "b2", baseBatch: "b1", tasks, config });
    expect(again).toMatchObject({ reused: 1 });
    expect((await run(app, "b2")).progress).toMatchObject({ completed: 1, cached: 1 });
    expect(provider.requests).toHaveLength(2);
    for (const baseBatch of ["b1", "b2"]) {
      expect(await create(app, { baseBatch, tasks })).toMatchObject({ reused: 0 });
      expect(await create(app, { baseBatch, tasks, config })).toMatchObject({ reused: 1 });
    }
  });

  test("sends requests that its base does not answer any more, and reuses nothing in a dry run", async () => {
    await using provider = await startProvider();
    await using app = await startServer(provider.env);
    await create(app, { id: "b1", tasks: prompts("a", "b") });
    expect(await create(app, { baseBatch: "b1", tasks: prompts("a") })).toMatchObject({
      reused: 0,
    });
    await run(app, "b1");
    await create(app, { id: "b2", baseBatch: "b1", tasks: prompts("a", "b") });
    const dry = await run(app, "b2", { isDryRun: true });
    expect(dry.progress).toMatchObject({ completed: 2, cached: 0 });
    expect(await create(app, { baseBatch: "b2", tasks: prompts("a") })).toMatchObject({
      reused: 0,
    });
    await app.del("/batches/b1");
    await create(app, { id: "b3", tasks: prompts("c") });
    await run(app, "b3");
    await create(app, { id: "b4", baseBatch: "b3", tasks: prompts("c", "d") });
    await app.del("/batches/b3");
    expect((await app.get("/batches/b4/estimate")).body.data.reused).toBe(0);
    expect((await run(app, "b4")).progress).toMatchObject({ completed: 2, cached: 0 });
  });

  test("reuses no answers of the simulator if there is a provider", async () => {
    using folder = temporaryFolder();
    const env = { DATA_DIR: folder.path };
    const simulated = await startServer(env);
    await create(simulated, { id: "b1", tasks: prompts("a") });
    await run(simulated, "b1");
    const again = { baseBatch: "b1", tasks: prompts("a") };
    expect(await create(simulated, again)).toMatchObject({ reused: 1 });
    await simulated.stop();
    await using provider = await startProvider();
    await using app = await startServer({ ...env, ...provider.env });
    expect(await create(app, again)).toMatchObject({ reused: 0 });
  });

  test("needs an existing batch other than itself", async () => {
    await using app = await startServer();
    const tasks = prompts("a");
    const none = await app.post("/batches", { tasks, baseBatch: "none" });
    expect([none.status, none.body.error.code]).toEqual([404, "BATCH_NOT_FOUND"]);
    const itself = await app.post("/batches", { id: "b", tasks, baseBatch: "b" });
    expect([itself.status, itself.body.error.details.issues[0].path]).toEqual([400, "baseBatch"]);
  });
});

test("the table of hashes finds the last entry of each key, and nothing else", () => {
  const table = createHashTable();
  for (const round of [1, 2])
    for (let i = 1; i <= 5000; i++) table.set(sha256Hex(`${i}`), { task: i, run: round });
  expect(table.size()).toBe(5000);
  for (let i = 1; i <= 5000; i++) expect(table.get(sha256Hex(`${i}`))).toEqual({ task: i, run: 2 });
  expect(table.get(sha256Hex("0"))).toBeUndefined();
});
