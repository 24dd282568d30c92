import {
  cpuSeconds,
  median,
  printTable,
  round,
  startRunner,
  startScript,
  untilFinished,
} from "./support.ts";

const ROUNDS = 7;
/** Rounds that are counted separately, because the code of every program is compiled in them. */
const WARM_UP = 3;
/** The first rounds of fresh processes. */
const COLD = 2;
/** A trial of the script itself takes fewer. */
const TASKS = Number(process.env["BENCH_TASKS"] ?? 10_000);

/**
 * Tasks per second from the creation of a batch to its last committed result, beside a bare loop of the `openai` SDK in
 * its own process, against the same zero-latency provider.
 */
export async function benchThroughput(): Promise<void> {
  const provider = await startScript("provider.ts");
  const runner = await startRunner({
    OPENAI_BASE_URL: provider.url,
    OPENAI_API_KEY: "bench",
    MAX_CONCURRENCY: "1024",
  });
  const sdk = await startScript("sdk-loop.ts", { PROVIDER: provider.url, TASKS: String(TASKS) });
  const rates: { sdk: number[]; runner: number[]; create: number[]; cpu: number[] } = {
    sdk: [],
    runner: [],
    create: [],
    cpu: [],
  };
  const cold = { sdk: 0, runner: 0 };
  for (let i = 0; i < WARM_UP + ROUNDS; i++) {
    const sdkRate = Number(await (await fetch(sdk.url)).text());
    const before = cpuSeconds(runner.pid).total;
    const { total, create } = await runBatch(runner, `b${i}`);
    if (i < COLD) {
      cold.sdk += TASKS / sdkRate;
      cold.runner += total / 1000;
    }
    if (i < WARM_UP) continue;
    rates.sdk.push(sdkRate);
    rates.runner.push((TASKS / total) * 1000);
    rates.create.push((TASKS / create) * 1000);
    rates.cpu.push(((cpuSeconds(runner.pid).total - before) * 1e6) / TASKS);
  }
  await Promise.all([sdk.stop(), runner.stop(), provider.stop()]);
  printTable(`${TASKS} tasks against a zero-latency provider`, [
    {
      what: `bare SDK loop, the first ${COLD * TASKS} calls of a process`,
      "tasks/s": round((COLD * TASKS) / cold.sdk),
      ratio: 1,
    },
    {
      what: `task runner, the first ${COLD * TASKS} tasks of a process`,
      "tasks/s": round((COLD * TASKS) / cold.runner),
      ratio: round(cold.sdk / cold.runner, 2),
    },
    { what: "bare SDK loop, 64 at once", "tasks/s": round(median(rates.sdk)), ratio: 1 },
    {
      what: "task runner, creation included",
      "tasks/s": round(median(rates.runner)),
      ratio: round(median(rates.runner.map((rate, i) => rate / (rates.sdk[i] ?? 1))), 2),
    },
    { what: "  of this, creation alone", "tasks/s": round(median(rates.create)), ratio: "" },
    { what: "  CPU µs a task, all threads", "tasks/s": round(median(rates.cpu)), ratio: "" },
  ]);
}

async function runBatch(runner: Awaited<ReturnType<typeof startRunner>>, id: string) {
  const tasks = Array.from({ length: TASKS }, (_, i) => ({
    id: `${id}-${i}`,
    prompt: "Say hello to number",
  }));
  const begun = Date.now();
  await runner.api("POST", "/batches", { id, tasks, config: { maxConcurrency: 10_000 } });
  const created = Date.now();
  await runner.api("POST", `/batches/${id}/execute`);
  const { completedAt } = await untilFinished(runner, id);
  return { total: Date.parse(completedAt) - begun, create: created - begun };
}
