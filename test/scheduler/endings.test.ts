import { describe, expect, test } from "bun:test";

import { hang, startProvider } from "../support/provider.ts";
import { startAt, type ScheduleServer } from "../support/schedules.ts";
import { client, type Json, until } from "../support/server.ts";

const day = (time: string) => `2026-01-01T${time}Z`;
const SECOND_PASS = 4;

/** Starts a run, and calls `meddle` while its input file is read for the second time. */
async function runAnd(app: ScheduleServer, id: string, meddle: () => unknown): Promise<string> {
  await app.stopScheduler();
  const { body } = await app.post(`/scheduled-tasks/${id}/run`);
  const { files } = app.ctx;
  let reads = 0;
  Object.assign(app.ctx, {
    // Read twice, as a large file is.
    chunks: { ...app.ctx.chunks, keptBytes: 0 },
    files: {
      ...files,
      // One read for the header, one to check all rows, and one to store them.
      async *read(...args: Parameters<typeof files.read>) {
        if (++reads === SECOND_PASS) await meddle();
        yield* files.read(...args);
      },
    },
  });
  await app.begin(body.data.id);
  expect(reads).toBe(SECOND_PASS);
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

  test("whose input file changes while it is read fails, and says how to avoid that", async () => {
    await using app = await startAt(day("08:30:00"));
    const id = await app.create({ schedule: "@hourly" });
    await runAnd(app, id, () => app.file("in.csv", "prompt\nother\nrows\n"));
    const [run] = await app.runs(id);
    expect(run).toMatchObject({ status: "failed", error: { code: "VALIDATION_ERROR" } });
    expect(JSON.stringify(run.error)).toContain("was changed while it was read");
  });

  test("that is paused by no user raises an alert, until it has ended", async () => {
    await using provider = await startProvider(hang);
    await using app = await startAt(day("08:30:00"), provider.env);
    const id = await app.create({ schedule: "@hourly" });
    await app.at(day("09:00:00"));
    const { batchId } = await app.last(id, "running");
    await app.ctx.client.execute({
      sql: "UPDATE batches SET status = 'paused', pause_reason = ? WHERE id = ?",
      args: [JSON.stringify({ code: "cost_cap", message: "It has cost its maxCostUsd" }), batchId],
    });
    await app.at(day("10:00:00"));
    expect(await alerts(app)).toMatchObject([{ code: "schedule.paused", subject: id }]);
    expect((await alerts(app))[0].message).toContain("It has cost its maxCostUsd");
    expect((await app.get(`/scheduled-tasks/${id}`)).body.data.isActive).toBe(true);
    await app.post(`/batches/${batchId}/cancel`);
    await until(async () => {
      await app.nudge();
      return (await alerts(app)).length === 0;
    });
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
  await app.at(day("09:00:00"));
  for (const [i, why] of ["was revoked", "has expired"].entries()) {
    const { body } = await app.get(`/scheduled-tasks/${ids[i]}`);
    expect(body.data.isActive).toBe(false);
    expect(JSON.stringify(body.data)).toContain(why);
    expect(await app.runs(ids[i] ?? "")).toEqual([]);
  }
  expect(await alerts(app)).toHaveLength(2);
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
  expect((await make("out-{{date}}-{{time}}.csv")).status).toBe(201);
  expect((await make("out-{{runId}}.csv")).status).toBe(201);
});
