import { expect, test } from "bun:test";

import { giveUpLease, takeLease } from "../../src/store/leases.ts";
import { insertTask } from "../../src/store/new-task.ts";
import { leaseRequests } from "../../src/store/rate-limits.ts";
import { limitOf, limitStored, sumStored } from "../../src/store/stored-bytes.ts";
import { newTask, openStore } from "../support/store.ts";

test("processes together are granted a key's limit in a minute and no more", async () => {
  using store = await openStore();
  const grant = async (wanted: number, minute = 100) => {
    const { lease } = await store.writer.write(leaseRequests(1, minute, wanted, 10));
    return lease.rows[0]?.granted;
  };
  expect([await grant(4), await grant(4), await grant(4), await grant(4)]).toEqual([4, 4, 2, 0]);
  expect(await grant(20, 101)).toBe(10);
});

test("one holder has a lease at a time, until it gives it up or it lapses", async () => {
  using store = await openStore();
  const take = async (holder: string, ms: number) =>
    (await store.writer.write({ taken: takeLease("work", holder, ms) })).taken.rows.length === 1;
  expect([await take("a", 60_000), await take("b", 60_000), await take("a", 60_000)]).toEqual([
    true,
    false,
    true,
  ]);
  await store.writer.write({ done: giveUpLease("work", "b") });
  expect(await take("b", 60_000)).toBe(false);
  await store.writer.write({ done: giveUpLease("work", "a") });
  expect([await take("b", -1000), await take("a", 60_000)]).toEqual([true, true]);
});

test("a unit that would store more than a limit allows is refused whole, and the error names the limit", async () => {
  using store = await openStore();
  const { writer } = store;
  const stored = async () => (await writer.write({ sum: sumStored(1) })).sum.rows[0]?.ofKey ?? 0;
  const add = (id: string, most: { all: number; ofKey: number }) =>
    writer
      .write({ task: insertTask(newTask(id)), limit: limitStored(1, most) })
      .then(() => undefined, limitOf);
  expect(await add("first", { all: 0, ofKey: 0 })).toBeUndefined();
  const size = await stored();
  expect(size).toBeGreaterThan(0);
  expect(await add("second", { all: 0, ofKey: size })).toBe("ofKey");
  expect(await add("third", { all: size, ofKey: 0 })).toBe("all");
  expect(await stored()).toBe(size);
  expect(await add("fourth", { all: 2 * size, ofKey: 2 * size })).toBeUndefined();
});
