import { expect, test } from "bun:test";

import type { Context, Delta, Topics } from "../../src/context.ts";
import { createLostWatch } from "../../src/engine/lost.ts";
import { createMembership } from "../../src/engine/recovery.ts";
import type { Clock } from "../../src/lib/clock.ts";
import { createSignals } from "../../src/lib/signals.ts";
import { sweepAll } from "../../src/services/batch-sweeps.ts";
import { removeLeftDrafts } from "../../src/services/drafts.ts";
import { createNodeSignals } from "../../src/services/node-signals.ts";
import { cancelBatch, dropBatch } from "../../src/store/batch-moves.ts";
import { countChanges } from "../../src/store/changes.ts";
import { findTaken, removeFromDraft } from "../../src/store/left-drafts.ts";
import { startServer, until } from "../support/server.ts";

/** The signals of another process of a fleet, on the database of a server in this process. */
async function startNode(ctx: Context, reads: number[] = []) {
  const signals = createSignals<Topics>();
  const own: Context = { ...ctx, signals, isExclusive: false, live: { ...ctx.live } };
  const membership = createMembership(own);
  await membership.start();
  const followed = new Set(reads);
  const elsewhere = createNodeSignals(own, {
    node: membership.node,
    isWaitedFor: () => true,
    followers: { streamedTasks: () => followed },
  });
  const heard: string[] = [];
  const deltas: Delta[] = [];
  for (const topic of ["batch", "lost", "schedules", "keys", "elsewhere"] as const)
    signals.on(topic, () => heard.push(topic));
  signals.on("deltas", (pieces) => deltas.push(...pieces));
  elsewhere.start();
  return {
    ctx: own,
    signals,
    heard,
    deltas,
    followed,
    node: membership.node,
    async [Symbol.asyncDispose]() {
      await elsewhere.stop();
      await membership.stop();
    },
  };
}

test("a signal of one process reaches the others, and is not repeated at its origin", async () => {
  await using app = await startServer();
  await using a = await startNode(app.ctx);
  await using b = await startNode(app.ctx);
  const says = (topic: "schedules" | "batch") => a.signals.emit(topic, undefined);
  // Until both have read the counters once.
  await until(() => {
    says("schedules");
    return b.heard.includes("schedules") || undefined;
  });
  a.signals.emit("abandoned", { tasks: [1] });
  a.signals.emit("keys", { key: 1 });
  says("batch");
  await until(
    () => ["lost", "keys", "batch"].every((topic) => b.heard.includes(topic)) || undefined,
  );
  const counted = "SELECT count FROM changes WHERE topic = 'batch'";
  expect((await app.ctx.client.execute(counted)).rows[0]?.["count"]).toBe(1);
  expect(a.heard).not.toContain("lost");

  await app.post("/tasks", { prompt: "x" });
  await until(() => b.heard.includes("elsewhere") || undefined);
});

test("a process that publishes signals without a pause still hears those of the others", async () => {
  await using app = await startServer();
  let onWrite = () => {};
  const { writer } = app.ctx;
  const write: typeof writer.write = (...args) => {
    queueMicrotask(onWrite);
    return writer.write(...args);
  };
  await using busy = await startNode({ ...app.ctx, writer: { ...writer, write } });
  await using other = await startNode(app.ctx);
  // Each publication is followed by another.
  onWrite = () => busy.signals.emit("batch", undefined);
  onWrite();
  await until(() => {
    other.signals.emit("schedules", undefined);
    return busy.heard.includes("schedules") || undefined;
  });
  onWrite = () => {};
});

test("a signal that could not be published is published when the database is back", async () => {
  await using app = await startServer();
  const { writer } = app.ctx;
  let failures = 0;
  const write: typeof writer.write = (...args) =>
    failures-- > 0 ? Promise.reject(new Error("no connection")) : writer.write(...args);
  await using cut = await startNode({ ...app.ctx, writer: { ...writer, write } });
  await using other = await startNode(app.ctx);
  // Until the other has read the counters once.
  await until(() => {
    cut.signals.emit("schedules", undefined);
    return other.heard.includes("schedules") || undefined;
  });
  failures = 1;
  cut.signals.emit("abandoned", { tasks: [1] });
  await until(() => other.heard.includes("lost") || undefined);
});

test("pieces of an answer reach only the process where it is read", async () => {
  await using app = await startServer();
  await using caller = await startNode(app.ctx);
  await using reader = await startNode(app.ctx, [7]);
  await using other = await startNode(app.ctx, [8]);
  let offset = 0;
  const say = (text: string) => {
    caller.signals.emit("deltas", [{ task: 7, offset, text }]);
    offset += text.length;
  };
  await until(() => {
    say("on ");
    return reader.deltas.length > 0 || undefined;
  });
  say("and on");
  const last = () => reader.deltas.at(-1);
  await until(() => (last()?.offset ?? 0) + (last()?.text.length ?? 0) === offset || undefined);
  expect(other.deltas).toEqual([]);
  expect(caller.deltas.length).toBeGreaterThan(0);

  reader.followed.clear();
  await until(async () => {
    const { rows } = await app.ctx.client.execute("SELECT task FROM followed");
    return (rows.length === 1 && rows[0]?.["task"] === 8) || undefined;
  });
});

