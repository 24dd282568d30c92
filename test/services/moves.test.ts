import { expect, test } from "bun:test";

import type { Client } from "@libsql/client";

import { rowsOf, type Statement, type Unit } from "../../src/db/unit.ts";
import { deleteAlert, insertAlert } from "../../src/store/alerts.ts";
import * as batchMoves from "../../src/store/batch-moves.ts";
import { cancelChunk, reviveChunk } from "../../src/store/batch-sweeps.ts";
import { askForStart, failHeld, isMade, replaceHeld, startMade } from "../../src/store/chains.ts";
import type { NewBatch } from "../../src/store/new-batch.ts";
import { insertTask, type NewTask } from "../../src/store/new-task.ts";
import { publishDraft } from "../../src/store/publish-draft.ts";
import { executeTask, cancelTask, changeTask, deleteTask } from "../../src/store/task-moves.ts";
import { ALWAYS, hasRow } from "../../src/store/which.ts";
import { startServer } from "../support/server.ts";

const now = Date.now() + 5000;
const options = { isDryRun: false, priority: null, payer: 1, trace: null, now, steadyNow: now };

const task: NewTask = {
  id: "t",
  batchId: null,
  model: "gpt-4o",
  priority: 1,
  maxRetries: null,
  timeoutMs: null,
  flexMinutes: null,
  maxRepairs: null,
  escalateTo: null,
  apiKey: 1,
  endpoint: "/v1/chat/completions",
  body: "{}",
  cacheKey: null,
  prompt: "x",
  metadata: null,
  idempotency: null,
  trace: null,
  execute: options,
  now,
};

const draft: NewBatch = {
  draft: "~draft",
  id: "b",
  name: "b",
  description: null,
  apiKey: 1,
  owner: 1,
  inputFile: null,
  inputBatch: null,
  chainStatus: null,
  outputFile: null,
  baseBatch: null,
  config: {},
  metadata: null,
  maxConcurrency: null,
  maxCostUsd: null,
  idempotency: null,
  trace: null,
  openAi: null,
  deadlineAt: null,
  payer: null,
  now,
  steadyNow: now,
};

/** Every row of every table that a move may touch. */
async function everything(client: Client) {
  const tables = ["tasks", "task_inputs", "queue", "executions", "batches", "events", "rollups"];
  const others = ["idempotency_keys", "alerts"];
  const results = await client.batch([...tables, ...others].map((name) => `SELECT * FROM ${name}`));
  return results.map((result) => rowsOf(result));
}

