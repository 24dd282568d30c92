import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

import { type BenchRunner, printTable, quantile, round, type Row, startRunner } from "./support.ts";

const ENDPOINTS = 500;
const ROUNDS = 4;
const ROUND_MS = 2500;
/** Tasks of a round. Each is created and executed while requests are measured, and causes three events. */
const TASKS = 25;

type Figures = { name: string; runner: BenchRunner; get: number[]; create: number[] };

/** The duration of requests while every event goes to 500 endpoints, beside a runner without endpoints. */
export async function benchWebhooks(): Promise<void> {
  const receiver = await startReceiver();
  const refusing = await startReceiver(503);
  const targets = [
    await prepare("no endpoints", 0, ""),
    await prepare("500 that ask for other events", ENDPOINTS, receiver.url, ["system.alert"]),
    await prepare("500 that take all", ENDPOINTS, receiver.url),
    await prepare("500 that are down", ENDPOINTS, refusing.url),
  ];
  // In turns, so that a drift of the machine's speed affects both equally. The first round is a warm-up.
  for (let round = 0; round <= ROUNDS; round++)
    for (const target of targets) await measure(target, round > 0);
  const rows: Row[] = [];
  const [none] = targets;
  for (const { name, runner, get, create } of targets) {
    const { details } = await runner.api("GET", "/status/services/webhooks");
    const ratio = (mine: number[], others: number[] = []) =>
      round(quantile(mine, 0.5) / quantile(others, 0.5), 2);
    rows.push({
      endpoints: name,
      "get p50 ms": round(quantile(get, 0.5), 2),
      p99: round(quantile(get, 0.99), 2),
      ratio: ratio(get, none?.get),
      "create p50 ms": round(quantile(create, 0.5), 2),
      "p99 ": round(quantile(create, 0.99), 2),
      "ratio ": ratio(create, none?.create),
      waiting: details.waitingDeliveries,
    });
    await runner.stop();
  }
  receiver.stop();
  refusing.stop();
  printTable("Requests while events go to 500 endpoints", rows);
}

async function prepare(name: string, count: number, url: string, events = ["*"]): Promise<Figures> {
  const runner = await startRunner({
    MAX_WEBHOOKS: "0",
    WEBHOOK_ALLOWED_HOSTS: "127.0.0.1",
    SIMULATOR_LATENCY_MS: "0",
  });
  for (let i = 0; i < count; i++)
    await runner.api("POST", "/webhooks", { url: `${url}/${i}`, events });
  await runner.api("POST", "/tasks", { id: "read", prompt: "x" });
  return { name, runner, get: [], create: [] };
}

/** Sends one request at a time, as a script does; `TASKS` of them start work. */
async function measure({ runner, get, create }: Figures, isKept: boolean): Promise<void> {
  const end = performance.now() + ROUND_MS;
  let begun = 0;
  for (let i = 0; performance.now() < end; i++) {
    const at = performance.now();
    await runner.api("GET", "/tasks/read");
    if (isKept) get.push(performance.now() - at);
    if (performance.now() < end - ROUND_MS + (begun * ROUND_MS) / TASKS) continue;
    begun++;
    const from = performance.now();
    await runner.api("POST", "/tasks?execute=true", { prompt: "x" });
    if (isKept) create.push(performance.now() - from);
  }
}

async function startReceiver(status = 204) {
  const server = createServer((request, response) => {
    request.resume();
    request.on("end", () => response.writeHead(status).end());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/hook`,
    stop() {
      server.closeAllConnections();
      server.close();
    },
  };
}