test("a process finds out which of its claims other processes have ended", async () => {
  await using app = await startServer();
  const lost: unknown[] = [];
  const watch = createLostWatch(app.ctx, {
    owner: () => 1,
    known: () => [[5, 2]],
    onLost: (claims) => lost.push(...claims),
  });
  watch.start();
  await watch.look();
  await watch.stop();
  expect(lost).toEqual([{ task: 5, claim: 2 }]);
});

test("uploads of a dead process are removed by any other process", async () => {
  await using app = await startServer();
  await app.ctx.client.execute(
    `INSERT INTO batches (id, name, status, config, draft_owner, created_at, updated_at)
     VALUES ('~left', 'b', 'ingesting', '{}', 999, 1, 4000000000000)`,
  );
  const shared: Context = { ...app.ctx, isExclusive: false };
  expect(await removeLeftDrafts(shared, 30_000)).toBe(false);
  const { rows } = await app.ctx.client.execute("SELECT 1 FROM batches WHERE id = '~left'");
  expect(rows).toEqual([]);
});

test("a draft that a process removed in part before it had joined is removed by another, and never published", async () => {
  await using app = await startServer();
  const { client, writer } = app.ctx;
  const tasks = ["a", "b"].map((id) => ({ id, prompt: "x" }));
  await app.post("/batches", { id: "b", tasks });
  await client.execute(
    `UPDATE batches SET id = '~left', status = 'ingesting', draft_owner = 999, updated_at = 4000000000000
     WHERE id = 'b'`,
  );
  await writer.write(removeFromDraft("~left", 1, 0));

  // The ids are free for a new batch, and the former owner does not own the draft any more.
  const taken = await client.execute(findTaken(["a", "b"]));
  expect(taken.rows.map(({ isLeft }) => isLeft)).toEqual([1]);
  const { rows } = await client.execute("SELECT 1 FROM batches WHERE draft_owner = 999");
  expect(rows).toEqual([]);
  const shared: Context = { ...app.ctx, isExclusive: false };
  expect(await removeLeftDrafts(shared, 30_000)).toBe(false);
  expect((await client.execute("SELECT 1 FROM tasks")).rows).toEqual([]);
});

test("the cancel and the deletion of a batch, which a killed process has begun, are completed by any other", async () => {
  await using app = await startServer({ ROLE: "api" });
  const tasks = [{ prompt: "x" }, { prompt: "y" }];
  for (const id of ["cancelled", "deleted"]) await app.post("/batches", { id, tasks });
  await app.post("/batches/cancelled/execute");
  const { client, writer, clock } = app.ctx;
  const seqOf = async (id: string) => {
    const { rows } = await client.execute({
      sql: "SELECT seq FROM batches WHERE id = ?",
      args: [id],
    });
    return Number(rows[0]?.["seq"]);
  };
  const [cancelled, deleted] = [await seqOf("cancelled"), await seqOf("deleted")];
  const progress = async () => (await app.get("/batches/cancelled")).body.data.progress;
  const rowsLeft = async () =>
    (await client.execute({ sql: "SELECT 1 FROM tasks WHERE batch = ?", args: [deleted] })).rows;
  await writer.write({
    cancelled: cancelBatch({ seq: cancelled }, clock.now()),
    deleted: dropBatch({ id: "deleted", seq: deleted }, "~left", 999),
  });
  expect([await progress(), await rowsLeft()]).toMatchObject([{ pending: 2 }, [{}, {}]]);

  const other: Context = { ...app.ctx, isExclusive: false };
  await Promise.all([sweepAll(other), removeLeftDrafts(other, 30_000)]);
  expect([await progress(), await rowsLeft()]).toMatchObject([{ pending: 0, cancelled: 2 }, []]);
  expect(await app.differences()).toEqual([]);
});

test("the counters of other processes are read often while a client waits here, and less the longer there was no work", async () => {
  await using app = await startServer();
  const pauses: number[] = [];
  let aheadMs = 0;
  const clock: Clock = {
    ...app.ctx.clock,
    monotonic: () => app.ctx.clock.monotonic() + aheadMs,
    setTimeout(work, ms) {
      pauses.push(ms);
      return app.ctx.clock.setTimeout(work, ms);
    },
  };
  const signals = createSignals<Topics>();
  let isWaitedFor = false;
  const elsewhere = createNodeSignals(
    { ...app.ctx, clock, signals, isExclusive: false },
    { node: () => 1, isWaitedFor: () => isWaitedFor, followers: { streamedTasks: () => [] } },
  );
  const untilPausesOf = (ms: number) =>
    until(() => pauses.slice(-2).every((one) => Math.abs(one - ms) <= 5) || undefined);
  elsewhere.start();
  await untilPausesOf(250);
  isWaitedFor = true;
  signals.emit("listening", undefined);
  await untilPausesOf(20);
  isWaitedFor = false;
  await untilPausesOf(250);
  await app.ctx.writer.write({ counted: countChanges(["queued"]) });
  await untilPausesOf(30);
  aheadMs = 100_000;
  await untilPausesOf(100);
  aheadMs = 1_000_000;
  await untilPausesOf(250);
  await elsewhere.stop();
});
