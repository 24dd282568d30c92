import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";

import type { Context } from "../../src/context.ts";
import { startRun } from "../../src/scheduler/runs.ts";
import { discardBatchOf } from "../../src/services/discard-run.ts";
import { discardDraft, removeLeftDrafts } from "../../src/services/drafts.ts";
import { DRAFTS } from "../../src/store/left-drafts.ts";
import { readRows } from "../../src/store/rows.ts";
import { fail, hang, startProvider } from "../support/provider.ts";
import { outcomes, startAt } from "../support/schedules.ts";
import { client, until } from "../support/server.ts";

const POSTPONED = "SELECT seq FROM schedule_runs WHERE attempts > 0 AND owner IS NULL";
const day = (time: string) => `2026-01-01T${time}Z`;

describe("a run", () => {
  test("whose input file is missing fails, and the schedule continues", async () => {
    await using app = await startAt(day("08:30:00"));
    const id = await app.create({ schedule: "@hourly", inputFile: "later.csv" });
    await app.at(day("09:00:00"));
    const [missing] = await app.ended(id);
    expect(missing).toMatchObject({
      status: "failed",
      error: { code: "FILE_NOT_FOUND", message: expect.stringContaining("later.csv") },
      startedAt: null,
      batchId: null,
    });
    expect(missing.reason).not.toContain(app.dir);
    expect(await app.events("scheduled_task.executed")).toMatchObject([
      { status: "failed", error: { code: "FILE_NOT_FOUND" }, total: 0 },
    ]);
    app.file("later.csv", "prompt\nhello\n");
    await app.at(day("10:00:00"));
    expect(outcomes(await app.ended(id))).toEqual([
      "09:00:00 schedule failed",
      "10:00:00 schedule completed",
    ]);
  });

  test("that cannot be started at present is retried a second later", async () => {
    await using app = await startAt(day("08:30:00"));
    const id = await app.create({ schedule: "@hourly" });
    const { files } = app.ctx;
    app.ctx.files = {
      ...files,
      read() {
        throw new Error("the disk is away");
      },
    };
    await app.at(day("09:00:00"));
    await until(async () => (await app.ctx.client.execute(POSTPONED)).rows.length > 0 || undefined);
    app.ctx.files = files;
    await app.at(day("09:00:01"));
    expect(outcomes(await app.ended(id))).toEqual(["09:00:00 schedule completed"]);
  });

  test("whose input file is invalid keeps the errors of its rows", async () => {
    await using app = await startAt(day("08:30:00"));
    app.file("broken.csv", "prompt,temperature\nfine,0.5\nhot,9\n,1\n");
    const id = await app.create({ schedule: "@hourly", inputFile: "broken.csv" });
    await app.at(day("09:00:00"));
    const [run] = await app.ended(id);
    expect(run).toMatchObject({
      status: "failed",
      error: {
        code: "VALIDATION_ERROR",
        details: {
          rows: [
            { row: 2, field: "temperature" },
            { row: 3, field: "prompt" },
          ],
          total: 2,
        },
      },
    });
    app.file("long.csv", `prompt\n${"x".repeat(30)}\n`);
    const config = { promptTemplate: "{{prompt}}".repeat(90_000) };
    const long = await app.create({ schedule: "@hourly", inputFile: "long.csv", config });
    await app.at(day("10:00:00"));
    expect((await app.ended(long))[0].error.details.rows[0].message).toContain(
      "2700000 characters; 2000000 is the most",
    );
    expect((await app.get("/batches")).body.data.pagination.total).toBe(0);
  });

  test("of a file with ids and idempotency keys can be repeated", async () => {
    await using app = await startAt(day("08:30:00"));
    const long = "x".repeat(100);
    app.file("ids.csv", `id,idempotency_key,prompt\na,k1,hello\n2,k2,world\n${long},k3,long\n`);
    const id = await app.create({ schedule: "@hourly", inputFile: "ids.csv" });
    await app.at(day("09:00:00"));
    await app.ended(id);
    await app.at(day("10:00:00"));
    const runs = await app.ended(id);
    expect(runs.map(({ counts }) => counts.completed)).toEqual([3, 3]);
    const { tasks } = (await app.get(`/batches/${runs[1].batchId}`)).body.data;
    expect(tasks.map((task: { id: string }) => task.id)).toEqual([
      `${runs[1].batchId}.a`,
      `${runs[1].batchId}.2`,
      `${runs[1].batchId}-3`,
    ]);
    const results = await app.get(`/batches/${runs[1].batchId}/results`);
    expect(results.text).toContain("\na,k1,hello,completed,");
  });

  test("writes its results to the file that its schedule names, and ends when that exists", async () => {
    await using app = await startAt("2026-03-08T06:59:00Z");
    const outputFile = "out/{{date}}_{{time}}_{{runId}}.csv";
    const timezone = "America/New_York";
    const id = await app.create({ schedule: "30 2 * * *", timezone, outputFile });
    await app.at("2026-03-08T07:00:00Z");
    const [run] = await app.ended(id);
    expect(run).toMatchObject({
      status: "completed",
      outputFile: `out/2026-03-08_03-00-00_${run.id}.csv`,
    });
    expect(readFileSync(join(app.filesDir, run.outputFile), "utf8")).toMatch(
      /^prompt,status,result,.*\nhello,completed,re: hello,.*\nworld,completed,re: world,/,
    );
    expect(await app.events("scheduled_task.executed")).toMatchObject([
      { outputFile: run.outputFile },
    ]);
  });

  test("whose results cannot be written fails, and keeps them in its batch", async () => {
    await using app = await startAt(day("08:30:00"));
    app.file("out", "a file where a folder should be");
    const id = await app.create({ schedule: "@hourly", outputFile: "out/results.csv" });
    await app.at(day("09:00:00"));
    const [run] = await app.ended(id);
    expect(run).toMatchObject({
      status: "failed",
      error: { code: "OUTPUT_FAILED", message: expect.stringContaining(run.batchId) },
      counts: { completed: 2 },
    });
    expect(run.reason).not.toContain(app.dir);
  });

  test("that is a dry run calls no provider, and its cost is an estimate", async () => {
    await using provider = await startProvider();
    await using app = await startAt(day("08:30:00"), {
      ...provider.env,
      SIMULATOR_LATENCY_MS: "0",
    });
    const id = await app.create({
      schedule: "@hourly",
      isDryRun: true,
      outputFile: "dry.csv",
      config: { model: "gpt-4o" },
    });
    await app.at(day("09:00:00"));
    const [run] = await app.ended(id);
    expect(run).toMatchObject({ status: "completed", isDryRun: true, costUsd: 0 });
    expect(run.estimatedCostUsd).toBeGreaterThan(0);
    expect(provider.requests).toEqual([]);
    expect(readFileSync(join(app.filesDir, "dry.csv"), "utf8")).toMatch(
      /is_dry_run\nhello,.*,true\n/,
    );
  });

  test("with some failed tasks is completed and says so, and without a success has failed", async () => {
    await using provider = await startProvider(({ prompt }, response) =>
      prompt === "bad" ? fail(response, 400) : undefined,
    );
    await using app = await startAt(day("08:30:00"), provider.env);
    app.file("some.csv", "prompt\nbad\ngood\n");
    app.file("none.csv", "prompt\nbad\nbad\n");
    const some = await app.create({ schedule: "@hourly", inputFile: "some.csv" });
    const none = await app.create({ schedule: "@hourly", inputFile: "none.csv" });
    await app.at(day("09:00:00"));
    expect(await app.ended(some)).toMatchObject([
      { status: "completed", reason: "1 of 2 tasks failed", counts: { completed: 1, failed: 1 } },
    ]);
    expect(await app.ended(none)).toMatchObject([
      { status: "failed", error: { code: "BATCH_FAILED" }, counts: { total: 2, failed: 2 } },
    ]);
  });

  test("whose batch a client cancels or deletes ends, and says why", async () => {
    await using provider = await startProvider(hang);
    await using app = await startAt(day("08:30:00"), provider.env);
    const id = await app.create({ schedule: "@hourly" });
    await app.at(day("09:00:00"));
    const cancelled = await app.last(id, "running");
    await app.post(`/batches/${cancelled.batchId}/cancel`);
    expect(await app.ended(id)).toMatchObject([{ status: "cancelled", counts: { cancelled: 2 } }]);
    await app.at(day("10:00:00"));
    const deleted = await app.last(id, "running");
    await app.del(`/batches/${deleted.batchId}?force=true`);
    expect((await app.ended(id)).at(-1)).toMatchObject({
      status: "failed",
      error: { code: "BATCH_NOT_FOUND" },
    });
  });

  test("that was started before a crash is started again with the same batch", async () => {
    await using provider = await startProvider();
    for (const begun of ["nothing", "batch made", "batch started", "batch ended"]) {
      await using app = await startAt(day("08:30:00"), provider.env);
      const id = await app.create({ schedule: "@hourly", isDryRun: begun === "batch ended" });
      await app.stopScheduler();
      const { body } = await app.post(`/scheduled-tasks/${id}/run`);
      const batchId = body.data.id.replace("run-", "batch-");
      if (begun !== "nothing") await app.post("/batches", { id: batchId, inputFile: "in.csv" });
      const isDryRun = begun === "batch ended";
      if (begun.match(/started|ended/)) await app.post(`/batches/${batchId}/execute`, { isDryRun });
      if (begun === "batch ended") await app.finished(batchId);
      // The claim of a process that is dead.
      await app.ctx.client.execute("UPDATE schedule_runs SET owner = 999");
      await app.startScheduler();
      expect([begun, await app.ended(id)]).toMatchObject([
        begun,
        [{ status: "completed", batchId, counts: { total: 2, completed: 2 } }],
      ]);
      expect((await app.get("/batches")).body.data.pagination.total).toBe(1);
      expect((await app.get(`/batches/${batchId}`)).body.data.executionId).toEndWith("-1");
    }
  });
});

