import { afterAll, beforeAll, describe, expect, test } from "bun:test";

import { startProvider } from "../support/provider.ts";
import { client, type Json, startServer, type TestServer, until } from "../support/server.ts";

let provider: Awaited<ReturnType<typeof startProvider>>;
let app: TestServer;
beforeAll(async () => {
  provider = await startProvider(({ prompt, earlier }, response) => {
    if (prompt.includes("fail") || (prompt === "flaky" && earlier === 0)) {
      response.writeHead(400, { "content-type": "application/json" });
      response.end(JSON.stringify({ error: { message: "no" } }));
      return undefined;
    }
    const content = prompt.includes("judge")
      ? JSON.stringify({ label: prompt.includes("bad") ? "spam" : "ham" })
      : prompt;
    const message = { role: "assistant", content };
    const usage = { prompt_tokens: 1000, completion_tokens: 0, total_tokens: 1000 };
    return { choices: [{ index: 0, message, finish_reason: "stop" }], usage };
  });
  // All inputs are read twice, as large ones are.
  app = await startServer(provider.env);
});
afterAll(async () => {
  expect(await app.differences()).toEqual([]);
  await app[Symbol.asyncDispose]();
  await provider[Symbol.asyncDispose]();
});

const config = { promptTemplate: "{{prompt}}+" };

/** A batch with a task for each prompt. It is not started. */
async function givenFirst(id: string, prompts = ["a", "b"], more: object = {}): Promise<void> {
  const tasks = prompts.map((prompt) => ({ prompt }));
  const settings = { model: "gpt-4o", maxRetries: 0 };
  expect((await app.post("/batches", { id, tasks, config: settings, ...more })).status).toBe(201);
}

async function givenWaiting(id: string, inputBatch: string, more: object = {}): Promise<Json> {
  const made = await app.post("/batches", { id, inputBatch, config, ...more });
  expect([made.status, made.body.data.taskCount]).toEqual([201, 0]);
  return made.body.data;
}

const batch = async (id: string): Promise<Json> => (await app.get(`/batches/${id}`)).body.data;

/** The batch, when its rows exist. */
const made = (id: string): Promise<Json> =>
  until(async () => {
    const found = await batch(id);
    return found.progress.total > 0 ? found : undefined;
  });

const execute = (id: string, options: object = {}) => app.post(`/batches/${id}/execute`, options);

async function eventsOf(id: string): Promise<string[]> {
  const { rows } = await app.ctx.client.execute({
    sql: "SELECT type FROM events WHERE batch = ? AND task IS NULL AND type <> 'batch.progress' ORDER BY id",
    args: [id],
  });
  return rows.map((row) => String(row["type"]));
}

test("in a chain of three batches each waits, and starts with the answers of the one before", async () => {
  await givenFirst("c1", ["judge bad", "judge good", "fail"], {
    config: { model: "gpt-4o", maxRetries: 0, output: ["label"] },
  });
  const onlyIf = "{{label}} == 'spam'";
  await givenWaiting("c2", "c1", { config: { promptTemplate: "re {{label}}", onlyIf } });
  await givenWaiting("c3", "c2", { config: { promptTemplate: "{{result}}!" } });
  for (const id of ["c2", "c3"]) {
    const started = await execute(id);
    expect([started.status, started.body.data]).toEqual([
      200,
      { executionId: null, status: "pending" },
    ]);
    expect(await batch(id)).toMatchObject({
      status: "pending",
      executionId: null,
      waiting: { reason: "input_batch" },
      chain: { status: "waiting", isToStart: true, error: null },
    });
  }

  await execute("c1");
  const third = await app.finished("c3");
  expect(third).toMatchObject({
    status: "completed",
    progress: { total: 3, completed: 1, skipped: 2 },
    chain: { status: "made", isToStart: false },
    input: { format: "batch", rows: 3 },
  });
  expect(third.executionId).toMatch(/^batch-exec-/);
  expect(third.tasks[0].result).toBe("re spam!");
  expect(await batch("c2")).toMatchObject({ progress: { total: 3, completed: 1, skipped: 2 } });
  expect(await eventsOf("c2")).toEqual([
    "batch.created",
    "batch.created",
    "batch.started",
    "batch.completed",
  ]);
});

