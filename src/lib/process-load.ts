import { availableParallelism, totalmem } from "node:os";
import process from "node:process";

import type { Clock } from "./clock.ts";

export type ProcessLoad = {
  /** Share (0-1) of the machine's processors that this process has used of late. */
  cpu(): number;
  /** Share (0-1) of the memory that it may have that is resident. */
  memory(): number;
  /** How late the event loop came to its timers of late, at worst, in ms. */
  lagMs(): number;
  stop(): void;
};

const EVERY_MS = 500;
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
  return {
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

/** What the container allows, where it says so and that is less than there is. */
function memoryLimit(): number {
  const limit = process.constrainedMemory?.() ?? 0;
  return limit > 0 && limit < totalmem() ? limit : totalmem();
}

function clamp(share: number): number {
  return Math.round(Math.min(1, Math.max(0, share)) * 10_000) / 10_000;
}