describe("a schedule whose runs fail", () => {
  test("is stopped after so many in a row, with one alert, until it is enabled again", async () => {
    await using app = await startAt(day("08:30:00"));
    const id = await app.create({ schedule: "@hourly", inputFile: "x.csv", pauseAfterFailures: 2 });
    app.file("x.csv", "prompt\nhello\n");
    const fireAt = async (time: string, isGood: boolean) => {
      app.file("x.csv", isGood ? "prompt\nhello\n" : "prompt\n");
      await app.at(day(time));
      await app.ended(id);
    };
    await fireAt("09:00:00", false);
    await fireAt("10:00:00", true);
    await fireAt("11:00:00", false);
    expect((await app.get(`/scheduled-tasks/${id}`)).body.data.isActive).toBe(true);
    await fireAt("12:00:00", false);
    const { body } = await app.get(`/scheduled-tasks/${id}`);
    expect(body.data).toMatchObject({ isActive: false, nextRun: null, lastRunStatus: "failed" });
    expect(body.data.pauseReason).toStartWith("Stopped after 2 failed runs in a row; the last: ");
    await fireAt("13:00:00", true);
    expect(await app.runs(id)).toHaveLength(4);
    expect(await app.events("system.alert")).toMatchObject([
      { code: "schedule.paused", subject: id, status: "raised" },
    ]);

    const enabled = await app.post(`/scheduled-tasks/${id}/enable`);
    expect(enabled.body.data).toMatchObject({ isActive: true, pauseReason: null });
    expect((await app.events("system.alert")).map(({ status }) => status)).toEqual([
      "raised",
      "cleared",
    ]);
    await fireAt("14:00:00", false);
    expect((await app.get(`/scheduled-tasks/${id}`)).body.data.isActive).toBe(true);
  });
});

