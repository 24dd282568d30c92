import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { nextFire } from "../../src/domain/cron.ts";
import {
  type BenchRunner,
  printTable,
  quantile,
  round,
  startRunner,
  startScript,
} from "./support.ts";

const SCHEDULES = 1000;
const AT_ONCE = 32;

/** How punctually schedules fire, alone and under load, and the cost of ten thousand schedules at a start. */
export async function benchSchedules(): Promise<void> {
  await benchPrecision();
  await benchStart();
}

async function benchPrecision(): Promise<void> {
  const provider = await startScript("provider.ts");
  const slow = await startScript("provider.ts", { LATENCY_MS: "200" });
  const rows = [
    await firesOf("1,000 in the same second, idle", provider.url, 0, () => 0),
    await firesOf("1,000 in the same second, 100,000 tasks run", provider.url, 100_000, () => 0),
    await firesOf("1,000 over a minute, 100,000 tasks run", slow.url, 100_000, (i) => i % 60),
  ];
  await Promise.all([provider.stop(), slow.stop()]);
  printTable(
    "Fires: ms after their time that they are noticed, the last is on record, their batches are started",
    rows,
  );
}

/** Lets a thousand schedules fire once, each in the second `offset` after a common start. */
async function firesOf(
  when: string,
  provider: string,
  load: number,
  offset: (i: number) => number,
) {
  const runner = await startRunner({ OPENAI_BASE_URL: provider, OPENAI_API_KEY: "x" });
  mkdirSync(join(runner.folder, "files"), { recursive: true });
  writeFileSync(join(runner.folder, "files", "in.csv"), "prompt\nhello\n");
  if (load > 0) {
    const tasks = Array.from({ length: load / 2 }, (_, i) => ({ prompt: `load ${i}` }));
    for (const id of ["x", "y"]) await runner.api("POST", "/batches", { id, tasks });
  }
  const ids: string[] = [];
  await inParallel(SCHEDULES, async (i) => {
    const fields = { name: `s${i}`, schedule: "@yearly", inputFile: "in.csv", isActive: false };
    ids[i] = (await runner.api("POST", "/scheduled-tasks", fields)).id;
  });
  // Time to create all schedules, and for the load to begin.
  const first = Math.ceil(Date.now() / 1000) + 5;
  await inParallel(SCHEDULES, (i) =>
    runner.api("PATCH", `/scheduled-tasks/${ids[i]}`, {
      schedule: `${(first + offset(i)) % 60} * * * * *`,
      isActive: true,
    }),
  );
  if (Date.now() > first * 1000 - 1000) throw new Error("creating the schedules took too long");
  if (load > 0) for (const id of ["x", "y"]) await runner.api("POST", `/batches/${id}/execute`);
  const last = first + Math.max(...ids.map((_, i) => offset(i)));
  const onRecord = await fullRecord(runner, last * 1000);
  const loaded = load > 0 ? (await runner.api("GET", "/batches/y?limit=1")).progress.pending : 0;
  const runs = await startedRuns(runner, ids);
  await runner.stop();
  const late = runs.map((run) => Date.parse(run.firedAt) - Date.parse(run.scheduledAt));
  const started = runs.map((run) => Date.parse(run.startedAt) - Date.parse(run.scheduledAt));
  return {
    when,
    fired: runs.length,
    p50: quantile(late, 0.5),
    p99: quantile(late, 0.99),
    max: Math.max(...late),
    "all on record": onRecord,
    "started p50": quantile(started, 0.5),
    "started max": Math.max(...started),
    "load left": loaded,
  };
}

/** Milliseconds from `due` until every fire of that second is committed, as another process sees it. */
async function fullRecord(runner: BenchRunner, due: number): Promise<number> {
  await Bun.sleep(due - Date.now());
  for (;;) {
    const { details } = await runner.api("GET", "/status/services/scheduler");
    if (Date.parse(details.nextRun) > due) return Date.now() - due;
    await Bun.sleep(5);
  }
}

type Run = { status: string; scheduledAt: string; firedAt: string; startedAt: string };

/** The one run of each schedule, once its batch has been started. */
async function startedRuns(runner: BenchRunner, ids: string[]): Promise<Run[]> {
  const runs: Run[] = [];
  await inParallel(ids.length, async (i) => {
    for (;;) {
      const page = await runner.api("GET", `/scheduled-tasks/${ids[i]}/runs?limit=100`);
      const [run] = page.runs.toReversed() as Run[];
      if (run && run.startedAt !== null) return void runs.push(run);
      await Bun.sleep(100);
    }
  });
  return runs;
}

/** Cron expressions that are unlikely to fire during the measurement. */
const EXPRESSIONS = [
  "0 9 * * MON-FRI",
  "*/5 9-17 1 * *",
  "30 2 * * *",
  "0 0 1 * *",
  "15,45 8-18 2 * *",
];
const ZONES = ["UTC", "America/New_York", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe"];

async function benchStart(): Promise<void> {
  const many = Array.from({ length: 10_000 }, (_, i) => ({
    expression: EXPRESSIONS[i % EXPRESSIONS.length] ?? "",
    timezone: ZONES[Math.floor(i / 5) % ZONES.length] ?? "",
  }));
  const begun = performance.now();
  for (const zoned of many) nextFire(zoned, Date.now());
  const computed = performance.now() - begun;

  const folder = mkdtempSync(join(tmpdir(), "bench-"));
  const start = () => startRunner({ DATA_DIR: folder });
  await (await start()).stop();
  const empty = await start();
  await inParallel(many.length, (i) => {
    const { expression: schedule, timezone } = many[i] ?? { expression: "", timezone: "" };
    const fields = { name: "s", schedule, timezone, inputFile: "x.csv" };
    return empty.api("POST", "/scheduled-tasks", fields);
  });
  await empty.stop();
  const full = await start();
  await full.stop();
  rmSync(folder, { recursive: true });
  printTable("A start with 10,000 schedules", [
    {
      what: "computing their next times",
      ms: round(computed),
      "of 1 s": round(computed / 1000, 2),
    },
    { what: "start of the process with none", ms: round(empty.readyMs), "of 1 s": "" },
    {
      what: "start of the process with 10,000",
      ms: round(full.readyMs),
      "of 1 s": round((full.readyMs - empty.readyMs) / 1000, 2),
    },
  ]);
}

async function inParallel(count: number, work: (i: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      while (next < count) await work(next++);
    }),
  );
}
