import { describe, expect, test } from "bun:test";
import { symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { startAt } from "../support/schedules.ts";
import { startServer } from "../support/server.ts";

const documented = {
  name: "Daily Report Generator",
  schedule: "0 9 * * *",
  inputFile: "path/to/tasks.csv",
  outputFile: "path/to/results.csv",
  isDryRun: false,
  config: { model: "gpt-4", temperature: 0.7, maxRetries: 3 },
};

describe("a scheduled task", () => {
  test("is created, read, changed and deleted as documented", async () => {
    await using app = await startAt("2025-01-01T10:00:00Z");
    const created = await app.post("/scheduled-tasks", documented);
    expect(created.status).toBe(201);
    expect(created.body).toMatchObject({
      success: true,
      data: {
        name: "Daily Report Generator",
        schedule: "0 9 * * *",
        isActive: true,
        createdAt: "2025-01-01T10:00:00.000Z",
        nextRun: "2025-01-02T09:00:00.000Z",
        nextRuns: [2, 3, 4, 5, 6].map((day) => `2025-01-0${day}T09:00:00.000Z`),
        lastRun: null,
        lastRunStatus: null,
        timezone: "UTC",
        overlapPolicy: "skip",
        catchUpWindowSeconds: 3600,
        pauseAfterFailures: null,
        inputFile: "path/to/tasks.csv",
        outputFile: "path/to/results.csv",
        isDryRun: false,
        config: documented.config,
      },
    });
    const { id } = created.body.data;
    expect(id).toMatch(/^sched-/);
    expect((await app.get(`/scheduled-tasks/${id}`)).body.data).toEqual(created.body.data);

    const updated = await app.patch(`/scheduled-tasks/${id}`, {
      name: "Updated Task Name",
      schedule: "0 12 * * *",
      isActive: false,
    });
    expect(updated.body.data).toMatchObject({
      name: "Updated Task Name",
      schedule: "0 12 * * *",
      isActive: false,
      nextRun: null,
      nextRuns: [],
      config: documented.config,
    });
    const enabled = await app.post(`/scheduled-tasks/${id}/enable`);
    expect(enabled.body).toMatchObject({
      data: { id, isActive: true, nextRun: "2025-01-01T12:00:00.000Z" },
      message: "Scheduled task enabled",
    });
    const disabled = await app.post(`/scheduled-tasks/${id}/disable`);
    expect(disabled.body).toMatchObject({
      data: { id, isActive: false, nextRun: null },
      message: "Scheduled task disabled",
    });
    expect((await app.del(`/scheduled-tasks/${id}`)).body).toMatchObject({ success: true });
    for (const answer of [
      app.get(`/scheduled-tasks/${id}`),
      app.patch(`/scheduled-tasks/${id}`, {}),
      app.del(`/scheduled-tasks/${id}`),
      app.post(`/scheduled-tasks/${id}/enable`),
      app.post(`/scheduled-tasks/${id}/disable`),
      app.post(`/scheduled-tasks/${id}/run`),
      app.get(`/scheduled-tasks/${id}/runs`),
    ]) {
      const { status, body } = await answer;
      expect([status, body.error?.code]).toEqual([404, "SCHEDULED_TASK_NOT_FOUND"]);
    }
  });

  test("is found by part of its name, by whether it is active, and page by page", async () => {
    await using app = await startAt("2025-01-01T10:00:00Z");
    for (const name of ["Daily report", "Weekly REPORT", "Cleaning"])
      await app.create({ name, schedule: "@daily", isActive: name !== "Cleaning" });
    const names = async (query: string) =>
      (await app.get(`/scheduled-tasks?sort=name&order=asc&${query}`)).body.data.tasks.map(
        ({ name }: { name: string }) => name,
      );
    expect(await names("")).toEqual(["Cleaning", "Daily report", "Weekly REPORT"]);
    expect(await names("name=report")).toEqual(["Daily report", "Weekly REPORT"]);
    expect(await names("isActive=false")).toEqual(["Cleaning"]);
    expect(await names("isActive=true&name=week")).toEqual(["Weekly REPORT"]);
    const { pagination } = (await app.get("/scheduled-tasks?sort=name&order=asc&limit=2")).body
      .data;
    expect(pagination).toMatchObject({ page: 1, limit: 2, total: 3, totalPages: 2 });
    expect(await names(`limit=2&cursor=${pagination.nextCursor}`)).toEqual(["Weekly REPORT"]);
  });

  test("can be previewed before its creation: a sentence, the next times, or the errors", async () => {
    await using app = await startAt("2025-01-03T10:00:00Z");
    const preview = (query: Record<string, string>) =>
      app.get(`/scheduled-tasks/preview?${new URLSearchParams(query)}`);
    const good = await preview({ schedule: "0 9 * * MON-FRI", timezone: "Europe/Berlin" });
    expect(good.body.data).toEqual({
      schedule: "0 9 * * MON-FRI",
      timezone: "Europe/Berlin",
      sentence: "At 09:00, Monday through Friday",
      nextRuns: ["06", "07", "08", "09", "10"].map((day) => `2025-01-${day}T08:00:00.000Z`),
    });
    const nickname = (await preview({ schedule: "@Daily" })).body.data;
    expect([nickname.sentence, nickname.timezone]).toEqual(["At 00:00", "UTC"]);
    const lasts = await preview({ schedule: "0 9 L * *" });
    expect(lasts.body.data.sentence).toBe("At 09:00, on the last day of the month");
    // A cron expression without a description still has times.
    const odd = (await preview({ schedule: "0 12 13 * +FRI" })).body.data;
    expect([odd.sentence, odd.nextRuns.length]).toEqual([null, 5]);
    const wrong = await preview({ schedule: "0 25 * * *" });
    expect([wrong.status, wrong.body.error.code]).toEqual([400, "INVALID_CRON_EXPRESSION"]);
    expect(wrong.body.error.details.issues[0].path).toBe("schedule");
    const nowhere = await preview({ schedule: "@daily", timezone: "Berlin" });
    expect(nowhere.body.error.details.issues[0].path).toBe("timezone");
    expect((await app.get("/scheduled-tasks")).body.data.tasks).toEqual([]);
  });

  test("runs on request, even if it is disabled, and once as a dry run", async () => {
    await using app = await startAt("2025-01-01T10:00:00Z");
    const id = await app.create({ schedule: "@daily", isActive: false });
    const asked = await app.post(`/scheduled-tasks/${id}/run`, { isDryRun: true });
    expect(asked.status).toBe(200);
    expect(asked.body.data).toMatchObject({
      cause: "manual",
      status: "pending",
      isDryRun: true,
      scheduledAt: "2025-01-01T10:00:00.000Z",
    });
    await app.ended(id);
    await app.post(`/scheduled-tasks/${id}/run`);
    const runs = await app.ended(id);
    expect(runs).toMatchObject([
      { id: asked.body.data.id, status: "completed", isDryRun: true },
      { status: "completed", isDryRun: false, cause: "manual", counts: { completed: 2 } },
    ]);
    expect((await app.get(`/scheduled-tasks/${id}`)).body.data).toMatchObject({
      isActive: false,
      lastRunStatus: "completed",
    });
  });

  test("has no overlapping runs unless its policy allows that", async () => {
    await using app = await startAt("2025-01-01T10:00:00Z");
    await app.stopScheduler();
    const id = await app.create({ schedule: "@daily" });
    const first = await app.post(`/scheduled-tasks/${id}/run`);
    const second = await app.post(`/scheduled-tasks/${id}/run`);
    expect([second.status, second.body.error.code]).toEqual([409, "TASK_RUNNING"]);
    expect(second.body.error.message).toContain(first.body.data.id);
    await app.patch(`/scheduled-tasks/${id}`, { overlapPolicy: "allow" });
    expect((await app.post(`/scheduled-tasks/${id}/run`)).body.data.status).toBe("pending");
    await app.patch(`/scheduled-tasks/${id}`, { overlapPolicy: "queue" });
    expect((await app.post(`/scheduled-tasks/${id}/run`)).body.data.status).toBe("queued");
    expect((await app.runs(id)).map(({ status }) => status)).toEqual([
      "pending",
      "skipped",
      "pending",
      "queued",
    ]);
  });

  test("lists its runs page by page, the latest first", async () => {
    await using app = await startAt("2025-01-01T10:00:00Z");
    await app.stopScheduler();
    const id = await app.create({ schedule: "@daily", overlapPolicy: "allow" });
    for (let i = 0; i < 5; i++) await app.post(`/scheduled-tasks/${id}/run`);
    const all = (await app.runs(id)).toReversed().map((run) => run.id);
    const page = async (query: string) =>
      (await app.get(`/scheduled-tasks/${id}/runs?limit=2&${query}`)).body.data;
    const first = await page("");
    expect(first.pagination).toMatchObject({ page: 1, total: 5, totalPages: 3 });
    const second = await page(`cursor=${first.pagination.nextCursor}`);
    const third = await page("page=3");
    expect(
      [first, second, third].flatMap(({ runs }) => runs.map((run: { id: string }) => run.id)),
    ).toEqual(all);
  });
});

describe("an error in a scheduled task", () => {
  test("is reported with its field", async () => {
    await using app = await startServer({ ALLOWED_MODELS: "gpt-4*", ROLE: "api" });
    writeFileSync(join(app.dir, "secret.csv"), "prompt\nx\n");
    symlinkSync(join(app.dir, "secret.csv"), join(app.filesDir, "link.csv"));
    const cases: [string, object, string, string][] = [
      ["no name", { name: undefined }, "VALIDATION_ERROR", "name"],
      ["no input", { inputFile: undefined }, "VALIDATION_ERROR", "inputFile"],
      ["no schedule", { schedule: undefined }, "VALIDATION_ERROR", "schedule"],
      ["an unknown field", { cron: "* * * * *" }, "VALIDATION_ERROR", "cron"],
      ["an unknown zone", { timezone: "Mars/Phobos" }, "VALIDATION_ERROR", "timezone"],
      ["an offset for a zone", { timezone: "+02:00" }, "VALIDATION_ERROR", "timezone"],
      ["an unknown policy", { overlapPolicy: "wait" }, "VALIDATION_ERROR", "overlapPolicy"],
      [
        "a window below zero",
        { catchUpWindowSeconds: -1 },
        "VALIDATION_ERROR",
        "catchUpWindowSeconds",
      ],
      ["a pause after none", { pauseAfterFailures: 0 }, "VALIDATION_ERROR", "pauseAfterFailures"],
      ["a wrong config", { config: { temprature: 1 } }, "VALIDATION_ERROR", "config.temprature"],
      ["an absolute path", { inputFile: "/path/to/tasks.csv" }, "VALIDATION_ERROR", "inputFile"],
      ["a path that climbs", { inputFile: "../secret.csv" }, "VALIDATION_ERROR", "inputFile"],
      ["a link that leads out", { inputFile: "link.csv" }, "VALIDATION_ERROR", "inputFile"],
      ["a URL", { inputFile: "file:///etc/passwd" }, "VALIDATION_ERROR", "inputFile"],
      ["an output elsewhere", { outputFile: "/tmp/out.csv" }, "VALIDATION_ERROR", "outputFile"],
      ["an output over the input", { outputFile: "./in.csv" }, "VALIDATION_ERROR", "outputFile"],
      ["an output of no format", { outputFile: "out.pdf" }, "VALIDATION_ERROR", "outputFile"],
      ["an unknown placeholder", { outputFile: "{{day}}.csv" }, "VALIDATION_ERROR", "outputFile"],
      ["a model not allowed", { config: { model: "llama" } }, "MODEL_NOT_SUPPORTED", "model"],
      ["an empty schedule", { schedule: "" }, "INVALID_CRON_EXPRESSION", "schedule"],
      ["four fields", { schedule: "* * * *" }, "INVALID_CRON_EXPRESSION", "schedule"],
      ["a step of zero", { schedule: "*/0 * * * *" }, "INVALID_CRON_EXPRESSION", "schedule"],
      ["30 February", { schedule: "0 0 30 2 *" }, "INVALID_CRON_EXPRESSION", "schedule"],
      ["minute 60", { schedule: "60 * * * *" }, "INVALID_CRON_EXPRESSION", "schedule"],
      ["a date", { schedule: "2026-01-01T00:00:00Z" }, "INVALID_CRON_EXPRESSION", "schedule"],
    ];
    const good = { name: "s", schedule: "@daily", inputFile: "in.csv" };
    const { body } = await app.post("/scheduled-tasks", good);
    for (const [name, fields, code, path] of cases) {
      const answers = [await app.post("/scheduled-tasks", { ...good, ...fields })];
      if (!Object.values(fields).includes(undefined))
        answers.push(await app.patch(`/scheduled-tasks/${body.data.id}`, fields));
      for (const { status, text, ...answer } of answers) {
        const error = answer.body.error;
        expect([name, status, error?.code, error?.details.issues[0].path]).toEqual([
          name,
          400,
          code,
          path,
        ]);
        expect(text).not.toContain(app.dir);
      }
    }
    const { pagination, tasks } = (await app.get("/scheduled-tasks")).body.data;
    expect([pagination.total, tasks[0]]).toEqual([1, body.data]);
  });

  test("is reported for the documentation's own example, whose paths are outside the files folder", async () => {
    await using app = await startServer({ ROLE: "api" });
    const paths = { inputFile: "/path/to/tasks.csv", outputFile: "/path/to/results.csv" };
    const refused = await app.post("/scheduled-tasks", { ...documented, ...paths });
    expect(refused.body.error.details.issues.map(({ path }: { path: string }) => path)).toEqual([
      "inputFile",
      "outputFile",
    ]);
    const below = {
      inputFile: join(app.filesDir, "path/to/tasks.csv"),
      outputFile: join(app.filesDir, "path/to/results.csv"),
    };
    expect((await app.post("/scheduled-tasks", { ...documented, ...below })).status).toBe(201);
  });

  test("many concurrent changes are all applied", async () => {
    await using app = await startServer({ ROLE: "api" });
    const { body } = await app.post("/scheduled-tasks", {
      name: "s",
      schedule: "@daily",
      inputFile: "in.csv",
    });
    const path = `/scheduled-tasks/${body.data.id}`;
    const changes = [
      { name: "t" },
      { schedule: "@weekly" },
      { overlapPolicy: "queue" },
      { isDryRun: true },
      { timezone: "Asia/Tokyo" },
    ];
    await Promise.all(changes.map((change) => app.patch(path, change)));
    expect((await app.get(path)).body.data).toMatchObject(Object.assign({}, ...changes));
  });
});
