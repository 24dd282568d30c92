import { describe, expect, test } from "bun:test";

import { fireDue } from "../../src/scheduler/fires.ts";
import { hang, startProvider } from "../support/provider.ts";
import { outcomes, startAt } from "../support/schedules.ts";
import { until } from "../support/server.ts";

const day = (time: string) => `2026-01-01T${time}Z`;

describe("a schedule", () => {
  test("fires once at its time, and shows its next time", async () => {
    await using app = await startAt(day("08:59:59"));
    const id = await app.create({ schedule: "0 9 * * *" });
    await app.at(day("08:59:59.999"));
    expect(await app.runs(id)).toEqual([]);
    await app.at(day("09:00:00.003"));
    await app.at(day("09:00:00.500"));
    const [run, ...others] = await app.ended(id);
    expect(others).toEqual([]);
    expect(run).toMatchObject({
      status: "completed",
      cause: "schedule",
      reason: null,
      error: null,
      scheduledAt: "2026-01-01T09:00:00.000Z",
      firedAt: "2026-01-01T09:00:00.003Z",
      counts: { total: 2, completed: 2, failed: 0, cancelled: 0 },
    });
    expect((await app.get(`/batches/${run.batchId}`)).body.data).toMatchObject({
      status: "completed",
      metadata: { scheduledTaskId: id, runId: run.id },
    });
    expect((await app.get(`/scheduled-tasks/${id}`)).body.data).toMatchObject({
      lastRun: "2026-01-01T09:00:00.000Z",
      lastRunStatus: "completed",
      nextRun: "2026-01-02T09:00:00.000Z",
    });
    expect(await app.events("scheduled_task.executed")).toMatchObject([
      {
        scheduledTaskId: id,
        runId: run.id,
        status: "completed",
        total: 2,
        completed: 2,
        failed: 0,
      },
    ]);
  });

  test("has its timer set for the earliest schedule, and never for long", async () => {
    await using app = await startAt(day("08:59:50"));
    const armed = () => Math.min(...[...app.timers].map(({ ms }) => ms));
    await app.create({ schedule: "@yearly" });
    await app.nudge();
    expect(armed()).toBe(15_000);
    await app.create({ schedule: "0 9 * * *" });
    await app.nudge();
    expect(armed()).toBe(10_000);
  });

  test("fires by the clock of its time zone through a change of clocks", async () => {
    await using app = await startAt("2026-03-08T06:59:00Z");
    const id = await app.create({ schedule: "30 2 * * *", timezone: "America/New_York" });
    await app.at("2026-03-08T07:00:00Z");
    await app.at("2026-03-08T07:30:00Z");
    await app.at("2026-03-09T06:30:00Z");
    expect((await app.ended(id)).map(({ scheduledAt }) => scheduledAt)).toEqual([
      "2026-03-08T07:00:00.000Z",
      "2026-03-09T06:30:00.000Z",
    ]);
  });

  test("fires once when two processes look at the same moment", async () => {
    await using app = await startAt(day("08:00:00"));
    const ids = await Promise.all(
      Array.from({ length: 20 }, () => app.create({ schedule: "0 9 * * *" })),
    );
    await app.stopScheduler();
    app.clock.now = Date.parse(day("09:00:00"));
    const fired = await Promise.all([1, 2, 3].map(() => fireDue(app.ctx, app.clock.now)));
    expect(fired.reduce((sum, n) => sum + n, 0)).toBe(20);
    for (const id of ids) expect(await app.runs(id)).toHaveLength(1);
  });

  test("that is changed while it fires is fired by its new expression only", async () => {
    await using app = await startAt(day("08:00:00"));
    const id = await app.create({ schedule: "0 9 * * *" });
    await app.stopScheduler();
    app.clock.now = Date.parse(day("09:00:00"));
    await Promise.all([
      app.patch(`/scheduled-tasks/${id}`, { schedule: "0 10 * * *" }),
      fireDue(app.ctx, app.clock.now),
    ]);
    const { nextRun } = (await app.get(`/scheduled-tasks/${id}`)).body.data;
    expect(nextRun).toBe("2026-01-01T10:00:00.000Z");
  });

  test("that is disabled does not fire, and when enabled again it fires from then on", async () => {
    await using app = await startAt(day("08:00:00"));
    const id = await app.create({ schedule: "@hourly" });
    await app.post(`/scheduled-tasks/${id}/disable`);
    await app.at(day("09:30:00"));
    await app.post(`/scheduled-tasks/${id}/enable`);
    await app.at(day("09:45:00"));
    expect(await app.runs(id)).toEqual([]);
    await app.at(day("10:00:00"));
    expect(outcomes(await app.ended(id))).toEqual(["10:00:00 schedule completed"]);
  });

  test("whose time zone no longer exists is paused with an alert and delays no other", async () => {
    await using app = await startAt(day("08:00:00"));
    const lost = await app.create({ schedule: "0 9 * * *" });
    const other = await app.create({ schedule: "0 9 * * *" });
    await app.ctx.client.execute({
      sql: "UPDATE schedules SET timezone = 'Mars/Phobos' WHERE id = ?",
      args: [lost],
    });
    await app.at(day("09:00:00"));
    expect(outcomes(await app.ended(other))).toEqual(["09:00:00 schedule completed"]);
    const { body } = await app.get(`/scheduled-tasks/${lost}`);
    expect(body.data).toMatchObject({ isActive: false, nextRun: null });
    expect(body.data.pauseReason).toContain("Mars/Phobos");
    expect(await app.events("system.alert")).toMatchObject([
      { code: "schedule.paused", subject: lost },
    ]);
  });
});

