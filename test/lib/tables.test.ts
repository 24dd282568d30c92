import { expect, test } from "bun:test";

import type { FromTableThread, ToTableThread } from "../../src/lib/tables/table-protocol.ts";
import type { TableFound } from "../../src/lib/tables/table.ts";
import { createTables } from "../../src/lib/tables/tables.ts";
import { virtualTime } from "../support/clock.ts";
import { fakeThreads } from "../support/fake-threads.ts";

/** Readers of tables whose threads and clock the test controls. */
function startTables() {
  const { threads, startThread } = fakeThreads<ToTableThread, FromTableThread>();
  const time = virtualTime();
  const tables = createTables({ clock: time.clock, startThread });
  const found: TableFound[] = [];
  /** Reads a whole table. The error of a refusal is returned. */
  async function read(path: string): Promise<unknown> {
    const rows: unknown[] = [];
    try {
      const source = { path, format: "xlsx" as const, options: {} };
      for await (const some of tables.read(source, (all) => found.push(all))) rows.push(...some);
      return rows;
    } catch (error) {
      return error instanceof Error ? error.message : error;
    }
  }
  return { tables, threads, time, found, read };
}

const END: FromTableThread = { kind: "end", found: { sheet: "S", dates: [] } };

test("a table is read by a thread, which is free for the next one and ends when it is idle", async () => {
  const { threads, time, found, read } = startTables();
  const reading = read("a.xlsx");
  await time.pass(0);
  const [thread] = threads;
  thread?.answer({ kind: "rows", rows: [["a"]] });
  await time.pass(0);
  thread?.answer(END);
  await time.pass(0);
  thread?.answer({ kind: "closed" });
  expect([await reading, found]).toEqual([[["a"]], [{ sheet: "S", dates: [] }]]);
  expect(thread?.posted.map(({ kind }) => kind)).toEqual(["open", "next", "next", "close"]);

  const again = read("b.xlsx");
  await time.pass(0);
  thread?.answer(END);
  await time.pass(0);
  thread?.answer({ kind: "closed" });
  expect([await again, threads.length, thread?.isEnded]).toEqual([[], 1, false]);
  await time.pass(60_000);
  expect([thread?.isEnded, time.next()]).toEqual([true, Infinity]);
});

test("two tables are read at a time, and a file that takes too long or kills its thread is refused", async () => {
  const { threads, time, read } = startTables();
  const slow = read("slow.xlsx");
  const deadly = read("deadly.xlsx");
  const third = read("third.xlsx");
  await time.pass(0);
  expect(threads.length).toBe(2);
  threads[1]?.die();
  expect(await deadly).toBe("The thread that reads tables died: killed");
  await time.pass(0);
  expect(threads.length).toBe(3);
  threads[2]?.answer(END);
  await time.pass(0);
  threads[2]?.answer({ kind: "closed" });
  expect(await third).toEqual([]);
  await time.pass(120_000);
  expect(await slow).toBe("takes too long to read (120 s for some rows)");
  expect(threads.map(({ isEnded }) => isEnded)).toEqual([true, true, true]);
});
