import {
  type BenchRunner,
  printTable,
  quantile,
  round,
  startRunner,
  startScript,
} from "./support.ts";

const SAMPLES = 300;

/** Milliseconds from an execute call to the arrival of the request at the provider, one at a time. */
export async function executeLatencies(runner: BenchRunner, provider: string): Promise<number[]> {
  await fetch(`${provider}/arrivals`);
  const sent = new Map<string, number>();
  for (let i = 0; i < SAMPLES + 20; i++) {
    const id = `latency-${crypto.randomUUID()}`;
    await runner.api("POST", "/tasks", { id, prompt: id });
    await Bun.sleep(3);
    if (i >= 20) sent.set(id, performance.timeOrigin + performance.now());
    await runner.api("POST", `/tasks/${id}/execute`);
    await Bun.sleep(5);
  }
  await Bun.sleep(300);
  const { arrivals } = await (await fetch(`${provider}/arrivals`)).json();
  return (arrivals as [string, number][]).flatMap(([prompt, at]) => {
    const begun = sent.get(prompt);
    return begun === undefined ? [] : [at - begun];
  });
}

/** The time until a task reaches the provider: on an idle server, and while a batch of 100,000 tasks runs. */
export async function benchLatency(): Promise<void> {
  const provider = await startScript("provider.ts", { ARRIVALS: "1" });
  const slow = await startScript("provider.ts", { LATENCY_MS: "200" });
  const runner = await startRunner({ OPENAI_BASE_URL: provider.url, OPENAI_API_KEY: "x" });
  const rows = [toRow("idle", await executeLatencies(runner, provider.url))];

  const tasks = Array.from({ length: 50_000 }, (_, i) => ({ prompt: `batch-${i}` }));
  for (const id of ["x", "y"]) {
    await runner.api("POST", "/batches", { id, tasks });
    await runner.api("POST", `/batches/${id}/execute`);
  }
  const busy = await executeLatencies(runner, provider.url);
  const { progress } = await runner.api("GET", "/batches/x?limit=1");
  rows.push(toRow("while 100,000 tasks run, zero-latency provider", busy));
  if (progress.pending === 0) throw new Error("the batches ended before the measurement");
  await runner.stop();

  const real = await startRunner({ OPENAI_BASE_URL: slow.url, OPENAI_API_KEY: "x" });
  await real.api("POST", "/batches", { id: "x", tasks });
  await real.api("POST", "/batches/x/execute");
  rows.push(toRow("while 50,000 tasks run, calls of 200 ms", await startDelays(real)));
  await Promise.all([real.stop(), provider.stop(), slow.stop()]);
  printTable("From execute call to provider request, ms", rows);
}

/** Milliseconds from an execute call to the recorded start of the task. */
async function startDelays(runner: BenchRunner): Promise<number[]> {
  const delays: number[] = [];
  for (let i = 0; i < 100; i++) {
    const id = `single-${i}`;
    await runner.api("POST", "/tasks", { id, prompt: id });
    const begun = Date.now();
    await runner.api("POST", `/tasks/${id}/execute`);
    await Bun.sleep(250);
    const { startedAt } = await runner.api("GET", `/tasks/${id}`);
    delays.push(Date.parse(startedAt) - begun);
  }
  return delays;
}

function toRow(when: string, ms: number[]) {
  return {
    when,
    samples: ms.length,
    p50: round(quantile(ms, 0.5), 2),
    p99: round(quantile(ms, 0.99), 2),
    max: round(Math.max(...ms), 2),
  };
}
