import { describe, expect, test } from "bun:test";
import { renameSync, statSync, truncateSync, utimesSync } from "node:fs";
import { join } from "node:path";

import { gate, hang, startProvider } from "../support/provider.ts";
import { startAt, type ScheduleServer } from "../support/schedules.ts";
import { client, type Json, until } from "../support/server.ts";

const day = (time: string) => `2026-01-01T${time}Z`;
/** One read finds out the encoding, one the header, and one reads all rows. */
const READS = 3;

/**
 * Starts a run, and calls `meddle` when the rows of its input file begin to be read, and after they were read what it
 * returns, if anything.
 */
async function runAnd(app: ScheduleServer, id: string, meddle: () => unknown): Promise<string> {
  await app.stopScheduler();
  const { body } = await app.post(`/scheduled-tasks/${id}/run`);
  const { files } = app.ctx;
  let reads = 0;
  Object.assign(app.ctx, {
    files: {
      ...files,
      async *read(...args: Parameters<typeof files.read>) {
        const undo = ++reads === READS ? await meddle() : undefined;
        yield* files.read(...args);
        if (typeof undo === "function") undo();
      },
    },
  });
  await app.begin(body.data.id);
  expect(reads).toBe(READS);
  return body.data.id;
}

/** Calls `meddle` before the first write of a unit with a statement of this name, while `work` is done. */
async function meddling(
  app: ScheduleServer,
  name: "moved" | "begun" | "alert",
  meddle: () => unknown,
  work: () => Promise<unknown>,
): Promise<void> {
  const { writer } = app.ctx;
  let isReached = false;
  const write: typeof writer.write = async (unit, options) => {
    if (name in unit && !isReached) {
      isReached = true;
      await meddle();
    }
    return writer.write(unit, options);
  };
  Object.assign(app.ctx, { writer: { ...writer, write } });
  await work();
  Object.assign(app.ctx, { writer });
  expect(isReached).toBe(true);
}

/** Starts a run, and meddles with it at a certain point. */
async function runMeddling(
  app: ScheduleServer,
  id: string,
  name: "moved" | "begun",
  meddle: () => unknown,
): Promise<string> {
  await app.stopScheduler();
  const { body } = await app.post(`/scheduled-tasks/${id}/run`);
  await meddling(app, name, meddle, () => app.begin(body.data.id));
  return body.data.id;
}

async function alerts(app: ScheduleServer): Promise<Json[]> {
  return (await app.ctx.client.execute("SELECT code, subject, message FROM alerts")).rows;
}