describe("after downtime", () => {
  test("the latest missed fire runs to catch up, the others are recorded as missed", async () => {
    await using app = await startAt(day("08:30:00"));
    const id = await app.create({ schedule: "@hourly" });
    await app.stopScheduler();
    app.clock.now = Date.parse(day("11:20:00"));
    await app.startScheduler();
    const runs = await app.ended(id);
    expect(outcomes(runs)).toEqual([
      "09:00:00 schedule missed",
      "10:00:00 schedule missed",
      "11:00:00 catch_up completed",
    ]);
    expect(runs[0]).toMatchObject({ reason: expect.stringContaining("Not fired in time") });
    await app.at(day("12:00:00"));
    expect(outcomes(await app.ended(id)).at(-1)).toBe("12:00:00 schedule completed");
  });

  test("no fire older than the window runs", async () => {
    await using app = await startAt(day("08:30:00"));
    const id = await app.create({ schedule: "@hourly", catchUpWindowSeconds: 600 });
    await app.stopScheduler();
    app.clock.now = Date.parse(day("10:11:00"));
    await app.startScheduler();
    const runs = await app.ended(id);
    expect(outcomes(runs)).toEqual(["09:00:00 schedule missed", "10:00:00 schedule missed"]);
    expect(runs[1].reason).toContain("window of 600 s");
    const { lastRun, nextRun } = (await app.get(`/scheduled-tasks/${id}`)).body.data;
    expect([lastRun, nextRun]).toEqual([null, "2026-01-01T11:00:00.000Z"]);
  });
});

describe("a clock that jumps", () => {
  test("forwards counts as downtime", async () => {
    await using app = await startAt(day("09:00:30"));
    const id = await app.create({ schedule: "* * * * *" });
    await app.at(day("09:01:00"));
    await app.ended(id);
    await app.at(day("09:04:30"));
    expect(outcomes(await app.ended(id))).toEqual([
      "09:01:00 schedule completed",
      "09:02:00 schedule missed",
      "09:03:00 schedule missed",
      "09:04:00 catch_up completed",
    ]);
  });

  test("backwards makes no time fire twice, and stops no schedule", async () => {
    await using app = await startAt(day("09:00:30"));
    const id = await app.create({ schedule: "* * * * *" });
    for (const time of ["09:01:00", "09:02:00", "09:00:30", "09:01:00", "09:02:00", "09:03:00"])
      await app.at(day(time));
    expect((await app.ended(id)).map(({ scheduledAt }) => scheduledAt.slice(11, 16))).toEqual([
      "09:01",
      "09:02",
      "09:03",
    ]);
  });

  test("backwards by a year does not silence a schedule for a year", async () => {
    await using app = await startAt("2027-01-01T08:00:00Z");
    const id = await app.create({ schedule: "0 9 * * *" });
    await app.at(day("08:00:00"));
    expect((await app.get(`/scheduled-tasks/${id}`)).body.data.nextRun).toBe(
      "2026-01-01T09:00:00.000Z",
    );
    await app.at(day("09:00:00"));
    expect(outcomes(await app.ended(id))).toEqual(["09:00:00 schedule completed"]);
  });

  test("backwards while the program was down is detected at its start", async () => {
    await using app = await startAt("2027-01-01T08:00:00Z");
    const id = await app.create({ schedule: "0 9 * * *" });
    await app.stopScheduler();
    app.clock.now = Date.parse(day("08:00:00"));
    await app.startScheduler();
    expect((await app.get(`/scheduled-tasks/${id}`)).body.data.nextRun).toBe(
      "2026-01-01T09:00:00.000Z",
    );
  });
});

