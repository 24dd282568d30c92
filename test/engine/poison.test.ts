import { describe, expect, test } from "bun:test";

import { rowsOf } from "../../src/db/unit.ts";
import { BUCKETS } from "../../src/domain/latency.ts";
import { toInterrupted } from "../../src/engine/claimed-run.ts";
import { noSums, type Tally } from "../../src/store/rollups.ts";
import { settle } from "../../src/store/settle.ts";
import { temporaryFolder } from "../support/process.ts";
import { chatAnswer, gate, startProvider } from "../support/provider.ts";
import { startServer, type TestServer, until } from "../support/server.ts";
import { startSqld } from "../support/sqld.ts";
import { sqld } from "../support/tools.ts";

const task = (id: string) => ({ id, prompt: id });

/** Makes the database refuse new rows that match a condition, as it refuses values that it cannot store. */
async function refuse(app: TestServer, name: string, on: string, when: string) {
  await app.ctx.client.execute(
    `CREATE TRIGGER ${name} BEFORE ${on} WHEN ${when}
     BEGIN SELECT RAISE(ABORT, 'string or blob too big'); END`,
  );
  return () => app.ctx.client.execute(`DROP TRIGGER ${name}`);
}

const LARGE_ANSWER = "INSERT ON executions";

describe("a statement that the database refuses", () => {
  test("ends its task without another call, and affects no other task", async () => {
    const held = gate();
    await using provider = await startProvider(async () => void (await held.opened));
    await using app = await startServer({ ...provider.env, MAX_CONCURRENCY: "64" });
    await refuse(app, "large", LARGE_ANSWER, "NEW.response LIKE '%re: poison%'");
    const tasks = Array.from({ length: 20 }, (_, i) => task(i === 7 ? "poison" : `n${i}`));
    await app.post("/batches", { id: "b", tasks });
    await app.post("/batches/b/execute");
    await until(() => provider.requests.length === 20 || undefined);
    held.open();

    const batch = await app.finished("b");
    expect(batch.progress).toMatchObject({ completed: 19, failed: 1, running: 0 });
    expect(provider.counts.get("poison")).toBe(1);
    const { error } = await app.ended("poison");
    expect(error).toMatchObject({ code: "RESULT_NOT_STORABLE", retryable: false });
    expect(error.message).toContain("string or blob too big");
    // It was paid for all the same.
    const { rows } = await app.ctx.client.execute(
      "SELECT completion_tokens AS n FROM batches WHERE id = 'b'",
    );
    expect(rows[0]?.["n"]).toBe(20 * 5);
    expect(await app.differences()).toEqual([]);
  });

  test("ends a task without its usage if the usage is refused", async () => {
    await using provider = await startProvider();
    await using app = await startServer(provider.env);
    await refuse(app, "counts", LARGE_ANSWER, "NEW.prompt_tokens IS NOT NULL");
    await app.post("/tasks?execute=true", task("t"));
    expect((await app.ended("t")).error.code).toBe("RESULT_NOT_STORABLE");
    expect(provider.counts.get("t")).toBe(1);
  });

  test("delays no other task even if the failure itself cannot be stored, and is reported until it can", async () => {
    await using provider = await startProvider();
    await using app = await startServer(provider.env);
    await app.post("/tasks", task("poison"));
    const which = "NEW.task = (SELECT seq FROM tasks WHERE id = 'poison')";
    const accept = await refuse(app, "everything", LARGE_ANSWER, which);
    await app.post("/tasks/poison/execute");
    await until(() => provider.counts.has("poison") || undefined);
    for (const id of ["a", "b", "c"]) await app.post("/tasks?execute=true", task(id));
    for (const id of ["a", "b", "c"]) expect((await app.ended(id)).status).toBe("completed");

    await until(async () => (await app.get(`${app.url}/readyz`)).status === 503 || undefined);
    const { reasons } = (await app.get("/status")).body.data;
    expect(JSON.stringify(reasons)).toContain("string or blob too big");
    await accept();
    expect((await app.ended("poison")).error.code).toBe("RESULT_NOT_STORABLE");
    await until(async () => (await app.get(`${app.url}/readyz`)).status === 200 || undefined);
    expect(provider.counts.get("poison")).toBe(1);
    expect(await app.differences()).toEqual([]);
  });

  test("of claims does not prevent the storage of ended runs", async () => {
    const held = gate();
    await using provider = await startProvider(async () => void (await held.opened));
    await using app = await startServer(provider.env);
    await app.post("/tasks?execute=true", task("first"));
    await until(() => provider.counts.has("first") || undefined);
    const accept = await refuse(app, "claims", "UPDATE OF owner ON queue", "NEW.owner IS NOT NULL");
    await app.post("/tasks?execute=true", task("second"));
    held.open();
    expect((await app.ended("first")).status).toBe("completed");
    expect((await app.get("/tasks/second")).body.data.status).toBe("pending");
    await accept();
    expect((await app.ended("second")).status).toBe("completed");
  });

  test("of an alert lets it be raised with the next refused call", async () => {
    await using provider = await startProvider((_, response) => {
      response.writeHead(401, { "content-type": "application/json" });
      response.end('{"error":{"message":"no","code":"invalid_api_key"}}');
      return null;
    });
    await using app = await startServer(provider.env);
    const accept = await refuse(app, "alerts", "INSERT ON alerts", "TRUE");
    await app.post("/tasks?execute=true", task("first"));
    // With the alert the whole unit is refused, so the run ends by itself.
    expect((await app.ended("first")).error.code).toBe("RESULT_NOT_STORABLE");
    await accept();
    await app.post("/tasks?execute=true", task("second"));
    await app.ended("second");
    const { rows } = await app.ctx.client.execute("SELECT code FROM alerts");
    expect(rows.map(({ code }) => code)).toEqual(["provider.unauthorized"]);
  });
});

