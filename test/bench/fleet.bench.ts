import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { startSqld } from "../support/sqld.ts";
import { sqld } from "../support/tools.ts";
import { countTraffic } from "./fleet-traffic.ts";
import {
  type BenchRunner,
  median,
  printTable,
  quantile,
  round,
  type Row,
  startRunner,
  startScript,
} from "./support.ts";

const SLOTS = 64;
const WARM_UP_MS = 3000;
/** Long enough for several rounds of calls, because calls that begin together also end together. */
const windowOf = (latencyMs: number) => Math.max(6000, 10 * latencyMs);
const COUNTS = [1, 2, 4];
const LEASE_SECONDS = 3;

/** Several processes on one libSQL server: their throughput together, and the cost of working together. */
export async function benchFleet(): Promise<void> {
  if (sqld === undefined) return console.log("\nfleet: set SQLD to the binary of a libSQL server");
  for (const latencyMs of [1000, 100]) {
    const rows: Row[] = [];
    for (const nodes of COUNTS) rows.push(await measureNodes(nodes, latencyMs));
    const alone = Number(rows[0]?.["tasks/s"]);
    for (const row of rows)
      row["of linear"] = round(Number(row["tasks/s"]) / alone / Number(row["nodes"]), 2);
    printTable(`Nodes on one server, ${SLOTS} calls of ${latencyMs} ms each`, rows);
  }
  printTable("Load of the database server per task, one node", [await measureTraffic()]);
  await measureDistance();
  await measureDeltas();
}

