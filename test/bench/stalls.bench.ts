import { appendFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { fillHistory } from "./history-fill.ts";
import type { Stalls } from "./stall-probe.ts";
import {
  type BenchRunner,
  printTable,
  quantile,
  residentMb,
  type Row,
  round,
  startRunner,
  startScript,
} from "./support.ts";

/** Concurrent calls, and the duration of each: two thousand tasks a second. */
const AT_ONCE = 1000;
const CALL_MS = 500;
const TASKS_A_SECOND = (AT_ONCE * 1000) / CALL_MS;
const RUNNING_SECONDS = Number(process.env["STALLS_SECONDS"] ?? 300);
const ROUNDS = 5;

const DAY_MS = 24 * 60 * 60 * 1000;
const lastWeek = () => new Date(Date.now() - 7 * DAY_MS).toISOString();

/** Every endpoint that reads, with the filters and orders that read most. */
const ENDPOINTS = () => [
  "/metrics",
  ...["hour", "day", "week", "month"].map((period) => `/metrics/tasks?period=${period}`),
  "/metrics/failures",
  "/status",
  "/status/services/workers",
  "/status/services/webhooks",
  "/tasks?limit=100",
  "/tasks?limit=100&page=100",
  "/tasks?limit=100&sort=id&order=asc",
  "/tasks?limit=100&status=failed",
  "/tasks?limit=100&status=pending",
  "/tasks?limit=100&status=running",
  `/tasks?limit=100&createdAfter=${lastWeek()}`,
  `/tasks?limit=100&createdAfter=${lastWeek()}&status=failed&sort=id`,
  "/tasks?batchId=running&limit=100",
  "/tasks?batchId=running&limit=100&page=100&sort=id",
  "/batches?limit=100",
  "/batches?limit=100&sort=name&name=history",
  "/batches/running?limit=100&page=100",
  "/batches/newest?limit=100&status=completed",
  "/webhooks",
  "/webhooks/wh-history/deliveries?limit=100&status=failed",
  "/audit?limit=100",
  "/files",
  "/api-keys",
  "/models",
  "/scheduled-tasks",
];

/**
 * How long the main thread is blocked while tasks run and all endpoints are read, with a million tasks stored, or as many
 * as `STALLS_TASKS` says. Wall time is reported beside that of an idle process. With `STALLS_EACH` set, each endpoint also
 * has its own row. `STALLS_FOLDER` names a folder that is kept, and whose database is used if there is one; with
 * `STALLS_PREPARE`, the database is only created. The stretches above 12 ms are written into the file `STALLS_LONG`.
 */
export async function benchStalls(): Promise<void> {
  const stored = Number(process.env["STALLS_TASKS"] ?? 1_000_000);
  const rows = Number(process.env["STALLS_ROWS"] ?? 1_000_000);
  const kept = process.env["STALLS_FOLDER"];
  const folder = kept ?? mkdtempSync(join(tmpdir(), "bench-stalls-"));
  const provider = await startScript("provider.ts", { LATENCY_MS: String(CALL_MS) });
  try {
    await prepare(folder, stored, rows);
    if (process.env["STALLS_PREPARE"] !== undefined) return;
    const file = join(folder, "stalls.json");
    const runner = await startRunner(
      {
        DATA_DIR: folder,
        OPENAI_BASE_URL: provider.url,
        OPENAI_API_KEY: "x",
        MAX_CONCURRENCY: String(AT_ONCE),
        STALLS_FILE: file,
      },
      "stall-probe.ts",
    );
    const idleFile = join(folder, "idle.json");
    const idle = await startScript("idle.ts", { STALLS_FILE: idleFile });
    const both = { runner: { pid: runner.pid, file }, idle: { pid: idle.pid, file: idleFile } };
    try {
      const table = await measure(runner, both, rows);
      printTable(`Stretches of the main thread, ${stored} tasks stored`, table);
    } finally {
      await Promise.all([runner.stop(), idle.stop()]);
    }
  } finally {
    await provider.stop();
    if (kept === undefined) rmSync(folder, { recursive: true });
  }
}

/** Stores the history and the inputs that do not exist yet. */
async function prepare(folder: string, stored: number, rows: number): Promise<void> {
  const database = join(folder, "task-runner.db");
  if (!existsSync(database)) {
    await (await startRunner({ DATA_DIR: folder })).stop();
    await fillHistory(database, stored);
  }
  mkdirSync(join(folder, "files"), { recursive: true });
  for (const [name, count] of [
    ["running.csv", TASKS_A_SECOND * RUNNING_SECONDS],
    ["rows.csv", rows],
  ] as const) {
    const path = join(folder, "files", name);
    if (!existsSync(path)) await writeCsv(path, count);
  }
  // The batch is not started here, so no provider is called.
  const runner = await startRunner({ DATA_DIR: folder });
  await runner
    .api("GET", "/batches/running?limit=1")
    .catch(() => runner.api("POST", "/batches", { id: "running", inputFile: "running.csv" }));
  await runner.stop();
}

type Probed = { pid: number; file: string };

async function measure(
  runner: BenchRunner,
  { runner: server, idle }: { runner: Probed; idle: Probed },
  rows: number,
): Promise<Row[]> {
  const table: Row[] = [];
  async function phase(what: string, work: () => Promise<unknown>): Promise<void> {
    await Promise.all([take(server), take(idle)]);
    const begun = performance.now();
    await work();
    const seconds = (performance.now() - begun) / 1000;
    const [stalls, beside] = await Promise.all([take(server), take(idle)]);
    if (process.env["STALLS_LONG"] !== undefined)
      appendFileSync(
        process.env["STALLS_LONG"],
        stalls.long.map((one) => `${JSON.stringify({ what, ...one })}\n`).join(""),
      );
    table.push({
      while: what,
      seconds: round(seconds, 1),
      "CPU ms p99.9": round(quantile(stalls.cpuMs, 0.999), 1),
      "CPU worst": round(Math.max(...stalls.cpuMs), 1),
      "late ms p99.9": round(quantile(stalls.lateMs, 0.999), 1),
      "late worst": round(Math.max(...stalls.lateMs), 1),
      "idle late worst": round(Math.max(...beside.lateMs), 1),
      "RSS MB": round(residentMb(runner.pid)),
    });
  }
  await phase("nothing is asked", () => Bun.sleep(5000));
  await runner.api("POST", "/batches/running/execute");
  await phase(`${TASKS_A_SECOND} tasks a second run`, () => Bun.sleep(10_000));
  await phase("every endpoint is read in turn", async () => {
    for (let i = 0; i < ROUNDS; i++) for (const path of ENDPOINTS()) await runner.api("GET", path);
  });
  if (process.env["STALLS_EACH"] !== undefined)
    for (const path of ENDPOINTS())
      await phase(path, async () => {
        for (let i = 0; i < ROUNDS; i++) await runner.api("GET", path);
      });
  await phase(`${rows} rows are ingested`, () =>
    runner.api("POST", "/batches", { id: "rows", inputFile: "rows.csv" }),
  );
  await phase("results are exported", () => drain(runner, "/batches/running/results?format=csv"));
  await phase("an estimate is made", () => runner.api("GET", "/batches/rows/estimate"));
  await phase("all counters are checked", () => drain(runner, "/readyz?deep=1"));
  return table;
}

/** The records of a process since the last call. */
async function take({ pid, file }: Probed): Promise<Stalls> {
  rmSync(file, { force: true });
  process.kill(pid, "SIGUSR2");
  while (!existsSync(file)) await Bun.sleep(5);
  return JSON.parse(readFileSync(file, "utf8")) as Stalls;
}

/** Reads an answer piece by piece and keeps nothing of it. */
async function drain(runner: BenchRunner, path: string): Promise<void> {
  const url = path.startsWith("/readyz") ? runner.url + path : `${runner.url}/api/v1${path}`;
  const response = await fetch(url, { headers: { authorization: "Bearer bench" } });
  // The counters of a history that was made by SQL differ in a batch: all were read.
  const isRead = response.ok || (response.status === 503 && path.startsWith("/readyz"));
  if (!isRead || !response.body) throw new Error(`${path}: ${response.status}`);
  for await (const _ of response.body);
}

async function writeCsv(path: string, rows: number): Promise<void> {
  const writer = Bun.file(path).writer();
  await writer.write("prompt\n");
  for (let i = 0; i < rows; i++) {
    await writer.write(`Say hello to number ${i}\n`);
  }
  await writer.end();
}
