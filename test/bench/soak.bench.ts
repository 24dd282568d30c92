import {
  cpuSeconds,
  printTable,
  residentMb,
  round,
  startRunner,
  startScript,
  untilFinished,
} from "./support.ts";

const BATCH = 25_000;
const BATCHES = 8;

/** Memory and CPU over 200,000 tasks, neither of which may grow. */
export async function benchSoak(): Promise<void> {
  const provider = await startScript("provider.ts");
  const runner = await startRunner({
    OPENAI_BASE_URL: provider.url,
    OPENAI_API_KEY: "x",
    MAX_CONCURRENCY: "256",
  });
  const rows = [];
  for (let i = 0; i < BATCHES; i++) {
    const before = cpuSeconds(runner.pid).byThread;
    const tasks = Array.from({ length: BATCH }, (_, n) => ({
      prompt: `prompt number ${n} of ${i}`,
    }));
    await runner.api("POST", "/batches", { id: `b${i}`, tasks });
    await runner.api("POST", `/batches/b${i}/execute`);
    await untilFinished(runner, `b${i}`);
    const after = cpuSeconds(runner.pid).byThread;
    const micros = (match: (name: string) => boolean) => {
      let seconds = 0;
      for (const [name, total] of after)
        if (match(name)) seconds += total - (before.get(name) ?? 0);
      return round((seconds * 1e6) / BATCH);
    };
    const isOther = (name: string) => !["main", "Worker", "HTTP Client"].includes(name);
    rows.push({
      "tasks so far": (i + 1) * BATCH,
      "RSS MB": round(residentMb(runner.pid)),
      "main µs/task": micros((name) => name === "main"),
      "worker µs/task": micros((name) => name === "Worker"),
      "HTTP client µs/task": micros((name) => name === "HTTP Client"),
      "other (JIT, GC) µs/task": micros(isOther),
    });
  }
  await runner.stop();
  await provider.stop();
  printTable("Memory and CPU over 200,000 tasks", rows);
}