/** Starts a libSQL server, a provider, and nodes that share them. */
async function startFleet(
  roles: string[],
  { latencyMs, spreadMs = 0 }: { latencyMs: number; spreadMs?: number },
  env: Record<string, string> = {},
) {
  const folder = mkdtempSync(join(tmpdir(), "bench-fleet-"));
  const database = await startSqld(folder);
  const provider = await startScript("provider.ts", {
    LATENCY_MS: String(latencyMs),
    SPREAD_MS: String(spreadMs),
  });
  const nodes: BenchRunner[] = [];
  for (const role of roles)
    nodes.push(
      await startRunner({
        DATABASE_URL: database.url,
        DATA_DIR: folder,
        ROLE: role,
        WORKERS: "1",
        MAX_CONCURRENCY: String(SLOTS),
        OPENAI_BASE_URL: provider.url,
        OPENAI_API_KEY: "bench",
        ...env,
      }),
    );
  return {
    database,
    provider,
    nodes,
    async [Symbol.asyncDispose]() {
      await Promise.all(nodes.map((node) => node.kill()));
      await provider.stop();
      await database[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function createBatch(node: BenchRunner, id: string, count: number): Promise<void> {
  const tasks = Array.from({ length: count }, (_, i) => ({ prompt: `Say hello to number ${i}` }));
  await node.api("POST", "/batches", { id, tasks, config: { maxConcurrency: 10_000 } });
  await node.api("POST", `/batches/${id}/execute`);
}

/** The number of calls that a provider has answered. */
async function answered(provider: { url: string }): Promise<number> {
  return ((await (await fetch(provider.url)).json()) as { count: number }).count;
}

/** CPU seconds of a process, also of its threads that have ended. Linux only. */
function cpuOf(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** The throughput of some nodes while all have work, without the start and the end of a batch. */
async function measureNodes(count: number, latencyMs: number): Promise<Row> {
  await using fleet = await startFleet(Array<string>(count).fill("all"), {
    latencyMs,
    spreadMs: latencyMs / 2,
  });
  const { nodes, provider, database } = fleet;
  const most = (count * SLOTS * 1000) / latencyMs;
  await createBatch(
    nodes[0] as BenchRunner,
    "b",
    Math.ceil((most * (WARM_UP_MS + windowOf(latencyMs))) / 900),
  );
  await Bun.sleep(WARM_UP_MS);
  const used = () => ({
    nodes: nodes.reduce((sum, { pid }) => sum + cpuOf(pid), 0),
    server: cpuOf(database.pid),
    provider: cpuOf(provider.pid),
  });
  const [begun, before, first] = [performance.now(), used(), await answered(provider)];
  await Bun.sleep(windowOf(latencyMs));
  const [after, last] = [used(), await answered(provider)];
  const seconds = (performance.now() - begun) / 1000;
  const tasks = last - first;
  const ms = (part: keyof typeof after) => ((after[part] - before[part]) * 1000) / tasks;
  return {
    nodes: count,
    "tasks/s": round(tasks / seconds),
    "of linear": "",
    "of slots": round(tasks / seconds / most, 2),
    "node CPU ms/task": round(ms("nodes"), 2),
    "server CPU ms/task": round(ms("server"), 2),
    "provider CPU ms/task": round(ms("provider"), 2),
    "cores used": round(
      ((ms("nodes") + ms("server") + ms("provider")) * tasks) / 1000 / seconds,
      2,
    ),
  };
}

/** Statements, requests and bytes per task, from its creation in a batch to its committed answer. */
async function measureTraffic(): Promise<Row> {
  const tasks = 5000;
  const folder = mkdtempSync(join(tmpdir(), "bench-fleet-"));
  await using database = await startSqld(folder);
  await using traffic = countTraffic(database.url);
  const provider = await startScript("provider.ts", { LATENCY_MS: "100" });
  const node = await startRunner({
    DATABASE_URL: traffic.url,
    DATA_DIR: folder,
    WORKERS: "1",
    MAX_CONCURRENCY: String(SLOTS),
    OPENAI_BASE_URL: provider.url,
    OPENAI_API_KEY: "bench",
  });
  const before = { ...traffic.counts };
  await createBatch(node, "b", tasks);
  while ((await node.api("GET", "/batches/b?limit=1")).status !== "completed") await Bun.sleep(200);
  const { requests, statements, sent, received } = traffic.counts;
  await Promise.all([node.kill(), provider.stop()]);
  rmSync(folder, { recursive: true, force: true });
  return {
    tasks,
    "statements/task": round((statements - before.statements) / tasks, 2),
    "requests/task": round((requests - before.requests) / tasks, 2),
    "bytes sent/task": round((sent - before.sent) / tasks),
    "bytes received/task": round((received - before.received) / tasks),
  };
}

/** The cost if the process that a client waits at is not the one that makes the call. */
async function measureDistance(): Promise<void> {
  await using fleet = await startFleet(
    ["api", "runner", "runner"],
    { latencyMs: 50 },
    { LEASE_SECONDS: String(LEASE_SECONDS) },
  );
  const { nodes, provider } = fleet;
  const [api, runner] = nodes as [BenchRunner, BenchRunner];
  // The first request loads and compiles what those after it use.
  const [first = Number.NaN, ...added] = await addedByWaits(api);
  printTable("At one process, of a call of 50 ms that another one makes", [
    toRow("wait=10, beyond the 50 ms", added),
    toRow("the first one of fresh processes", [first]),
  ]);
  await createBatch(api, "taken", SLOTS * 500);
  await Bun.sleep(2000);
  printTable("One of two runners is killed under load", [
    {
      LEASE_SECONDS,
      "its tasks are ready again after s": await untilTakenOver(api, runner),
      "calls answered in all": await answered(provider),
    },
  ]);
}

/** The milliseconds by which a wait at one process exceeds the call at another. */
async function addedByWaits(api: BenchRunner): Promise<number[]> {
  const added: number[] = [];
  for (let i = 0; i <= 100; i++) {
    const begun = performance.now();
    const response = await fetch(`${api.url}/api/v1/tasks?execute=true`, {
      method: "POST",
      headers: { ...JSON_OF_BENCH, prefer: "wait=10" },
      body: JSON.stringify({ prompt: `wait ${i}` }),
    });
    const { data } = (await response.json()) as { data: { status: string } };
    if (data.status !== "completed") throw new Error(`the task is ${data.status}`);
    added.push(performance.now() - begun - 50);
    // An irregular pause, so that the requests do not fall into step with the server's timers.
    await Bun.sleep(50 + 13 * (i % 10));
  }
  return added;
}

/** Seconds from the kill of a node until none of its claims is left. */
async function untilTakenOver(api: BenchRunner, killed: BenchRunner): Promise<number> {
  const living = async () =>
    ((await api.api("GET", "/status/services/workers")).details.nodes as unknown[]).length;
  const before = await living();
  await killed.kill();
  const begun = performance.now();
  while ((await living()) >= before) await Bun.sleep(20);
  return round((performance.now() - begun) / 1000, 1);
}

/** Ms from a piece of an answer at the provider until it is read at a process that does not make the call. */
async function measureDeltas(): Promise<void> {
  using provider = startStreamingProvider();
  await using fleet = await startFleet(
    ["api", "runner"],
    { latencyMs: 0 },
    { OPENAI_BASE_URL: provider.url },
  );
  const [api] = fleet.nodes as [BenchRunner];
  await api.api("POST", "/tasks", { id: "s", prompt: "x", parameters: { stream: true } });
  const stream = await fetch(`${api.url}/api/v1/tasks/s/events`, { headers: JSON_OF_BENCH });
  await api.api("POST", "/tasks/s/execute");
  const lags: number[] = [];
  const decoder = new TextDecoder();
  for await (const chunk of stream.body ?? []) {
    const now = performance.now();
    const text = decoder.decode(chunk);
    for (const [, at] of text.matchAll(/<(\d+\.\d)>/g)) lags.push(now - Number(at));
    if (text.includes("task.completed")) break;
  }
  // At first the calling process does not know of the reader.
  const steady = lags.slice(PIECES / 10, PIECES);
  printTable("From a piece of an answer at the provider until it is read at another process", [
    toRow("pieces, one every 20 ms", steady),
  ]);
}

const PIECES = 200;

/** A provider whose answers are the times at which their pieces were sent. */
function startStreamingProvider() {
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    idleTimeout: 120,
    fetch: () =>
      new Response(
        new ReadableStream({
          async start(controller) {
            const say = (content: string) =>
              controller.enqueue(
                `data: ${JSON.stringify({ id: "c", choices: [{ index: 0, delta: { content } }] })}\n\n`,
              );
            for (let i = 0; i < PIECES; i++) {
              say(`<${performance.now().toFixed(1)}>`);
              await Bun.sleep(20);
            }
            controller.enqueue("data: [DONE]\n\n");
            controller.close();
          },
        }),
        { headers: { "content-type": "text/event-stream" } },
      ),
  });
  return {
    url: `http://127.0.0.1:${server.port}/v1`,
    [Symbol.dispose]: () => void server.stop(true),
  };
}

const JSON_OF_BENCH = { authorization: "Bearer bench", "content-type": "application/json" };

function toRow(what: string, ms: number[]): Row {
  return {
    what,
    samples: ms.length,
    "ms, median": round(median(ms)),
    p95: round(quantile(ms, 0.95)),
    most: round(Math.max(...ms)),
  };
}
