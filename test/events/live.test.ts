import { describe, expect, test } from "bun:test";

import { mergePatch } from "../../src/lib/merge-patch.ts";
import { gate, startProvider } from "../support/provider.ts";
import { client, type Json, KEY, startServer, until } from "../support/server.ts";
import { follow, type Reported } from "../support/sse.ts";

/** An independent implementation of RFC 7396, which defines merge patches. */
function apply(target: Json, patch: Json): Json {
  if (typeof patch !== "object" || patch === null || Array.isArray(patch)) return patch;
  const result = new Map<string, Json>(Object.entries(target ?? {}));
  for (const [name, value] of Object.entries(patch))
    if (value === null) result.delete(name);
    else result.set(name, apply(result.get(name), value));
  return Object.fromEntries(result);
}

/** The state after each event of the stream. */
function states(reported: Reported[]): Json[] {
  let state: Json;
  return reported.map(({ event, data }) => (state = event === "state" ? data : apply(state, data)));
}

const prompts = (count: number) => Array.from({ length: count }, (_, i) => ({ prompt: `p ${i}` }));

describe("GET /live", () => {
  test("sends the whole state, and then changes; every state adds up and is of one moment", async () => {
    const { opened, open } = gate();
    let answered = 0;
    await using provider = await startProvider(async () => {
      if (++answered > 81) await opened;
      return undefined;
    });
    await using app = await startServer({ ...provider.env, MAX_CONCURRENCY: "8" });
    await using stream = await follow(app.url, "/live");
    await using late = await follow(app.url, "/live");
    await stream.until("state");
    await app.post("/batches", { id: "b", name: "Entries", tasks: prompts(200) });
    await app.post("/batches/b/execute");
    const latest = () => states(stream.reported).at(-1);
    const held = await until(() => {
      const state = latest();
      const isHeld = state?.batches.b?.progress.completed === 81;
      return isHeld && Object.keys(state.calls).length === 7 ? state : undefined;
    });
    expect(held.tasks).toEqual(held.batches.b.progress);
    expect(Object.values<Json>(held.models)[0].completed).toBe(81);
    expect(Object.values<Json>(held.providers)[0].inFlight).toBe(7);
    open();
    await until(() => latest()?.batches.b?.status === "completed" || undefined);
    await until(() => Object.keys(latest().calls).length === 0 || undefined);
    for (const { tasks, batches } of states(stream.reported)) {
      const { total, completed, failed, cancelled, pending, running } = tasks;
      expect(total).toBe(completed + failed + cancelled + pending + running);
      if (batches.b) expect(batches.b.progress).toEqual(tasks);
    }
    expect(states(late.reported).at(-1).tasks).toEqual(latest().tasks);
    const { system: _system, at: _at, ...once } = (await json(app.url)).body;
    const { system: _, at: __, ...followed } = latest();
    expect(Object.keys(once).toSorted()).toEqual(Object.keys(followed).toSorted());
    expect(once.tasks).toEqual(followed.tasks);
    await app.del("/batches/b");
    await until(() => !latest().batches.b || undefined);
  });

  test("shows a batch of another client and its progress within 300 ms, at most four times a second", async () => {
    await using app = await startServer();
    await using stream = await follow(app.url, "/live");
    await stream.until("state");
    const since = performance.now();
    await app.post("/batches", { id: "b", tasks: prompts(50) });
    await until(() => states(stream.reported).at(-1)?.batches.b || undefined);
    expect(performance.now() - since).toBeLessThan(300 + SLOW_MACHINE_MS);
    await app.post("/batches/b/execute");
    await app.finished("b");
    const ended = performance.now();
    await until(
      () => states(stream.reported).at(-1)?.batches.b.status === "completed" || undefined,
    );
    expect(performance.now() - ended).toBeLessThan(300 + SLOW_MACHINE_MS);
    const seconds = (performance.now() - since) / 1000;
    expect(stream.reported.length).toBeLessThanOrEqual(2 + Math.ceil(seconds * 4));
  });

  test("needs a key that may read, accepts a stream token of full scope, and ends with the key", async () => {
    await using app = await startServer();
    const { key, id } = (await app.post("/api-keys", { name: "r", scopes: ["read"] })).body.data;
    const reader = client(app.url, key);
    const some = (await reader.post("/events/token", { types: ["batch.*"] })).body.data.token;
    const all = (await reader.post("/events/token")).body.data.token;
    const refused = await client(app.url, "").get(`/live?access_token=${some}`);
    expect(refused.status).toBe(403);
    await using stream = await follow(app.url, `/live?access_token=${all}`, { key: "" });
    await stream.until("state");
    expect((await client(app.url, "").get("/live")).status).toBe(401);
    await app.del(`/api-keys/${id}`);
    await stream.ended();
    await using second = await follow(app.url, "/live", { key: KEY });
    await second.until("state");
  });

  test("reads nothing from the database while nobody is connected", async () => {
    await using app = await startServer();
    const { execute } = app.ctx.reads.client;
    let reads = 0;
    app.ctx.reads.client.execute = ((statement: never) => {
      if (JSON.stringify(statement).includes("AS scheduling")) reads++;
      return execute.call(app.ctx.reads.client, statement);
    }) as typeof execute;
    await app.post("/batches", { id: "b", tasks: prompts(5) });
    await app.post("/batches/b/execute");
    await app.finished("b");
    expect(reads).toBe(0);
    const stream = await follow(app.url, "/live");
    await stream.until("state");
    await stream.close();
    const after = reads;
    await app.post("/batches/b/retry", { statuses: ["completed"] });
    await app.post("/tasks?execute=true", { id: "t", prompt: "x" });
    await app.ended("t");
    expect(reads).toBeLessThanOrEqual(after + 1);
  });
});

/** Extra time for a loaded test machine. */
const SLOW_MACHINE_MS = 300;

async function json(url: string) {
  return client(url).get("/live", { accept: "application/json" });
}

test("a merge patch removes members, and handles names that are special in JavaScript", () => {
  const before = JSON.parse('{"a":{"x":1,"y":[1]},"__proto__":{"n":1},"gone":true}');
  const after = JSON.parse('{"a":{"x":1,"y":[1,2]},"__proto__":{"n":2}}');
  const patch = mergePatch(before, after);
  expect(JSON.stringify(patch)).toBe('{"gone":null,"a":{"y":[1,2]},"__proto__":{"n":2}}');
  expect(mergePatch(after, after)).toBeUndefined();
});
