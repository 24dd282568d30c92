import { describe, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { type RunnerProcess, startProcess, temporaryFolder } from "../support/process.ts";
import { startProvider } from "../support/provider.ts";
import { type Json, until } from "../support/server.ts";
import { startSqld } from "../support/sqld.ts";
import { sqld } from "../support/tools.ts";

function givenInput(folder: string): void {
  mkdirSync(join(folder, "files"), { recursive: true });
  writeFileSync(join(folder, "files", "in.csv"), "id,prompt\na,hello\n");
}

async function createSchedules(app: RunnerProcess, count: number): Promise<string[]> {
  const ids: string[] = [];
  for (let i = 0; i < count; i++) {
    const fields = { name: `s${i}`, schedule: "* * * * * *", overlapPolicy: "allow" };
    const { body } = await app.post("/scheduled-tasks", { ...fields, inputFile: "in.csv" });
    ids.push(body.data.id);
  }
  return ids;
}

async function runsOf(app: RunnerProcess, id: string): Promise<Json[]> {
  const { body } = await app.get(`/scheduled-tasks/${id}/runs?limit=100`);
  return body.data.runs.toReversed();
}

/** The runs of a disabled schedule, when all have ended. */
function endedRuns(app: RunnerProcess, id: string): Promise<Json[]> {
  return until(async () => {
    const runs = await runsOf(app, id);
    return runs.some(({ status }) => /pending|queued|running/.test(status)) ? undefined : runs;
  });
}

/** Every second from the first run to the last has exactly one run. */
function expectEverySecondOnce(runs: Json[]): void {
  const seconds = runs.map(({ scheduledAt }) => Date.parse(scheduledAt) / 1000);
  const first = seconds[0] ?? 0;
  expect(seconds).toEqual(seconds.map((_, i) => first + i));
}

describe("schedules that fire every second", () => {
  test("have one row for every second through a kill, and each run has one batch", async () => {
    using folder = temporaryFolder();
    givenInput(folder.path);
    await using provider = await startProvider();
    const env = { DATA_DIR: folder.path, ...provider.env };
    await using app = await startProcess(env);
    const ids = await createSchedules(app, 5);
    await until(async () => (await runsOf(app, ids[4] ?? "")).length >= 3 || undefined);
    await app.kill("SIGKILL");
    await Bun.sleep(2500); // Downtime, in which seconds are missed.

    await using again = await startProcess(env);
    const [probe = ""] = ids;
    const before = (await runsOf(again, probe)).length;
    await until(async () => (await runsOf(again, probe)).length >= before + 2 || undefined);
    for (const id of ids) await again.post(`/scheduled-tasks/${id}/disable`);
    for (const id of ids) {
      const runs = await endedRuns(again, id);
      expectEverySecondOnce(runs);
      const statuses = new Set(runs.map(({ status }) => status));
      expect([...statuses].toSorted()).toEqual(["completed", "missed"]);
      for (const { status, batchId, counts } of runs)
        if (status === "completed") expect([batchId !== null, counts.completed]).toEqual([true, 1]);
      const late = runs
        .filter(({ status }) => status === "completed")
        .map(({ scheduledAt, firedAt }) => Date.parse(firedAt) - Date.parse(scheduledAt));
      expect(Math.min(...late)).toBeGreaterThanOrEqual(0);
    }
    const completed = (await Promise.all(ids.map((id) => runsOf(again, id))))
      .flat()
      .filter(({ status }) => status === "completed").length;
    expect((await again.get("/batches")).body.data.pagination.total).toBe(completed);
    expect((await again.get(`${again.url}/readyz?deep=1`)).status).toBe(200);
  });
});

describe.if(sqld !== undefined)("processes that share a database", () => {
  test("fire each second once, and finish the runs of a killed process", async () => {
    using folder = temporaryFolder();
    givenInput(folder.path);
    await using database = await startSqld(folder.path);
    await using provider = await startProvider();
    const env = {
      DATABASE_URL: database.url,
      DATA_DIR: folder.path,
      LEASE_SECONDS: "1",
      ...provider.env,
    };
    await using a = await startProcess(env);
    await using b = await startProcess(env);
    const ids = await createSchedules(a, 4);
    const [probe = ""] = ids;
    await until(async () => (await runsOf(b, probe)).length >= 3 || undefined);
    await a.kill("SIGKILL");
    const before = (await runsOf(b, probe)).length;
    await until(async () => (await runsOf(b, probe)).length >= before + 3 || undefined);
    for (const id of ids) await b.post(`/scheduled-tasks/${id}/disable`);
    let completed = 0;
    for (const id of ids) {
      const runs = await endedRuns(b, id);
      expectEverySecondOnce(runs);
      for (const { status, counts } of runs)
        if (status !== "missed") expect([status, counts.completed]).toEqual(["completed", 1]);
      completed += runs.filter(({ status }) => status === "completed").length;
    }
    expect((await b.get("/batches")).body.data.pagination.total).toBe(completed);
    expect((await b.get(`${b.url}/readyz?deep=1`)).status).toBe(200);
  });
});