describe("a run", () => {
  test("whose schedule is deleted while its batch is made makes none", async () => {
    await using provider = await startProvider();
    await using app = await startAt(day("08:30:00"), provider.env);
    const id = await app.create({ schedule: "@hourly" });
    await runAnd(app, id, () => app.del(`/scheduled-tasks/${id}`));
    const { rows } = await app.ctx.client.execute("SELECT id FROM batches WHERE seq > 0");
    expect([rows, provider.requests]).toEqual([[], []]);
  });

  test("that is cancelled while its batch is made ends, and makes none", async () => {
    await using app = await startAt(day("08:30:00"));
    const id = await app.create({ schedule: "@hourly", overlapPolicy: "cancel_previous" });
    await runAnd(app, id, () => app.post(`/scheduled-tasks/${id}/run`));
    await app.startScheduler();
    const runs = await app.ended(id);
    expect(runs.map(({ status }) => status)).toEqual(["cancelled", "completed"]);
    expect((await app.get("/batches")).body.data.pagination.total).toBe(1);
  });

  test("whose schedule is disabled ends if that is requested, and otherwise continues", async () => {
    await using provider = await startProvider(hang);
    await using app = await startAt(day("08:30:00"), provider.env);
    const id = await app.create({ schedule: "@hourly" });
    await app.at(day("09:00:00"));
    const { batchId } = await app.last(id, "running");
    await app.post(`/scheduled-tasks/${id}/disable`);
    await app.nudge();
    expect((await app.get(`/batches/${batchId}`)).body.data.status).toBe("running");
    await app.post(`/scheduled-tasks/${id}/disable?cancelRuns=true`);
    await until(async () => {
      await app.nudge();
      return (await app.runs(id))[0]?.status === "cancelled";
    });
    expect((await app.get(`/batches/${batchId}`)).body.data.status).toBe("cancelled");
    const prepared = await app.create({ schedule: "@hourly" });
    await runAnd(app, prepared, () =>
      app.post(`/scheduled-tasks/${prepared}/disable?cancelRuns=true`),
    );
    expect((await app.get("/batches")).body.data.pagination.total).toBe(1);
  });

  test("whose batch is made but not started makes no call if its schedule is deleted or disabled", async () => {
    await using provider = await startProvider();
    await using app = await startAt(day("08:30:00"), provider.env);
    const total = async () => (await app.get("/batches")).body.data.pagination.total;
    const gone = await app.create({ schedule: "@hourly" });
    // As if the process that deletes it died before it removed the batch.
    const drop = { sql: "DELETE FROM schedules WHERE id = ?", args: [gone] };
    await runMeddling(app, gone, "moved", () => app.ctx.writer.write({ deleted: drop }));
    expect(await total()).toBe(0);
    const deleted = await app.create({ schedule: "@hourly" });
    await runMeddling(app, deleted, "moved", () => app.del(`/scheduled-tasks/${deleted}`));
    expect(await total()).toBe(0);
    const disabled = await app.create({ schedule: "@hourly" });
    await runMeddling(app, disabled, "moved", () =>
      app.post(`/scheduled-tasks/${disabled}/disable?cancelRuns=true`),
    );
    expect((await app.get("/batches")).body.data.batches[0].status).toBe("pending");
    await app.startScheduler();
    expect(await app.ended(disabled)).toMatchObject([
      { status: "cancelled", reason: "The schedule was disabled", counts: { cancelled: 2 } },
    ]);
    expect([await total(), provider.requests]).toEqual([1, []]);
    expect(await app.differences()).toEqual([]);
  });

  test("that is a dry run is made once, although its process stood still while another one ended it", async () => {
    await using app = await startAt(day("08:30:00"));
    const id = await app.create({ schedule: "@hourly", isDryRun: true });
    await runMeddling(app, id, "moved", async () => {
      const runId = (await app.runs(id))[0].id;
      await app.begin(runId, 998);
      await app.finished(runId.replace("run-", "batch-"));
    });
    const { batches } = (await app.get("/batches")).body.data;
    expect(batches.map(({ executionId, status }: Json) => [executionId, status])).toEqual([
      [expect.stringMatching(/-1$/), "completed"],
    ]);
    await app.startScheduler();
    expect(await app.ended(id)).toMatchObject([{ status: "completed" }]);
  });

  test("whose process died after it made the batch has none when its schedule is deleted or disabled", async () => {
    await using app = await startAt(day("08:30:00"));
    const total = async () => (await app.get("/batches")).body.data.pagination.total;
    const die = () => Promise.reject(new Error("the process dies"));
    const gone = await app.create({ schedule: "@hourly" });
    await runMeddling(app, gone, "moved", die);
    expect(await total()).toBe(1);
    await app.del(`/scheduled-tasks/${gone}`);
    expect(await total()).toBe(0);
    const disabled = await app.create({ schedule: "@hourly" });
    await runMeddling(app, disabled, "moved", die);
    await app.post(`/scheduled-tasks/${disabled}/disable?cancelRuns=true`);
    await app.startScheduler();
    expect(await app.ended(disabled)).toMatchObject([{ status: "cancelled" }]);
    expect(await total()).toBe(0);
  });

  test("whose batch was just started is cancelled on request, and otherwise completes as it began", async () => {
    const held = gate();
    await using provider = await startProvider(() => held.opened);
    await using app = await startAt(day("08:30:00"), provider.env);
    const ids = [];
    for (let i = 0; i < 3; i++) ids.push(await app.create({ schedule: "@hourly" }));
    const [disabled = "", edited = "", gone = ""] = ids;
    await runMeddling(app, disabled, "begun", () =>
      app.post(`/scheduled-tasks/${disabled}/disable?cancelRuns=true`),
    );
    await runMeddling(app, edited, "begun", () =>
      app.patch(`/scheduled-tasks/${edited}`, { inputFile: "none.csv", timezone: "Asia/Tokyo" }),
    );
    const run = await runMeddling(app, gone, "begun", () => app.del(`/scheduled-tasks/${gone}`));
    await app.startScheduler();
    expect((await app.ended(disabled))[0].status).toBe("cancelled");
    held.open();
    expect(await app.ended(edited)).toMatchObject([
      { status: "completed", counts: { total: 2, completed: 2 } },
    ]);
    // The batches of a deleted schedule that have begun go on.
    expect((await app.finished(run.replace("run-", "batch-"))).status).toBe("completed");
  });

  test("whose input file changes while it is read fails, and says how to avoid that", async () => {
    await using app = await startAt(day("08:30:00"));
    const [rows, others] = ["prompt\nhello\nworld\n", "prompt\nother\nrows!\n"];
    const path = join(app.filesDir, "in.csv");
    const changes: [string, () => (() => void) | void][] = [
      ["overwritten by a longer one", () => app.file("in.csv", `${others}and more\n`)],
      ["overwritten by one as long", () => app.file("in.csv", others)],
      ["cut short", () => truncateSync(path, 13)],
      [
        "replaced by one as long and as old",
        () => {
          const { atime, mtime } = statSync(path);
          app.file("new.csv", others);
          utimesSync(join(app.filesDir, "new.csv"), atime, mtime);
          renameSync(join(app.filesDir, "new.csv"), path);
        },
      ],
      [
        "exchanged and put back",
        () => {
          renameSync(path, `${path}.old`);
          app.file("in.csv", others);
          return () => renameSync(`${path}.old`, path);
        },
      ],
      [
        "overwritten by one as long, and dated back",
        () => {
          app.file("in.csv", others);
          utimesSync(path, 1e9, 1e9);
        },
      ],
      ["renamed", () => renameSync(path, `${path}.old`)],
    ];
    for (const [name, change] of changes) {
      app.file("in.csv", rows);
      // As if it had been written long ago: file systems measure time in steps of milliseconds.
      utimesSync(path, 1e9, 1e9);
      const id = await app.create({ schedule: "@hourly" });
      await runAnd(app, id, change);
      const [run] = await app.runs(id);
      const code = name === "renamed" ? "FILE_NOT_FOUND" : "VALIDATION_ERROR";
      expect([name, run.status, run.error?.code]).toEqual([name, "failed", code]);
      const why = name === "renamed" ? "in.csv" : "was changed while it was read";
      expect(JSON.stringify(run.error)).toContain(why);
    }
    expect((await app.get("/batches")).body.data.pagination.total).toBe(0);
  });

  test("that pauses at its cap raises an alert, until it has ended", async () => {
    await using app = await startAt(day("08:30:00"));
    const id = await app.create({
      schedule: "@hourly",
      config: { model: "gpt-4o", maxCostUsd: 0.000001 },
    });
    await app.at(day("09:00:00"));
    const { batchId } = await app.last(id, "running");
    await until(async () => {
      await app.nudge();
      return (await app.get(`/batches/${batchId}`)).body.data.status === "paused";
    });
    await app.at(day("10:00:00"));
    expect(await alerts(app)).toMatchObject([{ code: "schedule.paused", subject: id }]);
    expect((await alerts(app))[0].message).toMatch(
      /maxCostUsd .* the batch\. Resume or cancel batch/,
    );
    expect((await app.runs(id)).map(({ status }) => status)).toEqual(["running", "skipped"]);
    expect((await app.get(`/scheduled-tasks/${id}`)).body.data.isActive).toBe(true);
    await app.post(`/batches/${batchId}/cancel`);
    await until(async () => {
      await app.nudge();
      return (await alerts(app)).length === 0;
    });
    await app.at(day("11:00:00"));
    const deleteIt = () => app.del(`/scheduled-tasks/${id}`);
    await meddling(app, "alert", deleteIt, () =>
      until(async () => {
        await app.nudge();
        return (await app.get(`/scheduled-tasks/${id}`)).status === 404;
      }),
    );
    expect(await alerts(app)).toEqual([]);
  });
});

