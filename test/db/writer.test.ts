import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { createClient, LibsqlError, type ResultSet } from "@libsql/client";

import { createLocalClient } from "../../src/db/local-client.ts";
import type { Statement } from "../../src/db/unit.ts";
import { createWriter } from "../../src/db/writer.ts";
import { createSystemClock } from "../../src/lib/clock.ts";
import { linked } from "../../src/store/linked.ts";
import { temporaryFolder } from "../support/process.ts";

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

test("the writes of one turn are committed together, in order", async () => {
  using db = await givenWriter();
  const results = await Promise.all(
    Array.from({ length: 50 }, (_, i) => db.writer.write({ inserted: insert(i), count })),
  );
  expect(db.commits()).toBe(1);
  expect(results.map((result) => result.count.rows)).toEqual(
    Array.from({ length: 50 }, (_, i) => [{ n: i + 1 }]),
  );
});

test("a unit that fails affects no other and leaves nothing behind", async () => {
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

test("each result has the name of its statement, in parts and lists, even if other statements did not apply", async () => {
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

test("a result can be read only with the type of its statement", async () => {
  using db = await givenWriter();
  const { one, count: counted } = await db.writer.write({ one: insert(1), count });
  // @ts-expect-error An insert has no rows.
  const rows: unknown[] = one.rows;
  // @ts-expect-error A query has no count of changed rows: the drivers disagree on it.
  const changed: number = counted.changed;
  // @ts-expect-error The rows of this query have no column `id`.
  const missing: unknown = counted.rows[0]?.id;
  // @ts-expect-error A unit is an object whose statements have names, not a list.
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

test("writes over the size of a commit are split between units, never inside one", async () => {
  using db = await givenWriter();
  const units = Array.from({ length: 5 }, (_, u) => ({
    all: Array.from({ length: 150 }, (_, i) => insert(u * 1000 + i)),
  }));
  await Promise.all(units.map((unit) => db.writer.write(unit)));
  expect(db.commits()).toBe(3);
  expect(await db.ids()).toHaveLength(750);
});

test("on a local file, units that do not fit into a few milliseconds are in the next commit, in order", async () => {
  const dir = mkdtempSync(join(tmpdir(), "writer-"));
  let [now, commits] = [0, 0];
  // Each unit takes three of the eight milliseconds that a commit may take.
  const clock = { ...createSystemClock(), monotonic: () => (now += 3) };
  const client = createLocalClient(join(dir, "test.db"), 1000, clock);
  await client.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)");
  const counting = {
    ...client,
    commitSome: (...args: Parameters<typeof client.commitSome>) => (
      commits++,
      client.commitSome(...args)
    ),
  };
  const writer = createWriter(counting, clock);
  const units = [1, 2, 3, 4, 2, 5].map((id) => writer.write({ inserted: insert(id), count }));
  const outcomes = await Promise.allSettled(units);
  const counts = outcomes.map((one) => one.status === "fulfilled" && one.value.count.rows[0]?.n);
  expect(counts).toEqual([1, 2, 3, 4, false, 5]);
  expect(commits).toBeGreaterThan(1);
  expect(commits).toBeLessThan(units.length);
  client.close();
  rmSync(dir, { recursive: true });
});

test("a broken connection fails all waiting units, because it is unknown what was committed", async () => {
  const broken = { batch: () => Promise.reject(new Error("connection reset")) };
  const writer = createWriter(broken as never, createSystemClock());
  const outcomes = await Promise.allSettled([
    writer.write({ one: insert(1) }),
    writer.write({ two: insert(2) }),
  ]);
  expect(outcomes.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  await writer.settled();
});

/** A client whose batches a test controls, and the statements that they received. */
function givenClient(answer: (sqls: string[]) => void) {
  const batches: string[][] = [];
  const batch = async (statements: Statement[]) => {
    const sqls = statements.map(({ sql }) => sql);
    batches.push(sqls);
    answer(sqls);
    return sqls.map(() => ({ columns: [], rows: [], rowsAffected: 1 }));
  };
  return { batches, writer: createWriter({ batch } as never, createSystemClock()) };
}

const named = (sql: string): Statement => ({ sql, args: [] });
const statusesOf = async (work: Promise<unknown>[]) =>
  (await Promise.allSettled(work)).map(({ status }) => status);

test("if the database does not say which unit it refuses, halves are committed until that unit is alone", async () => {
  const { batches, writer } = givenClient((sqls) => {
    if (sqls.includes("bad")) throw new LibsqlError("Response is too large", "RESPONSE_TOO_LARGE");
  });
  const names = ["a", "b", "c", "bad", "d", "e", "f", "g"];
  const statuses = await statusesOf(names.map((name) => writer.write({ one: named(name) })));
  expect(statuses.map((status, i) => [names[i], status])).toEqual(
    names.map((name) => [name, name === "bad" ? "rejected" : "fulfilled"]),
  );
  expect(batches.map((batch) => batch.join(""))).toEqual([
    "abcbaddefg",
    "abcbad",
    "ab",
    "cbad",
    "c",
    "bad",
    "defg",
  ]);
});

test("units that are too large together are committed one by one", async () => {
  const { writer } = givenClient((sqls) => {
    if (sqls.length > 1) throw new LibsqlError("Response is too large", "RESPONSE_TOO_LARGE");
  });
  const work = ["a", "b", "c"].map((name) => writer.write({ one: named(name) }));
  expect(await statusesOf(work)).toEqual(["fulfilled", "fulfilled", "fulfilled"]);
});

test("a commit to a busy database is retried once, with all units together", async () => {
  let asked = 0;
  const { batches, writer } = givenClient(() => {
    if (asked++ === 0) throw new LibsqlError("database is locked", "SQLITE_BUSY");
  });
  const work = ["a", "b"].map((name) => writer.write({ one: named(name) }));
  expect(await statusesOf(work)).toEqual(["fulfilled", "fulfilled"]);
  expect(batches).toEqual([
    ["a", "b"],
    ["a", "b"],
  ]);
});

test("a number that is not finite fails its own unit before anything is sent", async () => {
  using db = await givenWriter();
  const poison: Statement = { sql: "INSERT INTO t (id, v) VALUES (1, ?)", args: [Infinity] };
  const work = [db.writer.write({ poison }), db.writer.write({ two: insert(2) })];
  expect(await statusesOf(work)).toEqual(["rejected", "fulfilled"]);
  expect([db.commits(), await db.ids()]).toEqual([1, [2]]);
});

test("half a surrogate pair is stored as the replacement character", async () => {
  using db = await givenWriter();
  await db.writer.write({
    half: { sql: "INSERT INTO t (id, v) VALUES (1, ?)", args: ["a\ud800b"] } as Statement,
  });
  const { rows } = await db.client.execute("SELECT v FROM t");
  expect(rows[0]?.["v"]).toBe("a\ufffdb");
});

test("the callback of a unit runs after its commit, and not if it fails", async () => {
  using db = await givenWriter();
  const remembered: number[] = [];
  const plan = (id: number) => ({
    unit: { inserted: insert(id) },
    committed() {
      remembered.push(id);
    },
  });
  const work = [1, 1, 2].map((id) => db.writer.carryOut(plan(id)));
  expect(await statusesOf(work)).toEqual(["fulfilled", "rejected", "fulfilled"]);
  expect(remembered).toEqual([1, 2]);
});

test("only a group whose units can all be lost is committed without waiting for the disk", async () => {
  const commits: string[] = [];
  const commitSome = async (units: Statement[][], { canBeLost }: { canBeLost: boolean }) => {
    const sql = units.flat().map((statement) => statement.sql);
    commits.push(`${canBeLost ? "unsynced" : "synced"} ${sql.join()}`);
    return units.map((unit) => unit.map(() => ({ columns: [], rows: [], rowsAffected: 1 })));
  };
  const writer = createWriter({ commitSome } as never, createSystemClock());
  const draft = (name: string) => writer.write({ one: named(name) }, { canBeLost: true });
  await Promise.all([draft("a"), draft("b")]);
  await Promise.all([draft("c"), writer.write({ one: named("d") })]);
  await writer.write({ one: named("e") });
  expect(commits).toEqual(["unsynced a,b", "synced c,d", "synced e"]);
});

test("after a commit that did not wait for the disk, other commits wait again", async () => {
  using folder = temporaryFolder();
  const client = createLocalClient(join(folder.path, "test.db"), 1000);
  const synchronous = async () => (await client.execute("PRAGMA synchronous")).rows[0]?.[0];
  await client.execute("PRAGMA journal_mode = WAL");
  await client.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, s INTEGER)");
  // 1 is NORMAL, which does not wait, 2 is FULL.
  const note = "INSERT INTO t (s) SELECT synchronous FROM pragma_synchronous RETURNING s";
  const noted = async (results: Promise<ResultSet[]>) => (await results)[0]?.rows[0]?.[0];
  const unsynced = async (sql: string) =>
    (await client.commitSome([[sql]], { canBeLost: true }))[0] ?? [];
  expect(await noted(client.batch([note], "write"))).toBe(2);
  expect(await noted(unsynced(note))).toBe(1);
  expect(await noted(unsynced(note))).toBe(1);
  await expect(unsynced("INSERT INTO nowhere VALUES (1)")).rejects.toThrow("nowhere");
  expect(await noted(client.batch([note], "write"))).toBe(2);
  expect(await noted(unsynced(note))).toBe(1);
  expect(await synchronous()).toBe(2);
  client.close();
});

test("a commit that takes very long is reported until it ends", async () => {
  let now = 0;
  let answer = () => {};
  const commitSome = (units: Statement[][]) =>
    new Promise((resolve) => {
      const nothing = { columns: [], rows: [], rowsAffected: 1 };
      answer = () => resolve(units.map((unit) => unit.map(() => nothing)));
    });
  const clock = { ...createSystemClock(), monotonic: () => now };
  const writer = createWriter({ commitSome } as never, clock);
  const work = writer.write({ one: named("a") });
  await new Promise<void>((resolve) => setImmediate(resolve));
  await new Promise<void>((resolve) => setImmediate(resolve));
  expect([writer.isSilent(), writer.trouble()]).toEqual([false, null]);
  now = 10_001;
  expect([writer.isSilent(), writer.trouble()]).toEqual([true, "The database does not answer"]);
  answer();
  await work;
  await writer.settled();
  expect([writer.isSilent(), writer.trouble()]).toEqual([false, null]);
});
