/*
 * Loaded into a process before all other modules. Every millisecond it records how late its timer fires, and the CPU time
 * of the main thread since the last time, which is an upper bound for the longest synchronous work in between. On SIGUSR2
 * it writes its records to `STALLS_FILE` and starts again. Linux only.
 */
import { openSync, readSync, renameSync, writeFileSync } from "node:fs";
import { isMainThread } from "node:worker_threads";

/** `long`: the wall-clock times at which the longest stretches ended, to find them in a profile. */
export type Stalls = {
  cpuMs: number[];
  lateMs: number[];
  long: { at: number; cpuMs: number; ms: number }[];
};

const LONG_MS = 12;

const EVERY_MS = 1;
const file = process.env["STALLS_FILE"];

if (isMainThread && file !== undefined) watch(file);

function watch(file: string): void {
  const usage = openSync(`/proc/self/task/${process.pid}/schedstat`, "r");
  const text = Buffer.alloc(64);
  /** Nanoseconds that the main thread has spent on a processor. */
  const used = () =>
    Number.parseInt(text.toString("latin1", 0, readSync(usage, text, 0, 64, 0)), 10);
  let stalls: Stalls = { cpuMs: [], lateMs: [], long: [] };
  let [cpu, at] = [used(), performance.now()];
  setInterval(() => {
    const [cpuNow, now] = [used(), performance.now()];
    const cpuMs = (cpuNow - cpu) / 1e6;
    stalls.cpuMs.push(cpuMs);
    if (cpuMs >= LONG_MS) stalls.long.push({ at: Date.now(), cpuMs, ms: now - at });
    stalls.lateMs.push(Math.max(0, now - at - EVERY_MS));
    [cpu, at] = [cpuNow, now];
  }, EVERY_MS);
  process.on("SIGUSR2", () => {
    const noted = stalls;
    stalls = { cpuMs: [], lateMs: [], long: [] };
    // Renamed, so that a waiting reader finds the complete file.
    writeFileSync(`${file}.tmp`, JSON.stringify(noted));
    renameSync(`${file}.tmp`, file);
    [cpu, at] = [used(), performance.now()];
  });
}
