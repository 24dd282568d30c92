import { type Gateway, startGateways } from "./peers/gateways.ts";
import {
  peakMb,
  printTable,
  quantile,
  residentMb,
  type Row,
  round,
  startRunner,
  startScript,
} from "./support.ts";

type Sample = { ms: number[]; firstMs: number[]; perSecond: number; failed: number };

const ROUNDS = 3;
const ROUND_MS = 1000;
const WARM_UP_MS = 500;

const emptySample = (): Sample => ({ ms: [], firstMs: [], perSecond: 0, failed: 0 });

/**
 * The duration of calls through `/v1/chat/completions`, beside direct calls to the provider and calls through other
 * gateways. The gateways are installed for it (`peers/gateways.ts`), unless `BENCH_PEERS` is `none`.
 */
export async function benchLive(): Promise<void> {
  const provider = await startScript("provider.ts");
  const runner = await startRunner({ OPENAI_BASE_URL: provider.url, OPENAI_API_KEY: "x" });
  const others =
    process.env["BENCH_PEERS"] === "none" ? undefined : await startGateways(provider.url);
  const targets: Gateway[] = [
    { name: "direct", url: provider.url, headers: {}, pid: provider.pid },
    {
      name: "task runner",
      url: `${runner.url}/v1`,
      headers: { authorization: "Bearer bench" },
      pid: runner.pid,
    },
    ...(others?.gateways ?? []),
  ];
  const rows: Row[] = [];
  for (const isStream of [false, true])
    for (const concurrency of [1, 16, 64])
      rows.push(...(await compare(targets, concurrency, isStream)));
  await Promise.all([runner.stop(), provider.stop(), others?.stop()]);
  printTable("Live calls: milliseconds, and what is added to the direct call", rows);
}

async function compare(targets: Gateway[], concurrency: number, isStream: boolean): Promise<Row[]> {
  const samples = targets.map(emptySample);
  for (const target of targets) await load(target, concurrency, isStream, WARM_UP_MS);
  // In turns, so that a drift of the machine's speed affects all equally.
  for (let turn = 0; turn < ROUNDS; turn++)
    for (const [i, target] of targets.entries()) {
      const round = await load(target, concurrency, isStream, ROUND_MS);
      const sample = samples[i];
      sample?.ms.push(...round.ms);
      sample?.firstMs.push(...round.firstMs);
      if (sample) sample.perSecond += round.perSecond / ROUNDS;
      if (sample) sample.failed += round.failed;
    }
  const [direct] = samples;
  return targets.map((target, i) => {
    const { ms, firstMs, perSecond, failed } = samples[i] ?? emptySample();
    const added = (q: number) => round(quantile(ms, q) - quantile(direct?.ms ?? [], q), 2);
    return {
      kind: isStream ? "stream" : "whole",
      "at once": concurrency,
      target: target.name,
      p50: round(quantile(ms, 0.5), 2),
      p99: round(quantile(ms, 0.99), 2),
      "+p50": added(0.5),
      "+p99": added(0.99),
      "first chunk p50": round(quantile(firstMs, 0.5), 2),
      "+first chunk p50": round(quantile(firstMs, 0.5) - quantile(direct?.firstMs ?? [], 0.5), 2),
      failed,
      "req/s": round(perSecond),
      "MB now": round(residentMb(target.pid)),
      "MB most": round(peakMb(target.pid)),
    };
  });
}

async function load(
  target: Gateway,
  concurrency: number,
  isStream: boolean,
  forMs: number,
): Promise<Sample> {
  const end = performance.now() + forMs;
  const sample = emptySample();
  await Promise.all(
    Array.from({ length: concurrency }, async () => {
      while (performance.now() < end) await callOnce(target, isStream, sample);
    }),
  );
  sample.perSecond = (sample.ms.length / forMs) * 1000;
  return sample;
}

async function callOnce(
  { url, headers }: Gateway,
  isStream: boolean,
  sample: Sample,
): Promise<void> {
  const { ms, firstMs } = sample;
  const begun = performance.now();
  const response = await fetch(`${url}/chat/completions`, {
    method: "POST",
    headers: { ...headers, "content-type": "application/json" },
    body: isStream ? STREAMED : WHOLE,
  });
  if (!response.ok) {
    // Under load some gateways answer 500 for calls that the provider answers.
    sample.failed++;
    await response.text();
    return;
  }
  let isFirst = true;
  for await (const _ of response.body ?? []) {
    if (isFirst) firstMs.push(performance.now() - begun);
    isFirst = false;
  }
  ms.push(performance.now() - begun);
}

const REQUEST = {
  model: "gpt-4o-mini",
  messages: [{ role: "user", content: "Write a haiku about programming" }],
};
const WHOLE = JSON.stringify(REQUEST);
const STREAMED = JSON.stringify({
  ...REQUEST,
  stream: true,
  stream_options: { include_usage: true },
});