test("more models end at once than one statement has values for", async () => {
  await using app = await startServer();
  const tasks = Array.from({ length: 700 }, (_, i) => ({ prompt: `p${i}`, model: `m${i}` }));
  await app.post("/batches", { id: "b", tasks });
  // As if another process had claimed them.
  const owner = 999;
  await app.ctx.client.batch(
    [
      `INSERT INTO queue (task, lane, model, priority, run, queued_at, owner, claim, claimed_at, started_at, attempt)
       SELECT seq, batch, model, priority, 1, 1, ${owner}, 1, 2, 2, 1 FROM tasks`,
      "UPDATE batches SET running = total, status = 'running' WHERE id = 'b'",
    ],
    "write",
  );
  const rows = rowsOf<{ seq: number; batch: number; model: string }>(
    await app.ctx.client.execute("SELECT seq, batch, model FROM tasks"),
  );
  const tallies = rows.map(({ model }): Tally => ({
    status: "failed",
    model,
    provider: "",
    apiKey: 0,
    sums: { ...noSums(), tasks: 1 },
    buckets: Array.from({ length: BUCKETS }, () => 0),
    dearestUsd: 0,
  }));
  const finals = rows.map(({ seq: task, batch, model }) =>
    toInterrupted({ task, owner, claim: 1, batch, model }, 5, 3),
  );
  const batches = [...new Set(rows.map(({ batch }) => batch))];
  const rest = { dearest: [], mayBeLimited: true, isExclusive: true };
  const settling = { finals, batches, tallies, ...rest };
  await app.ctx.writer.write({ settled: settle(settling, owner, 3) });
  const [sum] = rowsOf<{ tasks: number }>(
    await app.ctx.client.execute(
      "SELECT sum(tasks) AS tasks FROM rollups WHERE status = 'failed' AND span = 60000",
    ),
  );
  expect(sum?.tasks).toBe(700);
  expect((await app.finished("b")).progress).toMatchObject({ failed: 700, running: 0 });
  expect(await app.differences()).toEqual([]);
});