test("a run that is started by two processes, one of them declared dead, has one batch", async () => {
  await using app = await startAt(day("08:30:00"));
  const id = await app.create({ schedule: "@hourly" });
  const own = (node: number) =>
    app.ctx.client.execute(`UPDATE schedule_runs SET owner = ${node} WHERE status = 'pending'`);
  for (let round = 0; round < 5; round++) {
    await app.stopScheduler();
    const { body } = await app.post(`/scheduled-tasks/${id}/run`);
    await own(998);
    const first = startRun(app.ctx, body.data.id, 998);
    await own(999);
    await Promise.all([first, startRun(app.ctx, body.data.id, 999)]);
    app.clock.now += 10_000;
    await app.startScheduler();
    expect((await app.ended(id)).at(-1)).toMatchObject({
      status: "completed",
      counts: { total: 2, completed: 2 },
    });
  }
  expect((await app.get("/batches")).body.data.pagination.total).toBe(5);
});

test("a run whose process died while it stored the rows starts again, without a trace of the first attempt", async () => {
  await using app = await startAt(day("08:30:00"));
  app.file("ids.csv", "id,prompt\na,hello\nb,world\n");
  const id = await app.create({ schedule: "@hourly", inputFile: "ids.csv" });
  await app.stopScheduler();
  const { body } = await app.post(`/scheduled-tasks/${id}/run`);
  const batchId = body.data.id.replace("run-", "batch-");
  await app.post("/batches", { id: "left", tasks: [{ id: `${batchId}.a`, prompt: "hello" }] });
  await app.ctx.client.execute({
    sql: "UPDATE batches SET status = 'ingesting', id = ? WHERE id = 'left'",
    args: [`~${body.data.id}-0123456789abcdef`],
  });
  await app.startScheduler();
  expect(await app.ended(id)).toMatchObject([
    { status: "completed", counts: { total: 2, completed: 2 } },
  ]);
  expect(await app.differences()).toEqual([]);
  const { rows } = await app.ctx.client.execute(
    "SELECT count(*) AS n FROM batches WHERE status = 'ingesting'",
  );
  expect(rows[0]?.["n"]).toBe(0);
});