describe("a fire during a run that has not ended", () => {
  /** A provider whose first call hangs and whose later calls are answered. */
  const stuckOnce = () => {
    let calls = 0;
    return startProvider(() => (calls++ === 0 ? hang() : undefined));
  };
  const hourly = { schedule: "@hourly", inputFile: "one.csv" };

  test("is skipped, which its row explains", async () => {
    await using provider = await startProvider(hang);
    await using app = await startAt(day("08:30:00"), provider.env);
    app.file("one.csv", "prompt\nhello\n");
    const id = await app.create(hourly);
    await app.at(day("09:00:00"));
    const first = await app.last(id, "running");
    await app.at(day("10:00:00"));
    const runs = await app.runs(id);
    expect(outcomes(runs)).toEqual(["09:00:00 schedule running", "10:00:00 schedule skipped"]);
    expect(runs[1]).toMatchObject({
      reason: `The run before has not ended: ${first.id}`,
      startedAt: null,
      batchId: null,
      finishedAt: "2026-01-01T10:00:00.000Z",
    });
    expect((await app.get(`/scheduled-tasks/${id}`)).body.data).toMatchObject({
      lastRun: "2026-01-01T09:00:00.000Z",
      lastRunStatus: "running",
    });
  });

  test("waits its turn with `queue`", async () => {
    const held = Promise.withResolvers<void>();
    await using provider = await startProvider(async () => void (await held.promise));
    await using app = await startAt(day("08:30:00"), provider.env);
    app.file("one.csv", "prompt\nhello\n");
    const id = await app.create({ ...hourly, overlapPolicy: "queue" });
    for (const time of ["09:00:00", "10:00:00", "11:00:00"]) await app.at(day(time));
    await app.nudge();
    expect((await app.runs(id)).slice(1).map(({ status }) => status)).toEqual(["queued", "queued"]);
    expect(provider.requests.length).toBeLessThanOrEqual(1);
    held.resolve();
    const runs = await app.ended(id);
    expect(runs.map(({ status }) => status)).toEqual(["completed", "completed", "completed"]);
    expect(provider.state.mostOpen).toBe(1);
  });

  test("runs beside it with `allow`", async () => {
    await using provider = await startProvider(hang);
    await using app = await startAt(day("08:30:00"), provider.env);
    app.file("one.csv", "prompt\nhello\n");
    const id = await app.create({ ...hourly, overlapPolicy: "allow" });
    await app.at(day("09:00:00"));
    await app.at(day("10:00:00"));
    // Both are begun at the same time, and either may be first.
    await until(async () => {
      await app.nudge();
      return (await app.runs(id)).filter(({ status }) => status === "running").length === 2;
    });
  });

  test("ends it with `cancel_previous`, and then begins", async () => {
    await using provider = await stuckOnce();
    await using app = await startAt(day("08:30:00"), provider.env);
    app.file("one.csv", "prompt\nhello\n");
    const id = await app.create({ ...hourly, overlapPolicy: "cancel_previous" });
    await app.at(day("09:00:00"));
    const first = await app.last(id, "running");
    await until(() => provider.requests.length === 1);
    await app.at(day("10:00:00"));
    const runs = await app.ended(id);
    expect(outcomes(runs)).toEqual(["09:00:00 schedule cancelled", "10:00:00 schedule completed"]);
    expect(runs[0].reason).toBe(`Run ${runs[1].id} took its place`);
    expect((await app.get(`/batches/${first.batchId}`)).body.data.status).toBe("cancelled");
    expect((await app.get(`/scheduled-tasks/${id}`)).body.data.lastRunStatus).toBe("completed");
  });

  test("that waits is dropped when the schedule is disabled", async () => {
    await using provider = await startProvider(hang);
    await using app = await startAt(day("08:30:00"), provider.env);
    app.file("one.csv", "prompt\nhello\n");
    const id = await app.create({ ...hourly, overlapPolicy: "queue" });
    await app.at(day("09:00:00"));
    await app.at(day("10:00:00"));
    await app.last(id, "queued");
    await app.post(`/scheduled-tasks/${id}/disable`);
    expect((await app.last(id, "cancelled")).reason).toBe("The schedule was disabled");
  });
});

test("the status of the scheduler shows what is planned, and that no process fires it", async () => {
  await using app = await startAt(day("08:30:00"));
  await app.create({ schedule: "@hourly" });
  const status = async () => (await app.get("/status/services/scheduler")).body.data;
  expect(await status()).toMatchObject({
    status: "healthy",
    details: { active: 1, nextRun: "2026-01-01T09:00:00.000Z", lag: 0 },
  });
  await app.stopScheduler();
  app.clock.now = Date.parse(day("09:00:30"));
  expect(await status()).toMatchObject({ status: "degraded", details: { lag: 30 } });
  await app.startScheduler();
  expect(await status()).toMatchObject({ status: "healthy", details: { lag: 0 } });
});

test("fires are counted by their outcome", async () => {
  await using app = await startAt(day("08:30:00"));
  const id = await app.create({ schedule: "@hourly" });
  await app.stopScheduler();
  app.clock.now = Date.parse(day("10:30:00"));
  await app.startScheduler();
  await app.ended(id);
  const { text } = await app.get(`${app.url}/metrics`);
  expect(text).toContain('gptrunner_schedule_fires_total{outcome="missed"} 1');
  expect(text).toContain('gptrunner_schedule_fires_total{outcome="completed"} 1');
});
