import {
  cpuSeconds,
  median,
  printTable,
  round,
  type Row,
  startRunner,
  startScript,
  untilFinished,
} from "./support.ts";

const ROUNDS = 3;
const WARM_UP = 2;
const TASKS = 5000;

/** The same tree on Bun and on Deno: tasks a second against a provider that answers at once. */
export async function benchRuntimes(): Promise<void> {
  const deno = process.env["DENO"] ?? Bun.which("deno");
  if (deno === null) return console.log("\nruntimes: set DENO to the binary of Deno");
  const provider = await startScript("provider.ts");
  const env = { OPENAI_BASE_URL: provider.url, OPENAI_API_KEY: "bench", MAX_CONCURRENCY: "256" };
  const run = async (name: string, program?: string[]) => ({
    name,
    runner: await startRunner(env, undefined, program),
    rates: [] as number[],
    cpu: [] as number[],
  });
  const runners = [await run("Bun"), await run("Deno", [deno, "run", "-A", "src/deno.ts"])];
  for (let i = 0; i < WARM_UP + ROUNDS; i++)
    for (const { runner, rates, cpu } of runners) {
      const before = cpuSeconds(runner.pid).total;
      const seconds = await runBatch(runner, `b${i}`);
      if (i < WARM_UP) continue;
      rates.push(TASKS / seconds);
      cpu.push(((cpuSeconds(runner.pid).total - before) * 1e6) / TASKS);
    }
  await Promise.all([...runners.map(({ runner }) => runner.stop()), provider.stop()]);
  const ofBun = median(runners[0]?.rates ?? []);
  printTable(
    `${TASKS} tasks against a zero-latency provider, by runtime`,
    runners.map(({ name, rates, cpu }): Row => ({
      runtime: name,
      "tasks/s": round(median(rates)),
      ratio: round(median(rates) / ofBun, 2),
      "CPU µs a task": round(median(cpu)),
    })),
  );
}

/** Seconds from the start of a batch to its last committed result. */
async function runBatch(runner: Awaited<ReturnType<typeof startRunner>>, id: string) {
  const tasks = Array.from({ length: TASKS }, (_, i) => ({ prompt: `Say hello to number ${i}` }));
  await runner.api("POST", "/batches", { id, tasks, config: { maxConcurrency: 10_000 } });
  const begun = Date.now();
  await runner.api("POST", `/batches/${id}/execute`);
  const { completedAt } = await untilFinished(runner, id);
  return (Date.parse(completedAt) - begun) / 1000;
}
