import { type BenchRunner, cpuSeconds, median, printTable, round, startRunner } from "./support.ts";

const SECONDS = 4;
const ROUNDS = 4;
const TASKS_A_SECOND = 1000;
/** Bun sends at most 256 requests at once. */
const VIEWERS = [0, 100, 200];
/** A request has at most 50,000 tasks. */
const BATCHES = ["a", "b"];

/**
 * The cost of open pages for the server while a thousand tasks a second run: processor time, and bytes per page. Rounds
 * with and without pages take turns, because the cost of a hundred pages is smaller than the difference of two runs.
 */
export async function benchViewers(): Promise<void> {
  const runner = await startRunner({
    SIMULATOR_LATENCY_MS: "20",
    PROVIDER_RPM: String(TASKS_A_SECOND * 60),
    MAX_CONCURRENCY: "256",
  });
  const seconds = VIEWERS.length * ROUNDS * (SECONDS + 2) + 8;
  const tasks = Array.from({ length: (TASKS_A_SECOND * seconds) / BATCHES.length }, () => ({
    prompt: "x",
  }));
  for (const id of BATCHES) {
    await runner.api("POST", "/batches", { id, name: "Many", tasks });
    await runner.api("POST", `/batches/${id}/execute`);
  }
  await Bun.sleep(2000);
  const found = VIEWERS.map((viewers) => ({ viewers, measured: [] as Measured[] }));
  for (let i = 0; i < ROUNDS; i++)
    for (const { viewers, measured } of found) measured.push(await measure(runner, viewers));
  const base = median(found[0]?.measured.map(({ cores }) => cores) ?? []);
  printTable(
    "Pages that follow the server",
    found.map(({ viewers, measured }) => {
      const cores = median(measured.map((one) => one.cores));
      return {
        viewers,
        "tasks a second": round(median(measured.map((one) => one.tasks))),
        cores: round(cores, 3),
        "% of a core for a hundred": viewers ? round(((cores - base) / viewers) * 1e4, 1) : "",
        "kB/s for each": round(median(measured.map((one) => one.kilobytes)), 1),
      };
    }),
  );
  await runner.stop();
}

type Measured = { tasks: number; cores: number; kilobytes: number };

async function measure(runner: BenchRunner, viewers: number): Promise<Measured> {
  const abort = new AbortController();
  let bytes = 0;
  const read = async (response: Response) => {
    for await (const chunk of response.body ?? []) bytes += chunk.byteLength;
  };
  const open = async () => {
    const response = await fetch(`${runner.url}/api/v1/live`, {
      headers: { authorization: "Bearer bench" },
      signal: abort.signal,
    });
    read(response).catch(() => undefined);
  };
  await Promise.all(Array.from({ length: viewers }, open));
  await Bun.sleep(1000);
  bytes = 0;
  const ended = async () => {
    const found = BATCHES.map((id) => runner.api("GET", `/batches/${id}?limit=1`));
    const all = (await Promise.all(found)) as { progress: { completed: number } }[];
    return all.reduce((sum, { progress }) => sum + progress.completed, 0);
  };
  const before = { cpu: cpuSeconds(runner.pid).total, ended: await ended() };
  await Bun.sleep(SECONDS * 1000);
  const cores = (cpuSeconds(runner.pid).total - before.cpu) / SECONDS;
  const tasks = ((await ended()) - before.ended) / SECONDS;
  const kilobytes = viewers === 0 ? 0 : bytes / viewers / SECONDS / 1000;
  abort.abort();
  return { tasks, cores, kilobytes };
}
