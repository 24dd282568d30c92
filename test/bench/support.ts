import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";

import { orCrash } from "../../src/lib/background.ts";
import { createSystemClock } from "../../src/lib/clock.ts";

/** A row of a printed table. */
export type Row = Record<string, string | number>;

export function printTable(title: string, rows: Row[]): void {
  const columns = Object.keys(rows[0] ?? {});
  const width = (column: string) =>
    Math.max(column.length, ...rows.map((row) => String(row[column] ?? "").length));
  const line = (cells: string[]) =>
    `| ${cells.map((cell, i) => cell.padEnd(width(columns[i] ?? ""))).join(" | ")} |`;
  console.log(`\n### ${title}\n`);
  console.log(line(columns));
  console.log(`| ${columns.map((column) => "-".repeat(width(column))).join(" | ")} |`);
  for (const row of rows) console.log(line(columns.map((column) => String(row[column] ?? ""))));
}

export function describeMachine(): string {
  const [cpu] = cpus();
  return `${new Date().toISOString().slice(0, 10)}, ${cpus().length} × ${cpu?.model.trim()}, Bun ${Bun.version}`;
}

export function quantile(values: number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN;
}

export const median = (values: number[]) => quantile(values, 0.5);

export function round(value: number, digits = 0): number {
  return Number(value.toFixed(digits));
}

/** Measures the seconds that some work takes. */
export async function time(work: () => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await work();
  return (performance.now() - begun) / 1000;
}

/** The peak memory of a process so far. */
export function peakMb(pid: number): number {
  const text = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/VmHWM:\s+(\d+)/.exec(text)?.[1] ?? 0) / 1024;
}

/** Processes to end and folders to remove if a bench fails before it does so. */
const leftovers = new Set<() => void>();

/** Remembers how to remove what a failed bench must not leave behind. Returns a function that forgets it. */
function remember(remove: () => void): () => void {
  leftovers.add(remove);
  return () => leftovers.delete(remove);
}

/** Removes what a failed or interrupted bench has left. */
export function removeLeftovers(): void {
  // In reverse, because a process uses the folder that was made before it.
  for (const remove of [...leftovers].toReversed()) remove();
  leftovers.clear();
}

/** A new folder, and how to remove it. */
export function temporaryFolder(prefix: string) {
  const path = mkdtempSync(join(tmpdir(), prefix));
  const remove = () => rmSync(path, { recursive: true, force: true, maxRetries: 10 });
  const forget = remember(remove);
  return {
    path,
    remove(): void {
      forget();
      remove();
    },
  };
}

const forgetters = new WeakMap<Bun.Subprocess, () => void>();

/** A process that ends with the bench at the latest. */
export function tracked<Child extends Bun.Subprocess>(child: Child): Child {
  forgetters.set(
    child,
    remember(() => child.kill("SIGKILL")),
  );
  return child;
}

/** Starts a script of this folder as a process, which is ready when it prints `ready <url>`. */
export function startScript(file: string, env: Record<string, string> = {}) {
  return startCommand([process.execPath, join(import.meta.dir, file)], { env });
}

/** Starts a server or load as a process, which is ready when it prints `ready <url>`. */
export async function startCommand(
  command: string[],
  { env, cwd }: { env: Record<string, string>; cwd?: string },
) {
  const child = tracked(
    Bun.spawn(command, {
      env: { ...process.env, ...env },
      ...(cwd === undefined ? {} : { cwd }),
      stdout: "pipe",
      stderr: "ignore",
    }),
  );
  const url = await readUntil(child.stdout, /ready (\S+)/);
  return { url, pid: child.pid, stop: () => stop(child) };
}