test("the batch of a cancelled run is not removed if another process has started it meanwhile", async () => {
  await using app = await startAt(day("08:30:00"));
  await app.post("/batches", { id: "batch-1", inputFile: "in.csv" });
  const { writer } = app.ctx;
  const write: typeof writer.write = async (unit, options) => {
    if (!("singles" in unit)) return writer.write(unit, options);
    await app.post("/batches/batch-1/execute");
    await app.finished("batch-1");
    return writer.write(unit, options);
  };
  const slow: Context = { ...app.ctx, writer: { ...writer, write } };

  await discardBatchOf(slow, "run-1");

  expect(await app.finished("batch-1")).toMatchObject({ status: "completed" });
});

describe("a run whose key has ended after its batch was made", () => {
  /** A run whose process died before it recorded that it began the batch. */
  async function startInterrupted() {
    const app = await startAt(day("08:30:00"));
    await app.stopScheduler();
    const key = (await app.post("/api-keys", { name: "k" })).body.data;
    const fields = { name: "s", inputFile: "in.csv", schedule: "@yearly" };
    const made = await client(app.url, key.key).post("/scheduled-tasks", fields);
    const id: string = made.body.data.id;
    const run: string = (await app.post(`/scheduled-tasks/${id}/run`)).body.data.id;
    const batch = run.replace("run-", "batch-");
    await app.post("/batches", { id: batch, inputFile: "in.csv" });
    await app.ctx.client.execute("UPDATE schedule_runs SET owner = 999");
    const endKey = () => app.del(`/api-keys/${key.id}`);
    return { ...app, id, run, batch, endKey };
  }

  test("fails, and its batch is removed", async () => {
    await using app = await startInterrupted();
    const { id, batch, endKey } = app;
    await endKey();

    await app.startScheduler();

    expect(await app.ended(id)).toMatchObject([{ status: "failed", batchId: null }]);
    await until(async () => (await app.get(`/batches/${batch}`)).status === 404 || undefined);
  });

  test("completes if that was started, too", async () => {
    await using app = await startInterrupted();
    const { id, batch, endKey } = app;
    await app.post(`/batches/${batch}/execute`);
    await endKey();

    await app.startScheduler();

    expect(await app.ended(id)).toMatchObject([{ status: "completed", batchId: batch }]);
  });

  test("completes, also if another process starts it while this one finds the key ended", async () => {
    await using app = await startInterrupted();
    const { id, run, batch, endKey } = app;
    await endKey();
    const { writer } = app.ctx;
    const write: typeof writer.write = async (unit, options) => {
      if ("ended" in unit) await app.post(`/batches/${batch}/execute`);
      return writer.write(unit, options);
    };

    await startRun({ ...app.ctx, writer: { ...writer, write } }, run, 999);

    expect(await app.runs(id)).toMatchObject([{ status: "pending" }]);
    await app.startScheduler();
    expect(await app.ended(id)).toMatchObject([{ status: "completed", batchId: batch }]);
  });
});

