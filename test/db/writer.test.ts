import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { createClient } from "@libsql/client";

import type { Statement } from "../../src/db/unit.ts";
import { createWriter } from "../../src/db/writer.ts";
import { createSystemClock } from "../../src/lib/clock.ts";
import { linked } from "../../src/store/linked.ts";

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

const insert = (id: number): Statement => ({ sql: "INSERT INTO t (id) VALUES (?)", args: [id] });
const count: Statement<{ n: number }> = { sql: "SELECT count(*) AS n FROM t", args: [] };

test("what is written in one turn is committed together, in order", async () => {
  using db = await givenWriter();
  const results = await Promise.all(
    Array.from({ length: 50 }, (_, i) => db.writer.write({ inserted: insert(i), count })),
  );
  expect(db.commits()).toBe(1);
  expect(results.map((result) => result.count.rows)).toEqual(
    Array.from({ length: 50 }, (_, i) => [{ n: i + 1 }]),
  );
});

test("a unit that fails fails alone and leaves nothing behind", async () => {
  using db = await givenWriter();
  const outcomes = await Promise.allSettled([
    db.writer.write({ one: insert(1) }),
    db.writer.write({ two: insert(2), one: insert(1) }),
    db.writer.write({ three: insert(3) }),
    db.writer.write({ lost: { sql: "INSERT INTO nowhere VALUES (1)", args: [] } }),
    db.writer.write({ four: insert(4) }),
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

test("each result has the name of its statement, in parts and lists, whatever did not apply", async () => {
  using db = await givenWriter();
  const maybe = (applies: boolean) => (applies ? insert(9) : undefined);
  const results = await db.writer.write({
    none: maybe(false),
    before: count,
    pair: { three: [insert(1), insert(2), insert(3)], between: [count], empty: [] as Statement[] },
    changed: { sql: "UPDATE t SET v = 'x' WHERE id > 1", args: [] } as Statement,
    both: [count, count],
    one: maybe(true),
    after: count,
  });
  expect(results.none).toBeUndefined();
  expect(results.before.rows).toEqual([{ n: 0 }]);
  expect(results.pair.three.changed).toBe(3);
  expect(results.pair.between.rows).toEqual([{ n: 3 }]);
  expect(results.pair.empty.changed).toBe(0);
  expect(results.changed.changed).toBe(2);
  expect(results.both.rows).toEqual([{ n: 3 }, { n: 3 }]);
  expect(results.one?.changed).toBe(1);
  expect(results.after.rows).toEqual([{ n: 4 }]);
});

test("a result can be read only as what its statement has", async () => {
  using db = await givenWriter();
  const { one, count: counted } = await db.writer.write({ one: insert(1), count });
  // @ts-expect-error It returns no rows.
  const rows: unknown[] = one.rows;
  // @ts-expect-error Of a statement with rows the drivers count differently what it changed.
  const changed: number = counted.changed;
  // @ts-expect-error Its rows have no such column.
  const missing: unknown = counted.rows[0]?.id;
  // @ts-expect-error A unit names its statements.
  const nameless = db.writer.write([insert(2)]);
  await nameless;
  expect([rows, changed, missing]).toEqual([[], 0, undefined]);
});

test("a linked statement knows how many rows the one before it changed", async () => {
  using db = await givenWriter();
  const unit = (id: number) => ({
    linked: linked(
      { sql: "INSERT INTO t (id) VALUES (?) ON CONFLICT DO NOTHING", args: [id] },
      (changed) => ({ sql: `INSERT INTO t (id) SELECT ? WHERE ${changed} > 0`, args: [id + 100] }),
      (changed) => ({ sql: `INSERT INTO t (id) SELECT ? WHERE ${changed} > 0`, args: [id + 200] }),
    ),
  });
  await Promise.all([db.writer.write(unit(1)), db.writer.write(unit(1)), db.writer.write(unit(2))]);
  expect(await db.ids()).toEqual([1, 2, 101, 102, 201, 202]);
});

test("more than a commit should hold is split between units, never inside one", async () => {
  using db = await givenWriter();
  const units = Array.from({ length: 5 }, (_, u) => ({
    all: Array.from({ length: 150 }, (_, i) => insert(u * 1000 + i)),
  }));
  await Promise.all(units.map((unit) => db.writer.write(unit)));
  expect(db.commits()).toBe(3);
  expect(await db.ids()).toHaveLength(750);
});

test("a broken connection fails all who wait, because nobody knows what was committed", async () => {
  const broken = { batch: () => Promise.reject(new Error("connection reset")) };
  const writer = createWriter(broken as never, createSystemClock());
  const outcomes = await Promise.allSettled([
    writer.write({ one: insert(1) }),
    writer.write({ two: insert(2) }),
  ]);
  expect(outcomes.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  await writer.settled();
});