test("a batch that was not executed is made, and stays pending", async () => {
  await givenFirst("n1");
  await givenWaiting("n2", "n1", { name: "before", metadata: { a: 1 } });
  const before = await batch("n2");
  const change = { name: "after", description: "x", maxConcurrency: 3, maxCostUsd: 9 };
  expect((await app.patch("/batches/n2", change)).status).toBe(200);
  await execute("n1");
  const second = await made("n2");
  expect(second).toMatchObject({
    status: "pending",
    name: "after",
    description: "x",
    metadata: { a: 1 },
    config: { maxConcurrency: 3, maxCostUsd: 9 },
    createdAt: before.createdAt,
    waiting: null,
  });
  await execute("n2");
  expect((await app.finished("n2")).tasks.map(({ result }: Json) => result)).toEqual(["a+", "b+"]);
});

test("requests that need rows are refused while the batch waits", async () => {
  await givenFirst("w1");
  await givenWaiting("w2", "w1");
  expect((await execute("w2")).status).toBe(200);
  const again = await execute("w2");
  expect([again.status, again.body.error.code]).toEqual([409, "BATCH_RUNNING"]);
  for (const [answer, code] of [
    [await execute("w2", { limit: 1 }), "BATCH_NOT_RUNNING"],
    [await app.get("/batches/w2/estimate"), "BATCH_NOT_RUNNING"],
    [await app.post("/batches/w2/pause"), "BATCH_NOT_RUNNING"],
    [await app.post("/batches/w2/retry"), "BATCH_NOT_RUNNING"],
    [await app.post("/tasks", { prompt: "x", batchId: "w2" }), "BATCH_RUNNING"],
    [await app.post("/batches", { id: "w2", inputBatch: "w1", config }), "BATCH_ALREADY_EXISTS"],
  ] as const)
    expect([answer.status, answer.body.error.code]).toEqual([409, code]);
  expect((await app.get("/batches/w2/results")).text).toStartWith("id,prompt,");
});

describe("a chain that is not possible", () => {
  test("is refused at its creation, if that is known then", async () => {
    await givenFirst("r1", ["x"], { config: { output: ["label"] } });
    await givenWaiting("r2", "r1", { config: { promptTemplate: "{{label}}" } });
    await app.post("/tasks", { prompt: "x", batchId: "r-bare" });
    for (const [wrong, status, why] of [
      [{ inputBatch: "r9" }, 400, "cannot be the input of itself"],
      [{ config: { promptTemplate: "{{colour}}" } }, 400, "colour"],
      [{ inputBatch: "r2", config: { promptTemplate: "{{lable}}" } }, 400, "lable"],
      [{ config: {} }, 400, "config.promptTemplate"],
      [{ config, baseBatch: "nowhere" }, 404, "nowhere"],
      [{ config, id: "r-bare" }, 409, "has tasks already"],
      [{ config, id: "r1", inputBatch: "r2" }, 409, "batch with id r1 already"],
    ] as const) {
      const refused = await app.post("/batches", { id: "r9", inputBatch: "r1", config, ...wrong });
      expect([refused.status, refused.text.includes(why)]).toEqual([status, true]);
    }
    expect((await app.get("/batches/r9")).status).toBe(404);
  });

  test("fails with row and column when its rows cannot be made, together with the batches after it", async () => {
    await givenFirst("f1", ["x", "y"]);
    await app.ctx.client.execute(
      "UPDATE batches SET columns = '[\"id\",\"note\"]' WHERE id = 'f1'",
    );
    await givenWaiting("f2", "f1", { config: { promptTemplate: "{{note}}" } });
    await givenWaiting("f3", "f2", { config: { promptTemplate: "{{result}}" } });
    await execute("f2");
    await execute("f1");
    const second = await app.finished("f2");
    expect(second).toMatchObject({
      status: "failed",
      progress: { total: 0 },
      chain: { status: "failed", error: { code: "VALIDATION_ERROR" } },
    });
    expect(second.chain.error.details.rows[0]).toMatchObject({ row: 1 });
    expect((await app.finished("f3")).chain.error.message).toContain("has no answers");
    expect(await eventsOf("f2")).toEqual(["batch.created", "batch.failed"]);
    const again = await execute("f2");
    expect([again.status, again.body.error.code]).toEqual([409, "BATCH_FINISHED"]);
    expect((await app.del("/batches/f2")).status).toBe(200);
  });

  test("fails when the input batch has no answer or is deleted, even if its id is used again", async () => {
    await givenFirst("d1", ["fail"]);
    await givenWaiting("d2", "d1");
    await execute("d1");
    expect((await app.finished("d2")).chain.error.message).toContain("has no answers");

    await givenFirst("d3");
    await givenWaiting("d4", "d3");
    expect((await app.del("/batches/d3")).status).toBe(200);
    await givenFirst("d3");
    const error = (await app.finished("d4")).chain.error;
    expect(error).toMatchObject({ code: "BATCH_NOT_FOUND" });
    expect(error.message).toContain("was deleted");
  });

  test("fails when the key that has executed it was revoked meanwhile", async () => {
    const key = (await app.post("/api-keys", { name: "k", scopes: ["write"] })).body.data;
    await givenFirst("k1");
    await givenWaiting("k2", "k1");
    const other = client(app.url, key.secret ?? key.key);
    expect((await other.post("/batches/k2/execute")).status).toBe(200);
    expect((await app.del(`/api-keys/${key.id}`)).status).toBe(200);
    await execute("k1");
    expect((await app.finished("k2")).chain.error).toMatchObject({ code: "FORBIDDEN" });
  });
});

