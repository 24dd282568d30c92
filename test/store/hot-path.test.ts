import { expect, test } from "bun:test";

import { claim } from "../../src/store/claim.ts";
import { insertTask } from "../../src/store/new-task.ts";
import { postpone } from "../../src/store/postpone.ts";
import { NEXT_WAITING, wakeWaiting } from "../../src/store/queue.ts";
import { type FinalRow, settle } from "../../src/store/settle.ts";
import { MODEL, newTask, NOW, openStore } from "../support/store.ts";

const [OWNER, OTHER] = [1, 2];

/** A database with `count` queued single tasks, and what the engine does with them, without the engine. */
async function withQueue(count: number) {
  const { client, writer, ...store } = await openStore();
  for (let i = 0; i < count; i++) await writer.write({ inserted: insertTask(newTask(`t${i}`)) });
  const lane = { lane: 0, model: MODEL, price: "free", isLimited: false, byAge: false } as const;
  return {
    async claim(owner: number, claimNo: number, limit: number) {
      const unit = claim([{ ...lane, limit }], owner, claimNo, NOW, 1_000_000);
      return (await writer.write(unit)).claimed.rows.map(({ task }) => task);
    },
    settle: (finals: FinalRow[], owner: number) =>
      writer.write({ settled: settle({ ...SETTLING, finals }, owner, NOW + 1) }),
    postpone: (task: number, claimNo: number, owner: number, at: number) =>
      writer.write({ put: postpone([{ t: task, c: claimNo, f: 1, at }], owner, NOW + 1) }),
    wake: (now: number) => writer.write({ woken: wakeWaiting(now) }),
    nextWaiting: async () => (await writer.write({ next: NEXT_WAITING })).next.rows[0]?.at,
    /** How many rows of a table there are. */
    async count(table: string) {
      return Number((await client.execute(`SELECT count(*) AS n FROM ${table}`)).rows[0]?.["n"]);
    },
    statuses: async () =>
      (await client.execute("SELECT status FROM tasks ORDER BY seq")).rows.map(
        ({ status }) => status,
      ),
    [Symbol.dispose]: store[Symbol.dispose],
  };
}

const SETTLING = {
  batches: [],
  tallies: [],
  dearest: [],
  mayBeLimited: true,
  isExclusive: true,
};

function completed(task: number, claimNo: number): FinalRow {
  return {
    task,
    claim: claimNo,
    status: "completed",
    at: NOW + 1,
    provider: "p",
    model: MODEL,
    fallbackFrom: null,
    requestId: null,
    promptTokens: 1,
    completionTokens: 1,
    cachedTokens: null,
    reasoningTokens: null,
    costUsd: 0,
    response: "{}",
    error: null,
    isCached: false,
    adjusted: [],
    isTruncated: false,
    isEstimated: false,
    isRepaired: false,
    escalatedFrom: null,
    cacheKey: null,
  };
}

test("each queued task is claimed by one owner, the oldest first, up to the limit", async () => {
  using queue = await withQueue(3);
  expect(await queue.claim(OWNER, 1, 2)).toEqual([1, 2]);
  expect(await queue.claim(OTHER, 1, 2)).toEqual([3]);
  expect(await queue.claim(OWNER, 2, 2)).toEqual([]);
});

test("only the owner of a claim settles its run, and only once", async () => {
  using queue = await withQueue(1);
  const [task = 0] = await queue.claim(OWNER, 7, 1);
  await queue.settle([completed(task, 6)], OWNER);
  await queue.settle([completed(task, 7)], OTHER);
  expect([await queue.count("executions"), await queue.statuses()]).toEqual([0, ["pending"]]);

  await queue.settle([completed(task, 7)], OWNER);
  const events = await queue.count("events");
  await queue.settle([{ ...completed(task, 7), status: "failed" }], OWNER);
  expect([await queue.count("executions"), await queue.statuses()]).toEqual([1, ["completed"]]);
  expect([await queue.count("queue"), await queue.count("events")]).toEqual([0, events]);
});

test("a postponed run waits for its time, and a late claim cannot postpone it", async () => {
  using queue = await withQueue(1);
  const [task = 0] = await queue.claim(OWNER, 1, 1);
  await queue.postpone(task, 2, OWNER, NOW + 500);
  await queue.postpone(task, 1, OTHER, NOW + 500);
  expect(await queue.nextWaiting()).toBeNull();

  await queue.postpone(task, 1, OWNER, NOW + 1000);
  expect(await queue.nextWaiting()).toBe(NOW + 1000);
  await queue.wake(NOW + 999);
  expect(await queue.claim(OWNER, 2, 1)).toEqual([]);
  await queue.wake(NOW + 1000);
  expect(await queue.claim(OTHER, 1, 1)).toEqual([task]);
  await queue.settle([completed(task, 1)], OWNER);
  expect(await queue.statuses()).toEqual(["pending"]);
});