test("a refused move changes nothing, neither events nor counters", async () => {
  await using app = await startServer();
  await app.post("/tasks", { id: "t", prompt: "x", idempotencyKey: "used", batchId: "bare" });
  await app.post("/tasks/t/cancel");
  await app.post("/batches", { id: "b", tasks: [{ id: "done", prompt: "x" }] });
  await app.post("/batches/b/execute");
  await app.finished("b");
  const { writer, client } = app.ctx;
  const [batch] = rowsOf<{ seq: number }>(
    await client.execute("SELECT seq FROM batches WHERE id = 'b'"),
  );
  const b = { id: "b", seq: batch?.seq ?? 0 };
  const key = rowsOf<{ api_key: number }>(
    await client.execute("SELECT api_key FROM idempotency_keys"),
  )[0]?.api_key;
  const used = { apiKey: key ?? 0, key: "used", fingerprint: "f" };
  const alert = { code: "queue.stuck" as const, subject: "", message: "x", raisedAt: now };
  const openDraft: Statement = {
    sql: `INSERT INTO batches (id, name, status, config, draft_owner, created_at, updated_at)
          VALUES ('~draft', 'b', 'ingesting', '{}', 1, 1, 1)`,
    args: [],
  };
  await writer.write({ openDraft, alert: insertAlert(alert) });
  const before = await everything(client);

  const rows = {
    written: 0,
    models: new Map([["m", 1]]),
    reused: 0,
    adopted: [],
    columns: null,
    input: null,
  };
  const settings = {
    priority: 1,
    maxRetries: null,
    timeoutMs: null,
    flexMinutes: null,
    maxRepairs: null,
    escalateTo: null,
  };
  const stale = { body: "other", prompt: null, metadata: null, cacheKey: null };
  const units: Record<string, Unit> = {
    "a task whose id is taken": insertTask({ ...task, batchId: "new" }),
    "a task whose key is used": insertTask({ ...task, id: "n", batchId: "new", idempotency: used }),
    "a task for a batch that has begun": insertTask({ ...task, id: "n", batchId: "b" }),
    "a cancelled task that is cancelled": cancelTask("t", null, now),
    "a task that is not there": executeTask("n", options),
    "a task that was changed since": changeTask({
      ...task,
      id: "t",
      steadyNow: now,
      before: stale,
      after: { ...stale, body: "{}" },
      settingsBefore: settings,
      settings: { ...settings, priority: 2 },
      isOther: true,
    }),
    "a deleted task": deleteTask("n", now),
    "a batch that has ended and is started": batchMoves.startBatch(b, {
      isDryRun: false,
      payer: 1,
      trace: null,
      now,
      steadyNow: now,
    }),
    "one without failed tasks that is retried": batchMoves.restartBatch(b, {
      statuses: ["failed"],
      isDryRun: null,
      payer: 1,
      trace: null,
      now,
      steadyNow: now,
    }),
    "one that has ended and is paused": batchMoves.pauseBatch(
      b.seq,
      { code: "user", message: "x" },
      now,
    ),
    "and resumed": batchMoves.resumeBatch(b, now),
    "and cancelled": batchMoves.cancelBatch(b, now),
    "one that does not wait and is to start with its rows": { asked: askForStart(b.seq, options) },
    "and fails for want of them": failHeld(
      { seq: b.seq, node: 1 },
      "b",
      { code: "C", message: "x" },
      now,
    ),
    "and is replaced by a draft": {
      taken: replaceHeld({ seq: b.seq, node: 1 }, { draft: "~draft", node: 1 }, ALWAYS),
      unit: publishDraft({ ...draft, id: "free" }, rows, hasRow("batches", isMade("~draft")), []),
      started: startMade(b, { now, steadyNow: now }),
    },
    "one that is not there": batchMoves.dropBatch({ id: "n", seq: 99 }, "~n", 1),
    "a chunk of one that is not cancelled": cancelChunk(b.seq, 10, now),
    "a chunk of one that is not run again": reviveChunk(b.seq, 10, now),
    "a draft whose name is taken": publishDraft(
      { ...draft, idempotency: { ...used, key: "new" } },
      rows,
    ),
    "a draft whose key is used": publishDraft({ ...draft, id: "free", idempotency: used }, rows),
    "a draft that another node removes": publishDraft({ ...draft, id: "bare", owner: 2 }, rows),
    "a draft that another node has removed": publishDraft(
      { ...draft, draft: "~gone", id: "bare" },
      rows,
    ),
    "an alert that is raised already": insertAlert({ ...alert, raisedAt: now + 1 }),
    "one that is not, and is cleared": deleteAlert("disk.nearly_full", "", now),
  };
  for (const [name, unit] of Object.entries(units)) {
    await writer.write(unit);
    expect({ name, rows: await everything(client) }).toEqual({ name, rows: before });
  }
});

test("a task that waits when its batch is deleted does not run", async () => {
  await using app = await startServer();
  await app.post("/batches", { id: "b", tasks: [{ id: "early", prompt: "x" }] });
  const other = { id: "late", prompt: "x", batchId: "b" };
  await app.post("/tasks", other);
  const [batch] = rowsOf<{ seq: number }>(
    await app.ctx.client.execute("SELECT seq FROM batches WHERE id = 'b'"),
  );
  const { writer, client } = app.ctx;
  const named = { id: "b", seq: batch?.seq ?? 0 };

  const results = await Promise.all([
    writer.write(executeTask("early", options)),
    writer.write(batchMoves.dropBatch(named, "~gone", 1)),
    writer.write(executeTask("late", options)),
    writer.write(cancelTask("late", null, now)),
    writer.write(deleteTask("late", now)),
  ]);

  expect(results[0].queued.rows).toHaveLength(1);
  expect(results[1].moved.rows).toHaveLength(1);
  expect(results[2].queued.rows).toEqual([]);
  expect(results[3].cancelled.rows).toEqual([]);
  expect(results[4].deleted.rows).toEqual([]);
  expect((await client.execute("SELECT task FROM queue")).rows).toEqual([]);
  const { rows } = await client.execute("SELECT type, batch FROM events WHERE batch LIKE '~%'");
  expect(rows).toEqual([]);
});