test("a pilot, a dry run and a pause of the input batch do not count as its end", async () => {
  await givenFirst("e1", ["a", "b", "c"]);
  await givenWaiting("e2", "e1");
  await execute("e1", { limit: 1 });
  await until(async () => (await batch("e1")).progress.completed === 1 || undefined);
  await app.post("/batches/e1/execute?isDryRun=true");
  await app.finished("e1");
  // A batch can still wait for one that has had only a pilot and a dry run.
  await givenWaiting("e3", "e1");
  await app.runner.ctx.signals.emit("events", undefined);
  await givenFirst("e4");
  await givenWaiting("e5", "e4");
  await execute("e4");
  await made("e5");
  expect((await batch("e2")).chain.status).toBe("waiting");
  await execute("e1");
  expect([(await made("e2")).progress.total, (await made("e3")).progress.total]).toEqual([3, 3]);
});

/** Runs a function once, right before the commit of the first unit that has a statement of this name. */
function beforeNext(part: string, act: () => Promise<unknown>): { done: Promise<unknown> } {
  const { writer } = app.ctx;
  const { write } = writer;
  const { promise, resolve, reject } = Promise.withResolvers<unknown>();
  writer.write = async (unit, options) => {
    if (JSON.stringify(unit).includes(`"${part}":`)) {
      writer.write = write;
      await act().then(resolve, reject);
    }
    return write(unit, options);
  };
  return { done: promise };
}

/** The moment when all rows are written, before their batch is published. */
const beforeNextPublishing = (act: () => Promise<unknown>) => beforeNext("published", act);
/** The moment when the first rows are checked, before they are written. */
const afterNextCheck = (act: () => Promise<unknown>) => beforeNext("draft", act);

test("rows that change while they are read are read again", async () => {
  await givenFirst("q1", ["a", "flaky"]);
  await givenWaiting("q2", "q1", { config: { promptTemplate: "{{result}}+" } });
  await execute("q2");
  const raced = beforeNextPublishing(async () => {
    expect((await batch("q2")).chain.status).toBe("waiting");
    expect((await app.post("/batches/q1/retry")).status).toBe(200);
  });
  await execute("q1");
  await raced.done;
  const second = await app.finished("q2");
  expect(second.tasks.map(({ result }: Json) => result)).toEqual(["a+", "flaky+"]);
  expect((await eventsOf("q2")).filter((type) => type === "batch.started")).toHaveLength(1);

  // If its rows change meanwhile, nothing is created.
  const [again] = (await batch("q1")).tasks;
  const changed = beforeNextPublishing(async () => {
    await app.post(`/tasks/${again.id}/execute`);
    await app.ended(again.id);
  });
  const direct = await app.post("/batches", { id: "q3", inputBatch: "q1", config });
  await changed.done;
  expect([direct.status, direct.body.error.code]).toEqual([409, "BATCH_RUNNING"]);
  expect((await app.get("/batches/q3")).status).toBe(404);
});

