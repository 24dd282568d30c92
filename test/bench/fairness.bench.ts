import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

import {
  type BenchRunner,
  cpuSeconds,
  printTable,
  quantile,
  round,
  type Row,
  startRunner,
  untilFinished,
} from "./support.ts";

const TASKS = 20_000;
const EVENTS_PER_SECOND = 500;
const TASK_MS = 50;
const SECONDS = 15;
const REPLAYED = 10_000;
const WARM_UP_MS = 2000;

/** Whether a slow neighbour, or many equal neighbours, slow the others down. */
export async function benchFairness(): Promise<void> {
  const only = process.env["FAIRNESS_ONLY"]?.split(",") ?? ["batches", "webhooks"];
  const batches: Row[] = [];
  for (const count of only.includes("batches") ? [1, 200, 2000] : [])
    batches.push(await runBatches(count));
  if (batches.length > 0) printTable(`The same ${TASKS} tasks of ${TASK_MS} ms`, batches);
  if (!only.includes("webhooks")) return;
  printTable(`Webhooks: ${EVENTS_PER_SECOND} events/s, ms from event to receiver`, [
    await deliverBeside("alone", 0, 0),
    await deliverBeside("beside 16 of 10 s and 40 that hang", 16, 40),
    await deliverBesideReplay(),
  ]);
}

async function runBatches(count: number): Promise<Row> {
  const runner = await startRunner({ SIMULATOR_LATENCY_MS: String(TASK_MS) });
  const tasks = Array.from({ length: TASKS / count }, () => ({ prompt: "x" }));
  const ids = Array.from({ length: count }, (_, i) => `b${i}`);
  await inTurns(ids, (id) => runner.api("POST", "/batches", { id, tasks }));
  const cpuBefore = cpuSeconds(runner.pid).total;
  const begun = performance.now();
  const answers: number[] = [];
  await inTurns(ids, async (id) => {
    const asked = performance.now();
    await runner.api("POST", `/batches/${id}/execute`);
    answers.push(performance.now() - asked);
  });
  await untilNoneRuns(runner);
  const seconds = (performance.now() - begun) / 1000;
  const cpu = cpuSeconds(runner.pid).total - cpuBefore;
  await runner.stop();
  return {
    batches: count,
    "tasks/s": round(TASKS / seconds),
    "CPU s": round(cpu, 1),
    "execute p50 ms": round(quantile(answers, 0.5)),
    "execute p99 ms": round(quantile(answers, 0.99)),
  };
}

/** Asks seldom, because listing thousands of running batches takes a part of the time that is measured. */
async function untilNoneRuns(runner: BenchRunner): Promise<void> {
  for (;;) {
    const { pagination } = await runner.api("GET", "/batches?status=running&limit=1");
    if (pagination.total === 0) return;
    await Bun.sleep(250);
  }
}

/** Processes items, eight at a time. */
async function inTurns<Item>(items: Item[], work: (item: Item) => Promise<unknown>): Promise<void> {
  const rest = items.values();
  const one = async () => {
    for (const item of rest) await work(item);
  };
  await Promise.all(Array.from({ length: 8 }, one));
}

type Behaviour = "quick" | "slow" | "hanging";