describe.if(sqld !== undefined)("at a libSQL server", () => {
  async function givenApp(folder: string, url: string, env: Record<string, string>) {
    return startServer({ DATABASE_URL: url, DATA_DIR: folder, ...env });
  }

  test("prompts larger than one answer of the server reach their calls", async () => {
    using folder = temporaryFolder();
    await using server = await startSqld(folder.path);
    await using provider = await startProvider(({ body }) => chatAnswer({ prompt: "short", body }));
    await using app = await givenApp(folder.path, server.url, provider.env);
    const text = (i: number) => `${i} `.padEnd(100_000, "ä word\n");
    const message = (i: number) => ({ role: "user", content: text(i) });
    const tasks = [
      ...Array.from({ length: 150 }, (_, i) => ({ id: `t${i}`, messages: [message(i)] })),
      // One body is nearly as large as the server accepts, and larger than one read of several bodies.
      { id: "huge", messages: Array.from({ length: 30 }, (_, i) => message(1000 + i)) },
    ];
    for (const one of tasks) expect((await app.post("/tasks?execute=true", one)).status).toBe(201);
    for (const { id } of tasks) expect((await app.ended(id)).status).toBe("completed");
    const sent = provider.requests.map(({ body }) => JSON.stringify(body.messages));
    expect(sent.toSorted()).toEqual(
      tasks.map(({ messages }) => JSON.stringify(messages)).toSorted(),
    );
  });

  test("answers larger than one answer of the server can be read", async () => {
    using folder = temporaryFolder();
    await using server = await startSqld(folder.path);
    const text = "a long answer\n".repeat(20_000);
    await using provider = await startProvider(({ body }) => ({
      id: "long",
      object: "chat.completion",
      created: 1,
      model: body.model,
      choices: [{ index: 0, message: { role: "assistant", content: text }, finish_reason: "stop" }],
    }));
    await using app = await givenApp(folder.path, server.url, provider.env);
    const tasks = Array.from({ length: 60 }, (_, i) => task(`t${i}`));
    await app.post("/batches", { id: "b", tasks, outputFile: "out.jsonl" });
    await app.post("/batches/b/execute");
    await app.finished("b");
    const results = await app.get("/batches/b/results?format=jsonl");
    expect(results.text.trim().split("\n")).toHaveLength(60);
    expect((await app.get("/batches/b?limit=100")).body.data.tasks).toHaveLength(60);
    for (let i = 0; i < 59; i++)
      await app.ctx.client.execute({
        sql: `INSERT INTO executions (task, run, status, is_dry_run, queued_at, completed_at, attempts, response)
              SELECT task, ?, status, 0, 1, 1, 1, response FROM executions WHERE run = 1 LIMIT 1`,
        args: [i + 2],
      });
    const { rows } = await app.ctx.client.execute(
      "SELECT t.id FROM executions e JOIN tasks t ON t.seq = e.task WHERE e.run = 2",
    );
    const read = await app.get(`/tasks/${String(rows[0]?.["id"])}/executions`);
    expect(read.body.data.executions).toHaveLength(60);
  });

  test("a claim that takes effect after its request timed out is released, and costs no attempt", async () => {
    using folder = temporaryFolder();
    await using server = await startSqld(folder.path);
    await using provider = await startProvider();
    await using app = await givenApp(folder.path, server.url, provider.env);
    await app.post("/tasks", task("t"));
    // Like a claim of this process that timed out before it took effect.
    await app.ctx.client.batch(
      [
        `INSERT INTO queue (task, lane, model, priority, run, queued_at, owner, claim, claimed_at, started_at, attempt)
         SELECT seq, 0, model, priority, 1, 1, (SELECT max(seq) FROM nodes), 0, 2, 2, 1 FROM tasks WHERE id = 't'`,
        "UPDATE batches SET running = 1 WHERE seq = 0",
      ],
      "write",
    );
    expect(await app.ended("t")).toMatchObject({ status: "completed", attempts: 1 });
    expect(provider.requests).toHaveLength(1);
    expect(await app.differences()).toEqual([]);
  });
});
