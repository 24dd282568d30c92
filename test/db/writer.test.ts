import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { createClient } from "@libsql/client";

import { createWriter } from "../../src/db/writer.ts";
import { createSystemClock } from "../../src/lib/clock.ts";

async function givenWriter() {
  const dir = mkdtempSync(join(tmpdir(), "writer-"));
  const client = createClient({ url: `file:${join(dir, "test.db")}`, concurrency: 1 });
  await client.execute("PRAGMA journal_mode = WAL");
  await client.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)");
  let commits = 0;
  const counting = {
    ...client,
    batch: (...args: Parameters<typeof client.batch>) => (commits++, client.batch(...args)),
  };
  return {
    client,
    writer: createWriter(counting as unknown as typeof client, createSystemClock()),
    commits: () => commits,
    ids: async () =>
      (await client.execute("SELECT id FROM t ORDER BY id")).rows.map(({ id }) => id),
    [Symbol.dispose]: () => {
      client.close();
      rmSync(dir, { recursive: true });
    },
  };
}

const insert = (id: number) => ({ sql: "INSERT INTO t (id) VALUES (?)", args: [id] });

test("what is written in one turn is committed together, in order", async () => {
  using db = await givenWriter();
  const results = await Promise.all(
    Array.from({ length: 50 }, (_, i) =>
      db.writer.write([insert(i), { sql: "SELECT count(*) AS n FROM t", args: [] }]),
    ),
  );
  expect(db.commits()).toBe(1);
  expect(results.map(([, rows]) => rows?.rows[0]?.["n"])).toEqual(
    Array.from({ length: 50 }, (_, i) => i + 1),
  );
});

test("a unit that fails fails alone and leaves nothing behind", async () => {
  using db = await givenWriter();
  const outcomes = await Promise.allSettled([
    db.writer.write([insert(1)]),
    db.writer.write([insert(2), insert(1)]),
    db.writer.write([insert(3)]),
    db.writer.write([{ sql: "INSERT INTO nowhere VALUES (1)", args: [] }]),
    db.writer.write([insert(4)]),
  ]);
  expect(outcomes.map(({ status }) => status)).toEqual([
    "fulfilled",
    "rejected",
    "fulfilled",
    "rejected",
    "fulfilled",
  ]);
  expect(await db.ids()).toEqual([1, 3, 4]);
});

test("a statement may depend on the one before having changed a row", async () => {
  using db = await givenWriter();
  const unit = (id: number) => [
    { sql: "INSERT INTO t (id) VALUES (?) ON CONFLICT DO NOTHING", args: [id] },
    { sql: "INSERT INTO t (id) SELECT ? WHERE changes() > 0", args: [id + 100] },
    { sql: "INSERT INTO t (id) SELECT ? WHERE changes() > 0", args: [id + 200] },
  ];
  await Promise.all([db.writer.write(unit(1)), db.writer.write(unit(1)), db.writer.write(unit(2))]);
  expect(await db.ids()).toEqual([1, 2, 101, 102, 201, 202]);
});

test("more than a commit should hold is split between units, never inside one", async () => {
  using db = await givenWriter();
  const units = Array.from({ length: 5 }, (_, u) =>
    Array.from({ length: 150 }, (_, i) => insert(u * 1000 + i)),
  );
  await Promise.all(units.map((unit) => db.writer.write(unit)));
  expect(db.commits()).toBe(3);
  expect(await db.ids()).toHaveLength(750);
});

test("a broken connection fails all who wait, because nobody knows what was committed", async () => {
  const broken = { batch: () => Promise.reject(new Error("connection reset")) };
  const writer = createWriter(broken as never, createSystemClock());
  const outcomes = await Promise.allSettled([writer.write([insert(1)]), writer.write([insert(2)])]);
  expect(outcomes.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  await writer.settled();
});