/** Receivers on one port. The first part of a path is the behaviour of the receiver. */
async function startReceivers() {
  const lags: number[] = [];
  /** When each of these events was logged. */
  const times: number[] = [];
  /** The delays of events after the warm-up, when the code has been compiled. */
  const warm: number[] = [];
  let first = Infinity;
  const server = createServer((request, response) => {
    const [, kind] = (request.url ?? "").split("/") as [string, Behaviour];
    const pieces: Buffer[] = [];
    request.on("data", (piece: Buffer) => pieces.push(piece));
    request.on("end", () => {
      if (kind === "hanging") return;
      if (kind === "slow") return void setTimeout(() => response.writeHead(200).end(), 10_000);
      const { timestamp } = JSON.parse(Buffer.concat(pieces).toString()) as { timestamp: string };
      const at = Date.parse(timestamp);
      const lag = Date.now() - at;
      first = Math.min(first, at);
      lags.push(lag);
      times.push(at);
      if (at > first + WARM_UP_MS) warm.push(lag);
      response.writeHead(200).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    lags,
    times,
    warm,
    hook: (kind: Behaviour, event: string) => ({
      url: `http://127.0.0.1:${port}/${kind}`,
      events: [event],
    }),
    stop() {
      server.closeAllConnections();
      server.close();
    },
  };
}

const WEBHOOKS = { WEBHOOK_ALLOWED_HOSTS: "127.0.0.1", SIMULATOR_LATENCY_MS: String(TASK_MS) };

/** Sends tasks at a fixed rate, some every tenth of a second, whether or not the server keeps up. */
async function runAtPace(runner: BenchRunner): Promise<void> {
  const tasks = Array.from({ length: EVENTS_PER_SECOND / 10 }, () => ({ prompt: "x" }));
  const begun = performance.now();
  for (let i = 0; i < SECONDS * 10; i++) {
    await Bun.sleep(Math.max(0, begun + i * 100 - performance.now()));
    await runner.api("POST", "/batches", { id: `paced-${i}`, tasks });
    await runner.api("POST", `/batches/paced-${i}/execute`);
  }
  await untilNoneRuns(runner);
}

async function deliverBeside(what: string, slow: number, hanging: number): Promise<Row> {
  const receivers = await startReceivers();
  const runner = await startRunner(WEBHOOKS);
  const add = (kind: Behaviour) =>
    runner.api("POST", "/webhooks", receivers.hook(kind, "task.completed"));
  for (let i = 0; i < slow; i++) await add("slow");
  for (let i = 0; i < hanging; i++) await add("hanging");
  await add("quick");
  const begun = performance.now();
  await runAtPace(runner);
  const perSecond = (EVENTS_PER_SECOND * SECONDS * 1000) / (performance.now() - begun);
  const end = performance.now() + 10_000;
  while (receivers.lags.length < EVENTS_PER_SECOND * SECONDS && performance.now() < end)
    await Bun.sleep(50);
  await runner.stop();
  receivers.stop();
  return {
    ...toRow(what, receivers.lags, round(perSecond)),
    "p99 after 2 s": quantile(receivers.warm, 0.99),
    "max after 2 s": Math.max(...receivers.warm),
  };
}

async function deliverBesideReplay(): Promise<Row> {
  const receivers = await startReceivers();
  const runner = await startRunner({ ...WEBHOOKS, SIMULATOR_LATENCY_MS: "0" });
  const hook = receivers.hook("quick", "task.completed");
  const tasks = Array.from({ length: REPLAYED }, () => ({ prompt: "x" }));
  await runner.api("POST", "/batches", { id: "b", tasks });
  await runner.api("POST", "/batches/b/execute");
  await untilFinished(runner, "b");
  const { id } = (await runner.api("POST", "/webhooks", hook)) as { id: string };
  await runner.api("POST", `/webhooks/${id}/replay`, { since: new Date(0).toISOString() });
  const before = Date.now();
  for (let i = 0; i < 50; i++) {
    await runner.api("POST", "/tasks?execute=true", { prompt: "x" });
    await Bun.sleep(40);
  }
  await Bun.sleep(500);
  await runner.stop();
  receivers.stop();
  // Replayed events are older than the replay.
  const live = receivers.lags.filter((_, i) => (receivers.times[i] ?? 0) >= before);
  const replayed = receivers.lags.length - live.length;
  return toRow(`beside a replay of ${REPLAYED}, of which ${replayed} were sent`, live, 20);
}

function toRow(what: string, lags: number[], perSecond: number): Row {
  return {
    what,
    "events/s": perSecond,
    delivered: lags.length,
    p50: quantile(lags, 0.5),
    p99: quantile(lags, 0.99),
    max: Math.max(0, ...lags),
  };
}