/** Starts a program that does not print when it is ready. It is ready when `url` answers, within two minutes. */
export async function startServer(command: string[], url: string, env: Record<string, string>) {
  const child = tracked(
    Bun.spawn(command, {
      env: { ...process.env, ...env },
      stdout: "ignore",
      stderr: "ignore",
    }),
  );
  const end = performance.now() + 120_000;
  for (;;) {
    const reply = await fetch(url).catch(() => undefined);
    await reply?.body?.cancel();
    if (reply?.ok) return { pid: child.pid, stop: () => stop(child) };
    if (child.exitCode !== null || performance.now() > end) {
      await stop(child, "SIGKILL");
      throw new Error(`${command.join(" ")} does not answer at ${url}`);
    }
    await Bun.sleep(50);
  }
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** The options of Bun in `bun run start`. */
function runtimeSettings(): Record<string, string> {
  const { scripts } = JSON.parse(readFileSync("package.json", "utf8")) as {
    scripts: { start: string };
  };
  const found = scripts.start.matchAll(/\b(BUN_\w+)=(\S+)/g);
  return Object.fromEntries(Array.from(found, ([, name = "", value = ""]) => [name, value]));
}

/** Starts the real runner as a process, on a new database. */
export async function startRunner(
  env: Record<string, string> = {},
  preload?: string,
  program = [process.execPath, ...profiling(), ...preloading(preload), "src/main.ts"],
) {
  const own = env["DATA_DIR"] ? undefined : temporaryFolder("bench-");
  const folder = env["DATA_DIR"] ?? own?.path ?? "";
  const begun = performance.now();
  const child = tracked(
    Bun.spawn(program, {
      env: {
        PATH: process.env["PATH"] ?? "",
        API_KEYS: "bench",
        PORT: "0",
        DATA_DIR: folder,
        LOG_LEVEL: "warning",
        RATE_LIMIT_PER_MINUTE: "0",
        FAILED_LOGINS_PER_MINUTE: "0",
        MAX_STREAMS_PER_KEY: "0",
        MAX_WAITS_PER_KEY: "0",
        MAX_BODY_BYTES: "500000000",
        ...runtimeSettings(),
        ...env,
      },
      stdout: "pipe",
      stderr: "inherit",
    }),
  );
  const url = await readUntil(child.stdout, /(?:API|Health) +(http\S+)\/(?:api\/v1|readyz)/);
  const readyMs = performance.now() - begun;
  const api = async (method: string, path: string, body?: unknown) => {
    const response = await fetch(`${url}/api/v1${path}`, {
      method,
      headers: { authorization: "Bearer bench", "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (!response.ok)
      throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return (await response.json()).data;
  };
  return {
    url,
    pid: child.pid,
    folder,
    readyMs,
    api,
    async stop(): Promise<void> {
      await stop(child);
      own?.remove();
    },
    kill: () => stop(child, "SIGKILL"),
  };
}

/** With `BENCH_PROFILE` set, a profile of the main thread is written into that folder when a runner stops. */
function profiling(): string[] {
  const folder = process.env["BENCH_PROFILE"];
  return folder === undefined ? [] : ["--cpu-prof", "--cpu-prof-dir", folder];
}

function preloading(file: string | undefined): string[] {
  return file === undefined ? [] : ["--preload", join(import.meta.dir, file)];
}

export type BenchRunner = Awaited<ReturnType<typeof startRunner>>;

/** Waits until a batch has ended and returns it. */
export async function untilFinished(runner: BenchRunner, id: string) {
  for (;;) {
    const batch = await runner.api("GET", `/batches/${id}?limit=1`);
    if (["completed", "failed", "cancelled"].includes(batch.status)) return batch;
    await Bun.sleep(20);
  }
}

/** CPU seconds that a process has used, and by thread name. Linux only. */
export function cpuSeconds(pid: number): { total: number; byThread: Map<string, number> } {
  const byThread = new Map<string, number>();
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    const text = readFileSync(`/proc/${pid}/task/${task}/stat`, "utf8");
    const name = text.slice(text.indexOf("(") + 1, text.lastIndexOf(")"));
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    const seconds = (Number(fields[11]) + Number(fields[12])) / 100;
    const label = Number(task) === pid ? "main" : name;
    byThread.set(label, (byThread.get(label) ?? 0) + seconds);
  }
  return { total: [...byThread.values()].reduce((sum, s) => sum + s, 0), byThread };
}

/** Resident memory of a process in MB. Linux only. */
export function residentMb(pid: number): number {
  const text = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+)/.exec(text)?.[1] ?? 0) / 1024;
}

async function readUntil(stream: ReadableStream<Uint8Array>, pattern: RegExp): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  const reader = stream.getReader();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`the process ended before it was ready: ${text}`);
    text += decoder.decode(value, { stream: true });
    const found = pattern.exec(text)?.[1];
    if (found === undefined) continue;
    orCrash(createSystemClock(), drain(reader));
    return found;
  }
}

async function drain(reader: { read(): Promise<{ done: boolean }> }): Promise<void> {
  while (!(await reader.read()).done);
}

async function stop(child: Bun.Subprocess, signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
  child.kill(signal);
  await child.exited;
  forgetters.get(child)?.();
}