test("a schedule whose key was revoked or has expired stops with an alert", async () => {
  await using app = await startAt(day("08:30:00"));
  const makeKey = async (fields: object) =>
    (await app.post("/api-keys", { name: "k", ...fields })).body.data as {
      id: string;
      key: string;
    };
  const make = async (key: string) => {
    const fields = { name: "s", inputFile: "in.csv", schedule: "@hourly" };
    return (await client(app.url, key).post("/scheduled-tasks", fields)).body.data.id as string;
  };
  const revoked = await makeKey({});
  const expiring = await makeKey({ expiresAt: day("08:45:00") });
  const ids = [await make(revoked.key), await make(expiring.key)];
  expect((await app.del(`/api-keys/${revoked.id}`)).status).toBe(200);
  // As if a run of it were paused: the alert of that does not stand for the other.
  await app.ctx.writer.write({
    raised: {
      sql: "INSERT INTO alerts VALUES ('schedule.paused', ?, 'Its run is paused', 1)",
      args: [ids[0] ?? ""],
    },
  });
  await app.at(day("09:00:00"));
  for (const [i, why] of ["was revoked", "has expired"].entries()) {
    const { body } = await app.get(`/scheduled-tasks/${ids[i]}`);
    expect(body.data.isActive).toBe(false);
    expect(JSON.stringify(body.data)).toContain(why);
    expect(await app.runs(ids[i] ?? "")).toEqual([]);
    // Nor does a person run it for such a key.
    await app.post(`/scheduled-tasks/${ids[i]}/run`);
    const [run] = await app.ended(ids[i] ?? "");
    expect(run).toMatchObject({ status: "failed", error: { code: "FORBIDDEN" } });
    expect(run.reason).toContain(why);
  }
  const messages = (await alerts(app)).map(({ message }) => message).join("\n");
  expect(messages).toMatch(/was stopped.*was revoked\n.*was stopped.*has expired$/);
});

test("if runs may overlap, each needs its own results file", async () => {
  await using app = await startAt(day("08:30:00"));
  const make = (outputFile: string) =>
    app.post("/scheduled-tasks", {
      name: "s",
      inputFile: "in.csv",
      schedule: "@hourly",
      overlapPolicy: "allow",
      outputFile,
    });
  const refused = await make("out.csv");
  expect([refused.status, refused.body.error.details.issues[0].path]).toEqual([400, "outputFile"]);
  const { status, body } = await make("out-{{date}}-{{time}}.csv");
  expect(status).toBe(201);
  await app.post(`/scheduled-tasks/${body.data.id}/run`);
  app.clock.now += 5;
  await app.post(`/scheduled-tasks/${body.data.id}/run`);
  // Two runs of the same second have two files, and those of a fire keep the short name.
  await app.at(day("09:00:00"));
  expect((await app.ended(body.data.id)).map((run) => run.outputFile)).toEqual([
    "out-2026-01-01-08-30-00-000.csv",
    "out-2026-01-01-08-30-00-005.csv",
    "out-2026-01-01-09-00-00.csv",
  ]);
  expect((await make("out-{{runId}}.csv")).status).toBe(201);
});
