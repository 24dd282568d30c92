import { afterAll, beforeAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { startProvider } from "../support/provider.ts";
import { type Json, startServer, type TestServer } from "../support/server.ts";

let provider: Awaited<ReturnType<typeof startProvider>>;
let app: TestServer;
beforeAll(async () => {
  provider = await startProvider(({ prompt }, response) => {
    if (prompt.startsWith("fail")) {
      response.writeHead(400, { "content-type": "application/json" });
      response.end(JSON.stringify({ error: { message: "no" } }));
      return undefined;
    }
    if (!prompt.startsWith("judge")) return undefined;
    const content = JSON.stringify({ label: prompt.endsWith("bad") ? "spam" : "ham" });
    const message = { role: "assistant", content };
    return { choices: [{ index: 0, message, finish_reason: "stop" }] };
  });
  app = await startServer(provider.env);
  writeFileSync(join(app.filesDir, "first.csv"), "id,prompt\na,judge bad\nb,judge good\nc,fail\n");
  const config = { output: ["label"], maxRetries: 0 };
  await app.post("/batches", { id: "first", inputFile: "first.csv", config });
  await app.post("/batches/first/execute");
  await app.finished("first");
});
afterAll(async () => {
  await app[Symbol.asyncDispose]();
  await provider[Symbol.asyncDispose]();
});

const promptTemplate = "reply to {{id}}: {{label}}";

test("rows and answers of a batch that has ended are the variables of another", async () => {
  const config = { promptTemplate, onlyIf: "{{label}} == 'spam'" };
  const made = await app.post("/batches", { id: "second", inputBatch: "first", config });
  expect([made.status, made.body.data.taskCount]).toEqual([201, 3]);
  const second: Json = (await app.get("/batches/second")).body.data;
  expect(second.inputBatch).toBe("first");
  expect(second.input).toMatchObject({
    format: "batch",
    columns: ["id", "prompt", "label"],
    rows: 3,
  });
  expect(second.progress).toMatchObject({ pending: 1, skipped: 2 });
  const task: Json = (await app.get(`/tasks/${second.tasks[0].id}`)).body.data;
  expect(task.prompt).toBe("reply to a: spam");

  await app.post("/batches/second/execute");
  expect((await app.finished("second")).status).toBe("completed");
  const third = { promptTemplate: "{{result}}" };
  await app.post("/batches", { id: "third", inputBatch: "second", config: third });
  const progress: Json = (await app.get("/batches/third")).body.data.progress;
  expect(progress).toMatchObject({ total: 3, pending: 1, skipped: 2 });
  const rows = (await app.get("/batches/third/results?format=input")).text.split(/\r?\n/);
  expect(rows[0]).toBe("original_id,prompt,label,result");
});

test("batches that cannot be chained are refused, and nothing is created", async () => {
  await app.post("/batches", {
    id: "vain",
    tasks: [{ prompt: "fail" }],
    config: { maxRetries: 0 },
  });
  await app.post("/batches/vain/execute");
  await app.finished("vain");
  const config = { promptTemplate: "{{result}}" };
  for (const [inputBatch, status, why] of [
    ["refused", 400, "cannot be the input of itself"],
    ["nowhere", 404, "no batch with id nowhere"],
    ["vain", 400, "has no answers"],
  ] as const) {
    const made = await app.post("/batches", { id: "refused", inputBatch, config });
    expect([inputBatch, made.status]).toEqual([inputBatch, status]);
    expect(made.text).toContain(why);
  }
  for (const wrong of [
    { config: { promptTemplate: "{{colour}}" } },
    { config: {} },
    { config, inputFile: "first.csv" },
    { config: { ...config, csv: { header: false } } },
  ])
    expect(
      (await app.post("/batches", { id: "refused", inputBatch: "first", ...wrong })).status,
    ).toBe(400);
  expect((await app.get("/batches/refused")).status).toBe(404);
});

test("deleting or retrying the input batch later changes nothing in the batch that was made from it", async () => {
  await app.post("/batches", { id: "gone", tasks: [{ prompt: "x" }] });
  await app.post("/batches/gone/execute");
  await app.finished("gone");
  const config = { promptTemplate: "{{prompt}}{{result}}" };
  await app.post("/batches", { id: "left", inputBatch: "gone", config });
  expect((await app.del("/batches/gone")).status).toBe(200);
  await app.post("/batches/left/execute");
  expect((await app.finished("left")).status).toBe("completed");
  expect(await app.differences()).toEqual([]);
});
