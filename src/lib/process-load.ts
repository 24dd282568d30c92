import { availableParallelism, totalmem } from "node:os";
import process from "node:process";

import type { Clock } from "./clock.ts";

export type ProcessLoad = {
  /** Share (0-1) of the machine's processors that this process has used recently. */
  cpu(): number;
  /** Resident memory as a share (0-1) of the memory that the process may use. */
  memory(): number;
  /** The longest recent delay of the event loop's timers, in ms. */
  lagMs(): number;
  /** A request was answered that took this long. */
  noteRequest(ms: number): void;
  /** The share of recent time in which a client waited for an answer; more than 1 if several waited at once. */
  requestShare(): number;
  stop(): void;
};

/** The load of a process that has none. */
export const IDLE: ProcessLoad = {
  cpu: () => 0,
  memory: () => 0,
  lagMs: () => 0,
  noteRequest: () => {},
  requestShare: () => 0,
  stop: () => {},
};

const EVERY_MS = 500;
/** How long a request counts as recent, about. */
const REQUESTS_MS = 500;
/** Added to each request, because how long it waited for its turn is unknown. */
const BEFORE_REQUEST_MS = 1;
/** The most that a request counts: one that takes longer waits for something other than this process. */
const MOST_REQUEST_MS = 50;
/** The figures cover this many samples: five seconds. */
const SAMPLES = 10;

/** Measures this process twice a second. */
export function measureLoad(clock: Clock): ProcessLoad {
  const samples = [{ at: clock.monotonic(), cpuMs: usedCpuMs(), lagMs: 0 }];
  const cancel = clock.setInterval(() => {
    const at = clock.monotonic();
    const lagMs = Math.max(0, at - (samples.at(-1)?.at ?? at) - EVERY_MS);
    samples.push({ at, cpuMs: usedCpuMs(), lagMs });
    if (samples.length > SAMPLES) samples.shift();
  }, EVERY_MS);
  const requests = { ms: 0, at: clock.monotonic() };
  const requestsMs = () => {
    const now = clock.monotonic();
    requests.ms *= Math.exp((requests.at - now) / REQUESTS_MS);
    requests.at = now;
    return requests.ms;
  };
  return {
    noteRequest(ms) {
      requests.ms = requestsMs() + Math.min(ms + BEFORE_REQUEST_MS, MOST_REQUEST_MS);
    },
    requestShare: () => requestsMs() / REQUESTS_MS,
    cpu() {
      const [first] = samples;
      const elapsed = clock.monotonic() - (first?.at ?? 0);
      const used = usedCpuMs() - (first?.cpuMs ?? 0);
      return clamp(used / Math.max(1, elapsed) / availableParallelism());
    },
    memory: () => clamp(process.memoryUsage().rss / memoryLimit()),
    lagMs: () => Math.max(...samples.map(({ lagMs }) => lagMs)),
    stop: cancel,
  };
}

function usedCpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** The memory limit of the container, if there is one below the memory of the machine. */
function memoryLimit(): number {
  const limit = process.constrainedMemory?.() ?? 0;
  return limit > 0 && limit < totalmem() ? limit : totalmem();
}

function clamp(share: number): number {
  return Math.round(Math.min(1, Math.max(0, share)) * 10_000) / 10_000;
}
