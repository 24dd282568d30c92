import { describe, expect, test } from "bun:test";

import type { Call, Report } from "../../src/engine/protocol.ts";
import { createWorkerPool } from "../../src/engine/worker-pool.ts";
import { startWorkerThread } from "../../src/engine/worker-thread.ts";
import { createSystemClock } from "../../src/lib/clock.ts";
import { hang, startProvider, TERMS } from "../support/provider.ts";
import { startServer, until } from "../support/server.ts";

function givenPool(baseUrl: string, size = 1) {
  const reports: Report[] = [];
  const workers: Worker[] = [];
  /** Since when the process is alive without a gap. */
  const alive = { since: 0 };
  const Original = globalThis.Worker;
  // The pool's own threads, so that a test can break one.
  globalThis.Worker = class extends Original {
    constructor(...args: ConstructorParameters<typeof Original>) {
      super(...args);
      workers.push(this);
    }
  };
  const pool = createWorkerPool({
    size,
    providers: [{ ...TERMS, kind: "openai", name: "openai", baseUrl, apiKeys: ["x"], headers: {} }],
    simulator: {
      ...TERMS,
      kind: "simulator",
      name: "simulator",
      latencyMs: 0,
      failureRate: 0,
      mismatchRate: 0,
    },
    uploads: { folder: "/nowhere", bucket: undefined },
    onReports: (more) => reports.push(...more),
    onDeltas: () => {},
    isAlive: (since) => alive.since <= since,
    clock: createSystemClock(),
    startThread: startWorkerThread,
  });
  pool.start();
  globalThis.Worker = Original;
  const call = (task: number): Call => ({
    task,
    claim: 1,
    provider: 0,
    key: 0,
    endpoint: "/v1/chat/completions",
    body: JSON.stringify({
      model: "gpt-4o-mini",
      messages: [{ role: "user", content: `p${task}` }],
    }),
    timeoutMs: 10_000,
    isChecked: false,
    isUrgent: false,
  });
  return { pool, reports, workers, alive, call, [Symbol.dispose]: () => pool.stop() };
}

describe("worker threads", () => {
  test("share the calls, and report each once", async () => {
    await using provider = await startProvider();
    using world = givenPool(provider.url, 3);
    world.pool.run(Array.from({ length: 300 }, (_, i) => world.call(i)));
    await until(() => world.reports.length === 300 || undefined);
    expect(new Set(world.reports.map(({ task }) => task)).size).toBe(300);
    expect(world.reports.every(({ failure }) => failure === null)).toBe(true);
  });

  test("abort a call on request, and only that one", async () => {
    await using provider = await startProvider(({ prompt }) =>
      prompt === "p1" ? hang() : undefined,
    );
    using world = givenPool(provider.url);
    world.pool.run([world.call(1), world.call(2)]);
    await until(() => (world.reports.length === 1 && provider.state.open === 1) || undefined);
    world.pool.abort([1, 2, 3]);
    await until(() => world.reports.length === 2 || undefined);
    expect(world.reports.map(({ task, failure }) => [task, failure?.cause])).toEqual([
      [2, undefined],
      [1, "connection_lost"],
    ]);
    await until(() => provider.state.open === 0 || undefined);
  });

  test("that die are replaced; their calls are reported as lost, and other calls continue", async () => {
    await using provider = await startProvider(({ earlier }) =>
      earlier === 0 ? hang() : undefined,
    );
    using world = givenPool(provider.url, 2);
    world.pool.run([world.call(1), world.call(2)]);
    await until(() => provider.state.open === 2 || undefined);
    world.workers[0]?.terminate();
    await until(() => world.reports.length === 1 || undefined);
    expect(world.reports[0]?.failure?.cause).toBe("worker_lost");
    const lost = world.reports[0]?.task ?? 0;
    world.pool.run([world.call(lost)]);
    await until(() => world.reports.length === 2 || undefined);
    expect(world.reports[1]).toMatchObject({ task: lost, failure: null });
  });

  test("do not make the calls of a process that stood still before they could begin", async () => {
    await using provider = await startProvider();
    using world = givenPool(provider.url);
    world.workers[0]?.terminate();
    await until(() => world.pool.alive() === 0 || undefined);
    world.pool.run([world.call(1)]);
    world.alive.since = Infinity;
    await until(() => world.pool.alive() === 1 || undefined);
    expect(world.reports).toMatchObject([{ task: 1, failure: { cause: "worker_lost" } }]);
    expect([world.pool.held(), provider.requests]).toEqual([0, []]);
  });

  test("give up a call whose task was claimed again, and report each claim once", async () => {
    await using provider = await startProvider(({ earlier }) =>
      earlier === 0 ? hang() : undefined,
    );
    using world = givenPool(provider.url, 2);
    world.pool.run([world.call(1)]);
    await until(() => provider.state.open === 1 || undefined);
    world.pool.run([{ ...world.call(1), claim: 2 }]);
    await until(() => world.reports.some(({ claim }) => claim === 2) || undefined);
    await until(() => provider.state.open === 0 || undefined);
    expect(world.reports[0]).toMatchObject({ claim: 1, failure: { cause: "worker_lost" } });
    expect(world.reports.find(({ claim }) => claim === 2)?.failure).toBeNull();
    expect(world.pool.held()).toBe(0);
  });

  test("that die with a task's call lead to another attempt", async () => {
    await using provider = await startProvider(({ earlier }) =>
      earlier === 0 ? hang() : undefined,
    );
    const Original = globalThis.Worker;
    const workers: Worker[] = [];
    globalThis.Worker = class extends Original {
      constructor(...args: ConstructorParameters<typeof Original>) {
        super(...args);
        workers.push(this);
      }
    };
    await using app = await startServer(provider.env, { startThread: startWorkerThread });
    globalThis.Worker = Original;
    await app.post("/tasks?execute=true", { id: "t", prompt: "x" });
    await until(() => provider.state.open === 1 || undefined);
    workers[0]?.terminate();
    expect(await app.ended("t")).toMatchObject({ status: "completed", attempts: 2 });
    const [execution] = (await app.get("/tasks/t/executions")).body.data.executions;
    expect(execution.attempts[0]).toMatchObject({ outcome: "failed", code: "WORKER_LOST" });
    expect(await app.differences()).toEqual([]);
  });
});
