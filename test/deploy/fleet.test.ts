import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";

import { type FleetName, startComposeFleet } from "../support/compose-fleet.ts";
import { startProvider } from "../support/provider.ts";
import { client, type Json, KEY, until } from "../support/server.ts";
import { follow, type Reported } from "../support/sse.ts";
import { nginx, sqld } from "../support/tools.ts";

setDefaultTimeout(120_000);

const BATCH_ROWS = 300;
/** Six processes share a machine that may be busy. */
const PATIENCE_MS = 90_000;

describe.if(sqld !== undefined && nginx !== undefined)("the fleet of compose.yaml", () => {
  let provider: Awaited<ReturnType<typeof startProvider>>;
  let fleet: Awaited<ReturnType<typeof startComposeFleet>>;
  let api: ReturnType<typeof client>;

  beforeAll(async () => {
    provider = await startProvider(async ({ prompt }) => {
      await Bun.sleep(prompt.startsWith("row") ? 1000 : 100);
      return undefined;
    });
    fleet = await startComposeFleet({
      API_KEYS: KEY,
      LEASE_SECONDS: "2",
      MAX_CONCURRENCY: "16",
      ...provider.env,
      // None of these breaks it.
      DATA_DIR: "./data",
      HOST: "127.0.0.1",
      PORT: "99",
      DATABASE_URL: "file:./data/task-runner.db",
      ROLE: "all",
    });
    api = client(fleet.origin, KEY, { tls: { ca: fleet.ca } });
  });
  afterAll(async () => {
    await fleet?.[Symbol.asyncDispose]();
    await provider[Symbol.asyncDispose]();
  });

  test("loses nothing when one process of each kind is killed under load", async () => {
    await api.post("/batches", { id: "b", tasks: prompts(BATCH_ROWS) });
    await api.post("/batches/b/execute");
    const load = sendUntilStopped(api);
    const reader = readThroughBreaks(fleet);
    const reported = (id: string) =>
      reader.reported.filter(({ data }) => data.data.taskId === id).length;
    let cutOff = 0;
    for (const name of ["runner-1", "api-1", "database", "proxy"] satisfies FleetName[]) {
      await until(() => provider.state.open > 0 || undefined, PATIENCE_MS);
      await fleet.kill(name);
      cutOff += provider.state.open;
      // One of two is enough: work goes on before the other is back.
      if (name === "runner-1" || name === "api-1") await load.more(5);
      await fleet.start(name);
      await load.more(5);
    }
    await load.stop();

    const progress = await until(async () => {
      const { data } = (await api.get("/batches/b?limit=1")).body;
      return data.status === "running" ? undefined : data.progress;
    }, PATIENCE_MS);
    expect(progress).toMatchObject({ completed: BATCH_ROWS, total: BATCH_ROWS });
    // Every row has its own answer.
    const results = (await api.get("/batches/b/results?format=jsonl")).text.trim().split("\n");
    const answers = new Set(results.map((line) => /re: row \d+/.exec(line)?.[0]));
    expect([results.length, answers.size]).toEqual([BATCH_ROWS, BATCH_ROWS]);
    expect(answers).not.toContain(undefined);
    for (const id of load.accepted) {
      expect(await api.ended(id)).toMatchObject({
        status: "completed",
        result: { content: `re: ${id}` },
      });
      await until(() => reported(id) > 0 || undefined);
      expect([id, reported(id)]).toEqual([id, 1]);
    }
    await reader.stop();
    expect((await api.get(`${fleet.origin}/readyz?deep=1`)).status).toBe(200);
    const asked = load.accepted.length + BATCH_ROWS;
    expect(provider.counts.size).toBe(asked);
    // Only calls that were in flight at a kill may be made twice.
    expect(provider.requests.length).toBeLessThanOrEqual(asked + cutOff);
  });

  test("hides metrics from outside, and does not trust a client's X-Forwarded-For", async () => {
    expect((await api.get(`${fleet.origin}/metrics`)).status).toBe(404);
    expect((await api.get(`${fleet.origin}/v1/models`)).status).toBe(200);
    await api.post("/tasks", { id: "from", prompt: "x" }, { "x-forwarded-for": "203.0.113.9" });
    const entry = await until(async () => {
      const { data } = (await api.get("/audit?limit=100")).body;
      return data.entries.find(({ target }: Json) => target === "from");
    });
    expect(entry).toMatchObject({ action: "tasks.create", address: "127.0.0.1" });
  });
});

function prompts(count: number) {
  return Array.from({ length: count }, (_, i) => ({ prompt: `row ${i}` }));
}

/** Clients that send one task after the other, and repeat each until it is accepted. */
function sendUntilStopped(api: ReturnType<typeof client>) {
  const accepted: string[] = [];
  const state = { isStopped: false, next: 0 };
  async function send(): Promise<void> {
    while (!state.isStopped) {
      const id = `single-${state.next++}`;
      const task = { id, prompt: id, idempotencyKey: id };
      await until(
        () =>
          api.post("/tasks?execute=true", task, { prefer: "wait=5" }).then(
            ({ status }) => status < 300 || undefined,
            () => undefined,
          ),
        PATIENCE_MS,
      );
      accepted.push(id);
    }
  }
  const sending = Promise.all(Array.from({ length: 4 }, send));
  return {
    accepted,
    /** Waits until so many more were accepted. */
    async more(count: number): Promise<void> {
      const enough = accepted.length + count;
      await until(() => accepted.length >= enough || undefined, PATIENCE_MS);
    },
    async stop(): Promise<void> {
      state.isStopped = true;
      await sending;
    },
  };
}

/** A reader of events that reconnects after each break, and continues after its last event. */
function readThroughBreaks({ origin, ca }: { origin: string; ca: string }) {
  const reported: Reported[] = [];
  const state = { isStopped: false, close: () => Promise.resolve() };
  async function read(): Promise<void> {
    while (!state.isStopped) {
      const last = reported.findLast(({ id }) => id !== undefined)?.id;
      const stream = await follow(origin, "/events?types=task.completed&since=0", {
        headers: last === undefined ? {} : { "last-event-id": String(last) },
        tls: { ca },
      }).catch(() => undefined);
      if (!stream) continue;
      state.close = () => stream.close();
      while (!stream.isOver() && !state.isStopped) {
        reported.push(...stream.reported.splice(0));
        await Bun.sleep(5);
      }
      reported.push(...stream.reported.splice(0));
    }
  }
  const reading = read();
  return {
    reported,
    async stop(): Promise<void> {
      state.isStopped = true;
      await state.close();
      await reading;
    },
  };
}
