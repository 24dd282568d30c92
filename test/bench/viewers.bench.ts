import { cpuSeconds, printTable, round, startRunner } from "./support.ts";

const SECONDS = 10;
const TASKS_A_SECOND = 1000;
const VIEWERS = 100;

/** What a hundred open pages cost the server while a thousand tasks a second run: processor time, and bytes for each. */
export async function benchViewers(): Promise<void> {
  // As many calls at once as make a thousand a second, steadily from the start.
  const runner = await startRunner({ SIMULATOR_LATENCY_MS: "20", MAX_CONCURRENCY: "20" });
  const tasks = Array.from({ length: TASKS_A_SECOND * (2 * SECONDS + 12) }, () => ({
    prompt: "x",
  }));
  await runner.api("POST", "/batches", { id: "b", name: "Many", tasks });
  await runner.api("POST", "/batches/b/execute");
  await Bun.sleep(2000);
  const ended = async () => (await runner.api("GET", "/batches/b?limit=1")).progress.completed;
  const measure = async () => {
    const before = { cpu: cpuSeconds(runner.pid).total, ended: await ended() };
    await Bun.sleep(SECONDS * 1000);
    return {
      "tasks a second": round(((await ended()) - before.ended) / SECONDS),
      cores: round((cpuSeconds(runner.pid).total - before.cpu) / SECONDS, 3),
    };
  };
  const none = await measure();
  const abort = new AbortController();
  let bytes = 0;
  for (let i = 0; i < VIEWERS; i++) {
    const response = await fetch(`${runner.url}/api/v1/live`, {
      headers: { authorization: "Bearer bench" },
      signal: abort.signal,
    });
    read(response).catch(() => undefined);
  }
  async function read(response: Response): Promise<void> {
    for await (const chunk of response.body ?? []) bytes += chunk.byteLength;
  }
  await Bun.sleep(1000);
  bytes = 0;
  const many = await measure();
  printTable("Pages that follow the server", [
    { viewers: 0, ...none, "kB/s for each": 0 },
    { viewers: VIEWERS, ...many, "kB/s for each": round(bytes / VIEWERS / SECONDS / 1000, 1) },
  ]);
  abort.abort();
  await runner.stop();
}
