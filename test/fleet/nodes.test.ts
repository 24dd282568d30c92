import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { createClient } from "@libsql/client";

import { readConfig } from "../../src/config.ts";
import type { Context } from "../../src/context.ts";
import { createRunner } from "../../src/runner.ts";
import { removeLooseFiles } from "../../src/services/loose-files.ts";
import { startProcess, temporaryFolder } from "../support/process.ts";
import { gate, hang, startProvider } from "../support/provider.ts";
import { startReceiver } from "../support/receiver.ts";
import { client, KEY, startServer, until } from "../support/server.ts";
import { startSqld } from "../support/sqld.ts";
import { follow } from "../support/sse.ts";
import { sqld } from "../support/tools.ts";

setDefaultTimeout(60_000);

describe.if(sqld !== undefined)("processes of several roles on a libSQL server", () => {
  let folder: ReturnType<typeof temporaryFolder>;
  let database: Awaited<ReturnType<typeof startSqld>>;
  let env: Record<string, string>;

  beforeAll(async () => {
    folder = temporaryFolder();
    database = await startSqld(folder.path);
    env = { DATABASE_URL: database.url, DATA_DIR: folder.path, LEASE_SECONDS: "2" };
    mkdirSync(join(folder.path, "files"), { recursive: true });
  });
  afterAll(async () => {
    await database[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  });

  test("a silent process lives as long as its own lease, and a key of the environment as long as a living process has it", async () => {
    await using one = await startProcess({ ...env, ROLE: "api", API_KEYS: "key-of-one" });
    const patient = { ...env, LEASE_SECONDS: "60" };
    await using two = await startProcess({ ...patient, ROLE: "api", API_KEYS: "key-of-two" });
    await using none = await startProcess({ ...env, ROLE: "api", API_KEYS: "" });
    const isValidEverywhere = async (key: string) => {
      const answers = [one, two, none].map(({ url }) => client(url ?? "", key).get("/models"));
      return (await Promise.all(answers)).every(({ status }) => status === 200) || undefined;
    };
    await until(() => isValidEverywhere("key-of-one"));
    await until(() => isValidEverywhere("key-of-two"));
    // One with a lease of an hour, and one of a version that did not store leases.
    await addSilent(database.url, { node: 1001, silentMs: 10_000, leaseMs: 3_600_000 });
    await addSilent(database.url, { node: 1002, silentMs: 10_000, leaseMs: null });

    await one.kill("SIGKILL");
    const atTwo = client(two.url ?? "", "key-of-one");
    await until(async () => (await atTwo.get("/models")).status === 401 || undefined);
    expect((await client(none.url ?? "", "key-of-two").get("/models")).status).toBe(200);
    const { body } = await client(two.url ?? "", "key-of-two").get("/status/services/workers");
    const numbers = body.data.details.nodes.map(({ node }: { node: number }) => node);
    expect(numbers).toContain(1001);
    expect(numbers).not.toContain(1002);
    const livingAt = async ({ url }: { url: string | undefined }) =>
      /^gptrunner_nodes_living (\d+)$/m.exec(await (await fetch(`${url}/metrics`)).text())?.[1];
    await until(async () => (await livingAt(none)) === "3" || undefined);
    await two.kill("SIGTERM");
  });

  test("a process that starts declares nobody dead, since the database may have been away", async () => {
    await addSilent(database.url, { node: 1003, silentMs: 7_200_000, leaseMs: 1000 });
    await using app = await startProcess({ ...env, LEASE_SECONDS: "3600" });
    const { details } = (await app.get("/status/services/workers")).body.data;
    expect(details.nodes).toContainEqual(expect.objectContaining({ node: 1003 }));
    await app.kill("SIGTERM");
  });

  test("a request that comes before its process has joined waits, so that no other removes its upload", async () => {
    const config = readConfig({ ...env, API_KEYS: KEY, PORT: "0", ROLE: "api" });
    const runner = await createRunner(config, { startReader: null, startCommitter: null });
    const ask = async (path: string, init: RequestInit = {}) => {
      const headers = { authorization: `Bearer ${KEY}` };
      const request = new Request(`http://localhost${path}`, { ...init, headers });
      return (await runner.fetch(request, { address: () => "127.0.0.1" })).status;
    };
    const { ctx } = runner;
    const { fileStore } = ctx;
    const other: Context = {
      ...ctx,
      uploads: new Set(),
      live: { ...ctx.live, node: 2000 },
    };
    ctx.fileStore = {
      ...fileStore,
      async write(...args) {
        await fileStore.write(...args);
        await removeLooseFiles(other);
      },
    };
    const body = new FormData();
    body.append("file", new File(["prompt\nx\n"], "early.csv"));
    const sending = ask("/api/v1/files", { method: "POST", body });
    // In this time it would be stored.
    for (let i = 0; i < 20; i++) expect(await ask("/readyz?deep=0")).toBe(200);
    await runner.start();
    expect(await sending).toBe(201);
    await runner.stop(0);
    await runner.close();
  });

  test("a text that the server refuses fails no other request of its commit, and its client learns why", async () => {
    // The deadline of a request is half of the lease, and large texts take long on a busy machine.
    await using app = await startServer({ ...env, LEASE_SECONDS: "60", ROLE: "api" });
    const messages = ["東".repeat(850_000), "東".repeat(850_000)].map((content) => ({
      role: "user",
      content,
    }));
    const metadata = { a: "x".repeat(2_600_000), b: "x".repeat(2_600_000) };
    const [refused, described, batch, ...others] = await Promise.all([
      app.post("/tasks", { id: "large", messages }),
      app.post("/batches", { id: "described", metadata, tasks: [{ prompt: "x" }] }),
      app.post("/batches", { id: "large", tasks: [{ prompt: "x" }, { messages }] }),
      ...Array.from({ length: 60 }, async (_, i) => {
        // The large texts take some time to arrive, so that some of these come with them.
        await Bun.sleep(5 * i);
        return app.post("/tasks", { id: `small-${i}`, prompt: "x" });
      }),
    ]);
    expect(others.map(({ status }) => status)).toEqual(others.map(() => 201));
    for (const { status, body } of [refused, described]) {
      expect([status, body.error.code]).toEqual([413, "PAYLOAD_TOO_LARGE"]);
      expect(body.error.message).toContain("a libSQL server takes less than 5 MB for a task");
    }
    expect([batch.status, batch.body.error.details.issues]).toEqual([
      400,
      [{ path: "tasks.1", message: expect.stringContaining("stores at most 4900000") }],
    ]);
  });

  test("results are read whole although they are larger than the answers that the server gives", async () => {
    await using app = await startServer({ ...env, LEASE_SECONDS: "60", ROLE: "api" });
    // Together they have 12 MB, and the server gives 10.
    const prompts = Array.from({ length: 6 }, (_, i) => String(i).repeat(2_000_000));
    writeFileSync(join(folder.path, "files/large.csv"), ["prompt", ...prompts].join("\n"));
    const made = await app.post("/batches", { id: "large-rows", inputFile: "large.csv" });
    expect(made.status).toBe(201);
    const { text } = await app.get("/batches/large-rows/results");
    const rows = text.trim().split("\n").slice(1);
    expect(rows.map((row, i) => row.startsWith(`${prompts[i]},pending,`))).toEqual(
      prompts.map(() => true),
    );
  });

  test("ROLE=runner answers only health, readiness and Prometheus", async () => {
    await using runner = await startProcess({ ...env, ROLE: "runner" });
    const status = async (path: string) => (await runner.get(`${runner.url}${path}`)).status;
    for (const path of ["/healthz", "/readyz", "/metrics"]) expect(await status(path)).toBe(200);
    for (const path of ["/", "/docs", "/openapi.json", "/v1/models"])
      expect(await status(path)).toBe(404);
    const { body } = await runner.post("/tasks", { prompt: "x" });
    expect(body.error.message).toContain("ROLE=runner");
  });

  test("a cancel or an abort at one node ends the call at another, and deltas and ends reach the clients there", async () => {
    const held = gate();
    await using provider = await startProvider(async ({ prompt }, response) => {
      if (prompt !== "streamed") return hang();
      response.writeHead(200, { "content-type": "text/event-stream" });
      const say = (content: string) =>
        response.write(
          `data: ${JSON.stringify({ id: "c", choices: [{ index: 0, delta: { content } }] })}\n\n`,
        );
      const over = held.opened.then(() => true);
      do say("on and ");
      while (!(await Promise.race([over, Bun.sleep(20)])));
      say("on");
      response.end("data: [DONE]\n\n");
      return undefined;
    });
    await using api = await startProcess({ ...env, ROLE: "api" });
    await using runner = await startProcess({ ...env, ...provider.env, ROLE: "runner" });
    expect(runner.url).toBeDefined();
    const aborts = async (move: () => Promise<unknown>) => {
      await until(() => provider.state.open === 1 || undefined);
      const asked = performance.now();
      await move();
      await until(() => provider.state.open === 0 || undefined);
      expect(performance.now() - asked).toBeLessThan(1000);
    };
    await api.post("/tasks?execute=true", { id: "hung", prompt: "hung" });
    await aborts(() => api.post("/tasks/hung/cancel"));
    await api.post("/tasks?execute=true", { id: "deleted", prompt: "hung" });
    await aborts(() => api.del("/tasks/deleted?force=true"));

    // A pause lets calls in flight finish, or cancels them on request.
    await api.post("/batches", { id: "p", tasks: [{ id: "p1", prompt: "hung in a batch" }] });
    await api.post("/batches/p/execute");
    await until(() => provider.state.open === 1 || undefined);
    await api.post("/batches/p/pause");
    expect((await api.get("/batches/p")).body.data.progress).toMatchObject({ running: 1 });
    await aborts(async () => {
      const paused = await api.post("/batches/p/pause", { abort: true });
      expect(paused.body.data).toMatchObject({
        status: "paused",
        progress: { pending: 1, running: 0 },
      });
    });
    await api.post("/batches/p/resume");
    await aborts(() => api.post("/batches/p/cancel"));
    const [execution] = (await api.get("/tasks/p1/executions")).body.data.executions;
    expect(execution.attempts).toMatchObject([
      { outcome: "interrupted" },
      { outcome: "cancelled" },
    ]);
    await api.post("/batches", { id: "d", tasks: [{ prompt: "hung in a batch" }] });
    await api.post("/batches/d/execute");
    await aborts(() => api.del("/batches/d?force=true"));

    await api.post("/tasks", { id: "s", prompt: "streamed", parameters: { stream: true } });
    await using reader = await follow(api.url ?? "", "/tasks/s/events");
    const waiting = api.post("/tasks/s/execute", undefined, { prefer: "wait=30" });
    // The answer goes on until a piece of it has come.
    await reader.until("task.delta");
    held.open();
    const { status, result } = (await waiting).body.data;
    expect(status).toBe("completed");
    await reader.until("task.completed");
    for (const { event, data } of reader.reported) {
      if (event !== "task.delta") continue;
      const { offset, text } = data.data;
      expect(result.content.slice(offset, offset + text.length)).toBe(text);
    }
  });

  test("a batch whose node was killed while it stored it can be sent again", async () => {
    const lines = Array.from({ length: 30_000 }, (_, i) => `p${i}`);
    writeFileSync(join(folder.path, "files/in.csv"), `prompt\n${lines.join("\n")}\n`);
    await using first = await startProcess({ ...env, ROLE: "api" });
    await using second = await startProcess({ ...env, ROLE: "api" });
    const sent = first.post("/batches", { id: "nightly", inputFile: "in.csv" }).catch(() => {});
    const rows = createClient({ url: database.url });
    await until(
      async () =>
        Number((await rows.execute("SELECT count(*) FROM tasks")).rows[0]?.[0]) > 3000 || undefined,
    );
    await first.kill("SIGKILL");
    await sent;
    const again = await until(async () => {
      const { status } = await second.post("/batches", { id: "nightly", inputFile: "in.csv" });
      return status === 201 ? status : undefined;
    });
    expect(again).toBe(201);
  });

  test("a schedule, and the next attempt to deliver, of a node whose clock is ahead are due by the database's clock", async () => {
    const skewed = join(folder.path, "skew.ts");
    writeFileSync(skewed, "const now = Date.now; Date.now = () => now() + 600_000;");
    const command = [process.execPath, "--preload", skewed, "src/main.ts"];
    await using receiver = await startReceiver((_, response) => response.writeHead(503).end());
    await using ahead = await startProcess({ ...env, ...receiver.env }, command);
    writeFileSync(join(folder.path, "files/one.csv"), "prompt\nx\n");
    const draft = { name: "s", schedule: "* * * * * *", inputFile: "one.csv" };
    const { body } = await ahead.post("/scheduled-tasks", draft);
    const next = Date.parse(body.data.nextRun);
    expect(next).toBeLessThanOrEqual(Date.now() + 60_000);
    await until(async () => {
      const { runs } = (await ahead.get(`/scheduled-tasks/${body.data.id}/runs`)).body.data;
      return runs.length > 0 || undefined;
    });
    await ahead.post(`/scheduled-tasks/${body.data.id}/disable`);
    const made = await ahead.post("/webhooks", { url: receiver.url, events: ["task.created"] });
    await ahead.post("/tasks", { id: "reported", prompt: "x" });
    const again = await until(async () => {
      const { deliveries } = (await ahead.get(`/webhooks/${made.body.data.id}/deliveries`)).body
        .data;
      return deliveries[0]?.nextAttemptAt ?? undefined;
    });
    expect(Date.parse(again)).toBeLessThanOrEqual(Date.now() + 60_000);
  });
});

/** Adds the row of a process that is silent. */
async function addSilent(
  url: string,
  { node, silentMs, leaseMs }: { node: number; silentMs: number; leaseMs: number | null },
): Promise<void> {
  await createClient({ url }).execute({
    sql: `INSERT INTO nodes (seq, started_at, heartbeat_at, is_runner, keys, lease_ms)
          VALUES (?, 0, unixepoch('subsec') * 1000 - ?, 0, '[]', ?)`,
    args: [node, silentMs, leaseMs],
  });
}
