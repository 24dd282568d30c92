import { expect, test } from "bun:test";

import { cancelBatch, pauseBatch, resumeBatch, startBatch } from "../../src/store/batch-moves.ts";
import { cancelChunk } from "../../src/store/batch-sweeps.ts";
import { checkCounters } from "../../src/store/counters.ts";
import { insertTask } from "../../src/store/new-task.ts";
import { readRows } from "../../src/store/rows.ts";
import { newTask, NOW, openStore } from "../support/store.ts";

const BATCH = { id: "b", seq: 1 };
const START = { isDryRun: false, payer: 1, trace: null, now: NOW, steadyNow: NOW };
const REASON = { code: "requested", message: "" };

/** A pending batch with `count` tasks. */
async function withBatch(count: number) {
  const store = await openStore();
  const { client, writer } = store;
  for (let i = 0; i < count; i++) await writer.write({ task: insertTask(newTask(`t${i}`, "b")) });
  return {
    ...store,
    async status() {
      const row = (await client.execute("SELECT status FROM batches WHERE id = 'b'")).rows[0];
      return row?.["status"];
    },
    async events() {
      const sql = "SELECT type FROM events WHERE type LIKE 'batch.%' ORDER BY id";
      return (await client.execute(sql)).rows.map(({ type }) => type);
    },
  };
}

test("a move that the status of the batch does not allow changes nothing, and adds no event", async () => {
  using store = await withBatch(1);
  const { writer } = store;
  const before = await store.events();
  expect((await writer.write(pauseBatch(1, REASON, NOW))).moved.rows).toEqual([]);
  expect((await writer.write(resumeBatch(BATCH, NOW))).moved.rows).toEqual([]);
  expect([await store.status(), await store.events()]).toEqual(["pending", before]);

  expect((await writer.write(startBatch(BATCH, START))).moved.rows).toHaveLength(1);
  expect((await writer.write(startBatch(BATCH, START))).moved.rows).toEqual([]);
  expect([await store.status(), await store.events()]).toEqual([
    "running",
    [...before, "batch.started"],
  ]);
});

test("of two moves in one commit the second one sees the first", async () => {
  using store = await withBatch(1);
  const { writer } = store;
  await writer.write(startBatch(BATCH, START));
  const [paused, again] = await Promise.all([
    writer.write(pauseBatch(1, REASON, NOW)),
    writer.write(pauseBatch(1, { code: "other", message: "" }, NOW)),
  ]);
  expect([paused.moved.rows.length, again.moved.rows.length]).toEqual([1, 0]);
});

test("a cancelled batch ends with the last of its tasks, and its counters are those of its rows", async () => {
  using store = await withBatch(5);
  const { client, writer } = store;
  await writer.write(startBatch(BATCH, START));
  await writer.write(cancelBatch(BATCH, NOW + 1));
  const ended = async () =>
    (
      await client.execute(
        "SELECT cancelled, completed_at IS NOT NULL AS e FROM batches WHERE id = 'b'",
      )
    ).rows[0];
  expect(await ended()).toMatchObject({ cancelled: 0, e: 0 });
  await writer.write(cancelChunk(1, 3, NOW + 2));
  expect(await ended()).toMatchObject({ cancelled: 3, e: 0 });
  await writer.write(cancelChunk(1, 3, NOW + 3));
  expect(await ended()).toMatchObject({ cancelled: 5, e: 1 });
  expect(await readRows(client, checkCounters(0, 10))).toEqual([]);
});