describe("a process that stood still while it made the batch of a run", () => {
  /** A run that node 999 has claimed. */
  async function startClaimed() {
    const app = await startAt(day("08:30:00"));
    const id = await app.create({ schedule: "@yearly" });
    await app.stopScheduler();
    const run: string = (await app.post(`/scheduled-tasks/${id}/run`)).body.data.id;
    await app.ctx.client.execute("UPDATE schedule_runs SET owner = 999");
    return { ...app, id, run };
  }

  /** A context whose process stands still when it has made a draft, while `meddle` is done. */
  function standingStill(ctx: Context, meddle: (draft: string) => Promise<unknown>): Context {
    const { writer } = ctx;
    const write: typeof writer.write = async (unit, options) => {
      const result = await writer.write(unit, options);
      if (Object.keys(unit).join() === "draft")
        for (const { id } of await readRows(ctx.client, DRAFTS)) await meddle(id);
      return result;
    };
    return { ...ctx, writer: { ...writer, write } };
  }

  const addDraft = (ctx: Context, draft: string) =>
    ctx.client.execute({
      sql: `INSERT INTO batches (id, name, status, config, draft_owner, created_at, updated_at)
            VALUES (?, 'b', 'ingesting', '{}', 998, 1, 1)`,
      args: [draft],
    });
  const draftsOf = async (ctx: Context) => (await readRows(ctx.client, DRAFTS)).map(({ id }) => id);

  test("tries again if its draft was removed, and the run has not failed", async () => {
    await using app = await startClaimed();
    const { id, run } = app;
    const other = { ...app.ctx, live: { ...app.ctx.live, node: 7 } };

    await startRun(
      standingStill(app.ctx, (draft) => discardDraft(other, draft)),
      run,
      999,
    );

    expect((await app.ctx.client.execute(POSTPONED)).rows).toHaveLength(1);
    app.clock.now += 10_000;
    await app.startScheduler();
    expect(await app.ended(id)).toMatchObject([{ status: "completed", counts: { total: 2 } }]);
  });

  test("does not remove its own draft, though nobody has touched it for long", async () => {
    await using app = await startClaimed();
    const { id, run } = app;
    const shared: Context = { ...app.ctx, isExclusive: false };

    await startRun(
      standingStill(shared, () => removeLeftDrafts(shared, -1)),
      run,
      999,
    );

    expect(await app.runs(id)).toMatchObject([{ status: "running", counts: { total: 2 } }]);
  });

  test("leaves the draft of the node that has taken the run over before it read the run", async () => {
    await using app = await startClaimed();
    const draft = `~${app.run}-other`;
    await app.ctx.client.execute("UPDATE schedule_runs SET owner = 998");
    await addDraft(app.ctx, draft);

    await startRun(app.ctx, app.run, 999);

    expect(await draftsOf(app.ctx)).toEqual([draft]);
  });

  test("leaves the draft of the node that has taken the run over before it looked for drafts", async () => {
    await using app = await startClaimed();
    const draft = `~${app.run}-other`;
    const { client } = app.ctx;
    async function execute(statement: { sql: string; args: [] }) {
      if (statement.sql.includes("'ingesting'") && (await draftsOf(app.ctx)).length === 0) {
        await client.execute("UPDATE schedule_runs SET owner = 998");
        await addDraft(app.ctx, draft);
      }
      return client.execute(statement);
    }
    const late = new Proxy(client, {
      get: (target, name) => (name === "execute" ? execute : Reflect.get(target, name)),
    });

    await startRun({ ...app.ctx, client: late }, app.run, 999);

    expect(await draftsOf(app.ctx)).toEqual([draft]);
  });
});
