import { availableParallelism } from "node:os";

import type { Profile } from "./plan.ts";
import type { SeedReport } from "./seed-worker.ts";

/** The seeds that a process simulates in one job. */
export type Job = { profile: Profile; from: number; count: number };

export type Simulating = {
  jobs: readonly Job[];
  onProgress?: (line: string) => void;
  onReport?: (report: SeedReport) => void;
  /** Whether to stop at the first seed that finds a fault. */
  onlyFirst?: boolean;
  /** The folder of the code under test, if not this one. */
  root?: string;
};

/** The number of seeds per job. */
const AT_A_TIME = 10;
const REPORT_EVERY_MS = 10_000;
const MOST_REPORTED = 8;

/** `count` seeds from `from` on. */
export function jobsOf(profile: Profile, from: number, count: number): Job[] {
  return Array.from({ length: Math.ceil(count / AT_A_TIME) }, (_, i) => ({
    profile,
    from: from + i * AT_A_TIME,
    count: Math.min(AT_A_TIME, count - i * AT_A_TIME),
  }));
}

/** Simulates many seeds, with one process per core. Returns those that found a fault. */
export async function simulate(given: Simulating): Promise<SeedReport[]> {
  const { onProgress = () => {}, onReport = () => {}, onlyFirst, root = process.cwd() } = given;
  const jobs = [...given.jobs];
  const begun = performance.now();
  const sums = { seeds: 0, runs: 0, faults: 0, kills: 0 };
  const found: SeedReport[] = [];
  let reportedAt = begun;

  function take(report: SeedReport): void {
    onReport(report);
    sums.seeds++;
    sums.runs += report.runs;
    sums.faults += report.faults;
    sums.kills += report.kills;
    if (report.complaints.length > 0) {
      found.push(report);
      for (const complaint of report.complaints.slice(0, MOST_REPORTED))
        onProgress(`seed ${report.seed} (${report.profile}): ${complaint}`);
    }
    if (performance.now() - reportedAt < REPORT_EVERY_MS) return;
    reportedAt = performance.now();
    onProgress(rates());
  }

  function rates(): string {
    const minutes = (performance.now() - begun) / 60_000;
    const each = (n: number) => Math.round(n / minutes);
    return `${sums.seeds} seeds, ${found.length} of them found something; a minute: ${each(sums.seeds)} seeds, ${each(sums.runs)} runs, ${each(sums.faults)} faults, ${each(sums.kills)} kills`;
  }

  async function work(): Promise<void> {
    const worker = startWorker(root);
    for (let job = jobs.shift(); job; job = jobs.shift()) {
      if (onlyFirst === true && found.length > 0) break;
      for (const report of await worker.run(job)) take(report);
    }
    worker.stop();
  }

  await Promise.all(Array.from({ length: Math.min(availableParallelism(), jobs.length) }, work));
  onProgress(rates());
  return found;
}

function startWorker(root: string) {
  const child = Bun.spawn([process.execPath, `${root}/test/simulation/seed-worker.ts`], {
    cwd: root,
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  const answers = linesOf(child.stdout);
  return {
    async run(job: Job): Promise<SeedReport[]> {
      await child.stdin.write(`${JSON.stringify(job)}\n`);
      await child.stdin.flush();
      const { value, done } = await answers.next();
      if (done) throw new Error(`the process that lived ${JSON.stringify(job)} died`);
      return JSON.parse(value) as SeedReport[];
    },
    stop: () => child.kill(),
  };
}

export async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const piece of stream) {
    rest += decoder.decode(piece, { stream: true });
    const lines = rest.split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
}