test("rows that change between check and storage are read again", async () => {
  await givenFirst("late1", ["a", "b", "c"]);
  await givenWaiting("late2", "late1", { config: { promptTemplate: "{{result}}+" } });
  await execute("late2");
  const raced = afterNextCheck(async () => {
    const [first] = (await batch("late1")).tasks;
    expect((await app.del(`/tasks/${first.id}`)).status).toBe(200);
  });
  await execute("late1");
  await raced.done;
  const second = await app.finished("late2");
  expect(second.tasks.map(({ result }: Json) => result)).toEqual(["b+", "c+"]);
  expect((await eventsOf("late2")).filter((type) => type === "batch.started")).toHaveLength(1);

  // A batch is not created if its rows change meanwhile, and leaves nothing behind.
  const changed = afterNextCheck(async () => {
    const [first] = (await batch("late1")).tasks;
    await app.del(`/tasks/${first.id}`);
  });
  const direct = await app.post("/batches", { id: "late3", inputBatch: "late1", config });
  await changed.done;
  expect([direct.status, direct.body.error.code]).toEqual([409, "BATCH_RUNNING"]);
  expect((await app.get("/batches/late3")).status).toBe(404);
  const { rows } = await app.ctx.client.execute("SELECT id FROM batches WHERE id LIKE '~%'");
  expect(rows).toEqual([]);
});

test("one that is cancelled or deleted stops waiting", async () => {
  await givenFirst("x1");
  for (const id of ["x2", "x3"]) await givenWaiting(id, "x1");
  const cancelled = await app.post("/batches/x2/cancel");
  expect(cancelled.body.data).toMatchObject({ status: "cancelled" });
  expect((await app.del("/batches/x3")).status).toBe(200);
  await givenWaiting("x4", "x1");
  await execute("x1");
  await made("x4");
  expect((await batch("x2")).progress.total).toBe(0);
  expect((await app.get("/batches/x3")).status).toBe(404);
});

test("a cancelled input batch provides the answers that it has", async () => {
  await givenFirst("y1");
  await givenWaiting("y2", "y1");
  await execute("y1", { limit: 1 });
  await until(async () => (await batch("y1")).progress.completed === 1 || undefined);
  await app.post("/batches/y1/cancel");
  expect((await made("y2")).progress).toMatchObject({ total: 2, pending: 1, skipped: 1 });
});

test("an idempotency key returns the batch while it waits and afterwards", async () => {
  await givenFirst("i1");
  const request = { inputBatch: "i1", config, idempotencyKey: "chain-key" };
  const first = await app.post("/batches", request);
  const { id } = first.body.data;
  const ask = async () => {
    const { status, body } = await app.post("/batches", request);
    return [status, body.data.id];
  };
  expect(await ask()).toEqual([200, id]);
  await execute("i1");
  await made(id);
  expect(await ask()).toEqual([200, id]);
});

test("a cap applies to a chained batch, and answers of its base are reused", async () => {
  await givenFirst("m1");
  await givenWaiting("m2", "m1", { config: { ...config, model: "gpt-4o", maxCostUsd: 1e-9 } });
  await givenWaiting("m3", "m1", { config: { ...config, model: "gpt-4o" } });
  await givenWaiting("m4", "m1", {
    config: { ...config, model: "gpt-4o" },
    baseBatch: "m3",
  });
  await execute("m2");
  await execute("m3");
  await execute("m1");
  await app.finished("m3");
  expect(
    await until(async () => ((await batch("m2")).status === "paused" ? batch("m2") : undefined)),
  ).toMatchObject({
    pauseReason: { code: "max_cost_reached" },
  });
  expect((await made("m4")).progress.total).toBe(2);
});

test("rows from a dead process are removed, and another process makes the batch", async () => {
  const { writer, client: db } = app.ctx;
  await givenFirst("z1");
  await givenWaiting("z2", "z1");
  const { rows } = await db.execute("SELECT seq FROM batches WHERE id = 'z2'");
  const draft = `~chain-${String(rows[0]?.["seq"])}-left`;
  await writer.write({
    left: {
      sql: `INSERT INTO batches (id, name, status, config, draft_owner, created_at, updated_at)
            VALUES (?, 'z2', 'ingesting', '{}', 987654, 1, 9e15)`,
      args: [draft],
    },
    row: {
      sql: `INSERT INTO tasks (id, batch, position, status, model, priority, created_at, updated_at)
            SELECT 'z2-1', seq, 0, 'pending', 'm', 1, 1, 1 FROM batches WHERE id = ?`,
      args: [draft],
    },
    held: { sql: "UPDATE batches SET chain_owner = 987654 WHERE id = 'z2'", args: [] },
  });
  await execute("z2");
  await execute("z1");
  expect((await app.finished("z2")).progress).toMatchObject({ total: 2, completed: 2 });
  expect(
    (await db.execute({ sql: "SELECT 1 FROM batches WHERE id = ?", args: [draft] })).rows,
  ).toEqual([]);
});
