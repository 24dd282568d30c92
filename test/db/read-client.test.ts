import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { openDatabase } from "../../src/db/client.ts";
import { createReadClient } from "../../src/db/read-client.ts";
import type { FromReader, ToReader } from "../../src/db/read-protocol.ts";
import { startReadThread } from "../../src/db/threads.ts";
import { createSystemClock } from "../../src/lib/clock.ts";
import { workFor } from "../../src/lib/leaving.ts";
import type { StartThread } from "../../src/lib/thread.ts";
import { startServer } from "../support/server.ts";

const clock = createSystemClock();

/** Fake threads: they keep their messages, and answer when a test says so. */
function createThreads() {
  const reported: ToReader[] = [];
  const handlers: { onMessage: (message: FromReader) => void; onDeath: () => void }[] = [];
  let ended = 0;
  const start = (({ onMessage, onDeath }: (typeof handlers)[number]) => {
    handlers.push({ onMessage, onDeath });
    return { post: (message: ToReader) => reported.push(message), end: () => ended++ };
  }) as unknown as StartThread;
  const reads = () => reported.flatMap((message) => (message.kind === "read" ? [message] : []));
  return {
    start,
    reads,
    started: () => handlers.length,
    ended: () => ended,
    die: () => handlers.at(-1)?.onDeath(),
    answer() {
      const id = reads().at(-1)?.id ?? 0;
      handlers.at(-1)?.onMessage({ kind: "rows", id, columns: ["n"], rows: [[id]] });
    },
  };
}

test("a real thread sees committed rows, has columns by name, and cannot write", async () => {
  const folder = mkdtempSync(join(tmpdir(), "reads-"));
  const options = { startReader: startReadThread };
  const database = await openDatabase(`file:${join(folder, "reads.db")}`, clock, options);
  const { client } = database.reads;

  await database.writer.write({
    file: {
      sql: `INSERT INTO files (id, name, bytes, sha256, created_at) VALUES ('f', 'ä', 1, '', 5)`,
      args: [],
    },
  });
  const { rows } = await client.execute({
    sql: "SELECT name, created_at AS at FROM files",
    args: [],
  });
  const refused = await client.execute("DELETE FROM files").catch((error: unknown) => error);
  const wrong = await client.execute("SELECT no_such FROM files").catch(String);

  expect([rows[0]?.["name"], rows[0]?.["at"], rows.length]).toEqual(["ä", 5, 1]);
  expect(refused).toMatchObject({ code: "SQLITE_READONLY" });
  expect(wrong).toContain("no such column");
  await database.close();
  rmSync(folder, { recursive: true });
});

test("reads are sent to the thread one at a time, and cancelled ones are not sent", async () => {
  const threads = createThreads();
  const client = createReadClient("x", threads.start, clock);
  const leaving = new AbortController();

  const first = client.execute("SELECT 1");
  const second = workFor(leaving.signal, () => client.execute("SELECT 2")).catch(() => "left");
  const third = client.execute("SELECT 3");
  leaving.abort();
  threads.answer();
  await first;
  threads.answer();
  await third;

  expect(await second).toBe("left");
  expect(threads.reads().map(({ sql }) => sql)).toEqual(["SELECT 1", "SELECT 3"]);
});

test("a read whose thread dies is retried once, and the next one continues", async () => {
  const threads = createThreads();
  const client = createReadClient("x", threads.start, clock);

  const fatal = client.execute("SELECT fatal").catch((error: unknown) => error);
  const next = client.execute("SELECT next");
  threads.die();
  threads.die();
  threads.answer();

  expect(await fatal).toMatchObject({ code: "SQLITE_BUSY" });
  expect((await next).rows.length).toBe(1);
  expect(threads.started()).toBe(3);
});

test("a read that takes too long is ended, with its thread", async () => {
  const threads = createThreads();
  const client = createReadClient("x", threads.start, clock, 20);

  const late = await client.execute("SELECT late").catch((error: unknown) => error);
  const next = client.execute("SELECT next");
  threads.answer();

  expect(late).toMatchObject({ code: "SQLITE_BUSY", message: expect.stringContaining("0.02 s") });
  expect((await next).rows.length).toBe(1);
  expect(threads.ended()).toBe(1);
});

test("the number of waiting reads is limited", async () => {
  const threads = createThreads();
  const client = createReadClient("x", threads.start, clock);

  const all = Array.from({ length: 600 }, () => client.execute("SELECT 1").catch(() => "refused"));
  const refused = all.slice(501);
  const stopped = client.stop();
  threads.die();

  expect(await Promise.all(refused)).toEqual(refused.map(() => "refused"));
  await stopped;
  expect(await Promise.all(all)).toHaveLength(600);
});

test("a server reads its lists, results and checks in threads, and ends them", async () => {
  await using app = await startServer({}, { startReader: startReadThread });
  await app.post("/batches", { id: "b", tasks: [{ id: "t", prompt: "x" }] });
  await app.post("/batches/b/execute");
  await app.finished("b");

  const list = await app.get("/tasks?batchId=b");
  const results = await app.get("/batches/b/results?format=jsonl");
  const metrics = await app.get(`${app.url}/metrics`);

  expect(list.body.data.tasks.map(({ id }: { id: string }) => id)).toEqual(["t"]);
  expect(results.text).toContain('"t"');
  expect(metrics.text).toContain('gptrunner_stored_tasks{status="completed"} 1');
  expect(await app.differences()).toEqual([]);
});
