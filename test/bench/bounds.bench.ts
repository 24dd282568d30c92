import { createWriteStream, mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

import {
  type BenchRunner,
  peakMb,
  printTable,
  residentMb,
  round,
  type Row,
  startRunner,
  startScript,
  time,
} from "./support.ts";

const LINES = 300;
const LINE_BYTES = 1_900_000;
const ROWS = 1_000_000;
const DELETED = 300_000;
/** An ingest is killed after this time, when some of its rows are stored. */
const KILLED_AFTER_MS = 30_000;
const MINUTE = 60_000;

/** Bounds: memory for large inputs, the time until work continues after a kill, and the size of the database file. */
export async function benchBounds(): Promise<void> {
  const only = process.env["BOUNDS_ONLY"]?.split(",") ?? ["lines", "rows", "kill", "file"];
  const title = "Memory while a batch is created";
  const lines = `${LINES} lines of ${LINE_BYTES / 1e6} MB`;
  if (only.includes("lines")) printTable(title, [await ingest(lines, "rows.jsonl", longLines())]);
  if (only.includes("rows"))
    printTable(title, [await ingest(`${ROWS} short rows`, "rows.csv", shortRows())]);
  if (only.includes("kill"))
    printTable("After kill -9, seconds from the start of the process", [
      await kill("while tasks run", false),
      await kill(`while tasks run and ${ROWS} rows are ingested`, true),
    ]);
  if (only.includes("file"))
    printTable(`The file after a batch of ${DELETED} tasks is deleted`, [await shrink()]);
}

async function ingest(what: string, name: string, pieces: Iterable<string>): Promise<Row> {
  const runner = await startRunner();
  const bytes = await writeInput(runner, name, pieces);
  const before = residentMb(runner.pid);
  const seconds = await time(() => runner.api("POST", "/batches", { id: "b", inputFile: name }));
  const peak = peakMb(runner.pid);
  await runner.stop();
  return {
    input: what,
    "file MB": round(bytes / 1e6),
    seconds: round(seconds, 1),
    "RSS MB before": round(before),
    "at most": round(peak),
  };
}

async function kill(when: string, isIngesting: boolean): Promise<Row> {
  const provider = await startScript("provider.ts", { LATENCY_MS: "500", ARRIVALS: "1" });
  const env = {
    OPENAI_BASE_URL: provider.url,
    OPENAI_API_KEY: "bench",
    MAX_CONCURRENCY: "256",
  };
  const first = await startRunner(env);
  const again = { ...env, DATA_DIR: first.folder };
  try {
    await writeInput(first, "running.csv", shortRows(100_000));
    await writeInput(first, "rows.csv", shortRows());
    await first.api("POST", "/batches", { id: "running", inputFile: "running.csv" });
    await first.api("POST", "/batches/running/execute");
    if (isIngesting)
      void first.api("POST", "/batches", { id: "rows", inputFile: "rows.csv" }).catch(() => {});
    await Bun.sleep(isIngesting ? KILLED_AFTER_MS : 5000);
    const stored = statSync(join(first.folder, "task-runner.db")).size;
    await first.kill();
    await Bun.sleep(1000);
    await arrivals(provider.url);
    const begun = performance.timeOrigin + performance.now();
    const second = await startRunner(again);
    const [at] = await untilOneCame(provider.url);
    const healthy = await time(() => fetch(`${second.url}/healthz`));
    const listed = await time(() => second.api("GET", "/tasks?limit=100"));
    await second.kill();
    return {
      killed: when,
      "file MB": round(stored / 1e6),
      "until it listens": round(second.readyMs / 1000, 2),
      "until the first call": round((at - begun) / 1000, 2),
      "first /healthz": round(healthy, 3),
      "first list": round(listed, 3),
    };
  } finally {
    await provider.stop();
    await (await startRunner({ ...again, DATA_DIR: first.folder })).stop();
  }
}

/** The times of the calls that the provider has received since the last request for them. */
async function arrivals(url: string): Promise<number[]> {
  const { arrivals: came } = (await (await fetch(url)).json()) as { arrivals: [string, number][] };
  return came.map(([, at]) => at);
}

async function untilOneCame(url: string): Promise<[number]> {
  for (;;) {
    const [at] = await arrivals(url);
    if (at !== undefined) return [at];
    await Bun.sleep(10);
  }
}

async function shrink(): Promise<Row> {
  const runner = await startRunner();
  const size = () => statSync(join(runner.folder, "task-runner.db")).size;
  await writeInput(runner, "rows.csv", shortRows(DELETED));
  const empty = size();
  await runner.api("POST", "/batches", { id: "b", inputFile: "rows.csv" });
  // Time for a checkpoint, which moves the write-ahead log into the file.
  await Bun.sleep(2000);
  const full = size();
  const begun = performance.now();
  await runner.api("DELETE", "/batches/b");
  const deleted = performance.now();
  while (size() > empty + (full - empty) / 5 && performance.now() - begun < 10 * MINUTE)
    await Bun.sleep(500);
  const seconds = (performance.now() - begun) / 1000;
  const row = {
    "MB before": round(empty / 1e6, 1),
    "with the batch": round(full / 1e6, 1),
    "answered after s": round((deleted - begun) / 1000, 1),
    "shrunk after s": round(seconds, 1),
    "MB then": round(size() / 1e6, 1),
  };
  await runner.stop();
  return row;
}

async function writeInput(
  runner: BenchRunner,
  name: string,
  pieces: Iterable<string>,
): Promise<number> {
  const path = join(runner.folder, "files", name);
  mkdirSync(join(runner.folder, "files"), { recursive: true });
  await pipeline(Readable.from(pieces), createWriteStream(path));
  return statSync(path).size;
}

function* longLines(): Generator<string> {
  const prompt = "word ".repeat(LINE_BYTES / 5);
  for (let i = 0; i < LINES; i++) yield `${JSON.stringify({ prompt })}\n`;
}

function* shortRows(rows = ROWS): Generator<string> {
  yield "prompt,city\n";
  for (let i = 0; i < rows; i += 1000)
    yield Array.from({ length: 1000 }, (_, n) => `Say hello to ${i + n},Paris\n`).join("");
}
