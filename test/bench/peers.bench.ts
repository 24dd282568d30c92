import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import {
  type BenchRunner,
  freePort,
  median,
  printTable,
  round,
  startCommand,
  startRunner,
  startScript,
  tracked,
  untilFinished,
} from "./support.ts";

const ROUNDS = 7;
/** Rounds that are not counted, in which the code of every program is compiled. */
const WARM_UP = 3;
const TASKS = 10_000;
const PACKAGES = ["bullmq@6.7.0", "ioredis@6.0.0", "bunqueue@2.9.5", "openai@7.57.0"];

/**
 * Tasks per second from the submission of 10,000 tasks to the last stored result, beside other queues. All call the same
 * zero-latency provider, in turns, each with its best settings. Needs Debian's redis-server. The packages are installed in
 * a separate folder.
 */
export async function benchPeers(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "bench-peers-"));
  writeFileSync(join(folder, "package.json"), '{"type":"module"}');
  Bun.spawnSync([process.execPath, "add", "--exact", ...PACKAGES], { cwd: folder });
  for (const name of ["bullmq.mjs", "bunqueue.mjs"])
    copyFileSync(join(import.meta.dir, "peers", name), join(folder, name));
  const redisPort = await freePort();
  const redis = tracked(
    Bun.spawn(
      [
        "redis-server",
        "--port",
        String(redisPort),
        "--appendonly",
        "yes",
        "--save",
        "",
        "--dir",
        folder,
      ],
      { stdout: "ignore", stderr: "ignore" },
    ),
  );
  const provider = await startScript("provider.ts");
  const env = {
    PROVIDER: provider.url,
    TASKS: String(TASKS),
    AT_ONCE: "64",
    REDIS_PORT: String(redisPort),
    DATA_PATH: join(folder, "bunqueue.db"),
  };
  const runner = await startRunner({
    OPENAI_BASE_URL: provider.url,
    OPENAI_API_KEY: "x",
    MAX_CONCURRENCY: "1024",
  });
  const peer = (name: string) => startCommand([process.execPath, name], { env, cwd: folder });
  const others = {
    "bare SDK loop": await startScript("sdk-loop.ts", env),
    "BullMQ 6.7.0 on Redis, append-only file": await peer("bullmq.mjs"),
    "bunqueue 2.9.5 embedded": await peer("bunqueue.mjs"),
  };
  const rates = new Map<string, number[]>();
  for (let i = 0; i < WARM_UP + ROUNDS; i++) {
    const measured: [string, number][] = [["task runner", await tasksPerSecond(runner, `b${i}`)]];
    for (const [name, { url }] of Object.entries(others))
      measured.push([name, Number(await (await fetch(url)).text())]);
    if (i >= WARM_UP)
      for (const [name, rate] of measured) rates.set(name, [...(rates.get(name) ?? []), rate]);
  }
  for (const { stop } of [runner, provider, ...Object.values(others)]) await stop();
  redis.kill();
  await redis.exited;
  rmSync(folder, { recursive: true, force: true });
  const ours = rates.get("task runner") ?? [];
  printTable(
    `${TASKS} tasks, handing them in included`,
    [...rates].map(([what, theirs]) => ({
      what,
      "tasks/s": round(median(theirs)),
      "task runner is faster by": round(median(ours.map((rate, i) => rate / (theirs[i] ?? 1))), 2),
    })),
  );
}

async function tasksPerSecond(runner: BenchRunner, id: string): Promise<number> {
  const tasks = Array.from({ length: TASKS }, (_, i) => ({ prompt: `Say hello to number ${i}` }));
  const begun = Date.now();
  await runner.api("POST", "/batches", { id, tasks });
  await runner.api("POST", `/batches/${id}/execute`);
  const { completedAt } = await untilFinished(runner, id);
  return (TASKS / (Date.parse(completedAt) - begun)) * 1000;
}
