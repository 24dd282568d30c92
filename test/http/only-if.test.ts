import { afterAll, beforeAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { startProvider } from "../support/provider.ts";
import { type Json, startServer, type TestServer, until } from "../support/server.ts";

let provider: Awaited<ReturnType<typeof startProvider>>;
let app: TestServer;
beforeAll(async () => {
  provider = await startProvider();
  app = await startServer(provider.env);
});
afterAll(async () => {
  await app[Symbol.asyncDispose]();
  await provider[Symbol.asyncDispose]();
});

const USAGE = { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 };
const TABLE = "label,score,prompt\nspam,0.9,one\nham,0.9,two\nspam,n/a,three\nspam,0.1,\n";

test("rows for which a condition is false end as skipped, without a call, and do not run again", async () => {
  writeFileSync(join(app.filesDir, "rows.csv"), TABLE);
  const config = { onlyIf: "{{label}} == 'spam' and {{score}} > 0.5" };
  const made = await app.post("/batches", { id: "some", inputFile: "rows.csv", config });
  expect(made.status).toBe(201);
  const before: Json = (await app.get("/batches/some")).body.data;
  expect(before.progress).toMatchObject({ total: 4, pending: 1, cancelled: 3, skipped: 3 });
  expect(before.tasks.map(({ status, reason }: Json) => [status, reason])).toEqual([
    ["pending", null],
    ["cancelled", "skipped"],
    ["cancelled", "skipped"],
    ["cancelled", "skipped"],
  ]);
  await app.post("/batches/some/execute");
  const ended: Json = await app.finished("some");
  expect(ended.status).toBe("completed");
  const again = await app.post("/batches/some/retry", { statuses: ["cancelled"] });
  expect(again.status).toBe(409);
  const results: Json[] = (await app.get("/batches/some/results?format=json")).body;
  expect(results.map(({ finishReason }) => finishReason)).toEqual([
    "stop",
    "skipped",
    "skipped",
    "skipped",
  ]);
  expect((await app.get(`/tasks/${before.tasks[1].id}`)).body.data.reason).toBe("skipped");
});

test("a row that is skipped while it waits for another attempt keeps what its calls have cost", async () => {
  await using busy = await startProvider(({ earlier }, response) => {
    if (earlier > 0) return void response.writeHead(429, { "retry-after": "3600" }).end("{}");
    return { choices: [{ message: { content: "" }, finish_reason: "stop" }], usage: USAGE };
  });
  await using own = await startServer(busy.env);
  await own.post("/tasks", { id: "t", prompt: "x", batchId: "b" });
  await own.post("/tasks/t/execute");
  const usageOf = async () => (await own.get("/batches/b")).body.data;
  await until(async () => busy.requests.length === 2 && (await usageOf()).progress.running === 0);
  const spent: Json = await usageOf();
  expect(spent.usage.promptTokens).toBe(USAGE.prompt_tokens);
  const tasks = [{ id: "t", prompt: "x", metadata: { n: 1 } }];
  const made = await own.post("/batches", { id: "b", tasks, config: { onlyIf: "{{n}} > 1" } });
  expect(made.status).toBe(201);
  const batch: Json = await usageOf();
  expect(batch.progress).toMatchObject({ total: 1, cancelled: 1, skipped: 1 });
  expect(batch.usage).toEqual(spent.usage);
  const { rows } = await own.ctx.client.execute("SELECT status, prompt_tokens FROM executions");
  expect(rows.map((row) => [row["status"], row["prompt_tokens"]])).toEqual([["cancelled", 10]]);
  const events = await own.ctx.client.execute(
    "SELECT type FROM events WHERE task = 't' ORDER BY id",
  );
  expect(events.rows.map((row) => row["type"])).toEqual([
    "task.created",
    "task.started",
    "task.cancelled",
  ]);
  expect(await own.differences()).toEqual([]);
});

test("a batch whose rows are all skipped is completed as soon as it is started", async () => {
  const tasks = [{ prompt: "a", metadata: { n: 1 } }];
  await app.post("/batches", { id: "none", tasks, config: { onlyIf: "{{n}} > 1" } });
  await app.post("/batches/none/execute");
  expect((await app.finished("none")).status).toBe("completed");
  expect(await app.differences()).toEqual([]);
});

test.each([
  ["{{label}} = 'spam'", "at character 11: to compare write =="],
  ["{{label}} == 'spam' and", "at character 24: expected a {{variable}}"],
  ["{{colour}} == 'red'", "unknown variable {{colour}}"],
  ["'a' < 5", "at character 7: a text and a number have no order"],
])("%s is refused, and nothing is created", async (onlyIf, why) => {
  writeFileSync(join(app.filesDir, "rows.csv"), TABLE);
  const made = await app.post("/batches", { id: "bad", inputFile: "rows.csv", config: { onlyIf } });
  expect(made.status).toBe(400);
  expect(made.text).toContain(why);
  expect(made.text).toContain("config.onlyIf");
  expect((await app.get("/batches/bad")).status).toBe(404);
});
