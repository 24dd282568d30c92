import { expect, test } from "bun:test";

import type { Context, Topics } from "../../src/context.ts";
import type { Unit } from "../../src/db/unit.ts";
import { createEngine } from "../../src/engine/engine.ts";
import { createMembership } from "../../src/engine/recovery.ts";
import { createSignals } from "../../src/lib/signals.ts";
import { ensureKeys } from "../../src/services/first-keys.ts";
import { revokeForsakenKeys } from "../../src/store/api-keys.ts";
import { isSettled, settleLive } from "../../src/store/live-calls.ts";
import { forgetNode, forgetSilentNodes } from "../../src/store/nodes.ts";
import { hang, startProvider } from "../support/provider.ts";
import { client, startServer, type TestServer, until } from "../support/server.ts";

const SECRET = "key-of-another-process";
const LEASE_MS = 60;

/** Another process of a fleet, with a key of its own, on the database of a server in this process. */
function givenProcess(app: TestServer) {
  const signals = createSignals<Topics>();
  const state = { losesAnswers: false, lost: 0, monotonicMs: 0, wayMs: 0, late: 0, databaseMs: 0 };
  let beforeBeat: (() => Promise<unknown>) | undefined;
  signals.on("lost", () => state.lost++);
  const writer: Context["writer"] = {
    ...app.ctx.writer,
    async write(unit, options) {
      const act = "heard" in unit ? beforeBeat : undefined;
      if (act) beforeBeat = undefined;
      await act?.();
      const results = await app.ctx.writer.write(unit, options);
      const { heard } = results as { heard?: { rows: { now: number }[] } };
      for (const row of heard?.rows ?? []) row.now = state.monotonicMs + state.databaseMs;
      state.monotonicMs += state.wayMs;
      if (state.wayMs > 0) state.late++;
      if (state.losesAnswers) throw new Error("the answer was lost");
      return results;
    },
  };
  const ctx: Context = {
    ...app.ctx,
    signals,
    writer,
    isExclusive: false,
    clock: { ...app.ctx.clock, monotonic: () => state.monotonicMs, now: () => 0 },
    live: { ...app.ctx.live },
    config: { ...app.ctx.config, apiKeys: [SECRET], leaseMs: LEASE_MS },
  };
  return {
    ctx,
    state,
    membership: createMembership(ctx),
    beforeBeat: (act: () => Promise<unknown>) => (beforeBeat = act),
  };
}

/** What the heartbeat of a node does with keys that no living node has. */
const revokeForsaken = ({ ctx }: TestServer) =>
  ctx.writer.write({ forsaken: revokeForsakenKeys([], ctx.clock.now()) });

const statusFor = async ({ url }: TestServer) => (await client(url, SECRET).get("/models")).status;

test("a key is valid although another node revoked it before the process that has it had joined", async () => {
  await using app = await startServer();
  const { ctx, membership } = givenProcess(app);
  await ensureKeys(ctx);
  await revokeForsaken(app);
  expect(await statusFor(app)).toBe(401);
  await membership.start();
  await revokeForsaken(app);
  expect(await statusFor(app)).toBe(200);
  await membership.stop();
});

test("a process that was declared dead has its keys again, although the answer to its heartbeat was lost", async () => {
  await using app = await startServer();
  const { state, membership } = givenProcess(app);
  await membership.start();
  expect(state.lost).toBe(0);
  state.losesAnswers = true;
  const { writer, client: database, clock } = app.ctx;
  await writer.write({
    forgotten: forgetNode(membership.node()),
    forsaken: revokeForsakenKeys([], clock.now()),
  });
  const row = { sql: "SELECT 1 FROM nodes WHERE seq = ?", args: [membership.node()] };
  await until(async () => (await database.execute(row)).rows.length > 0 || undefined);
  state.losesAnswers = false;
  await until(() => state.lost > 0 || undefined);
  await until(async () => (await statusFor(app)) === 200 || undefined);
  await membership.stop();
});

test("a process judges its own lease by its monotonic clock, from the sending of the last heartbeat that was acknowledged", async () => {
  await using app = await startServer();
  const { state, membership } = givenProcess(app);
  await membership.start();
  expect(membership.isAlive()).toBe(true);
  state.losesAnswers = true;
  state.monotonicMs += LEASE_MS - 1;
  expect(membership.isAlive()).toBe(true);
  state.monotonicMs += 1;
  expect(membership.isAlive()).toBe(false);

  state.losesAnswers = false;
  await until(() => membership.isAlive() || undefined);
  // An answer that comes late does not make the lease longer.
  state.wayMs = LEASE_MS;
  await until(() => state.late > 0 || undefined);
  await until(() => {
    expect(membership.isAlive()).toBe(false);
    return state.late > 3 || undefined;
  });
  state.wayMs = 0;
  await membership.stop();
});

test("a process declares no other dead while its own heartbeats may arrive with gaps, however regularly it sends them", async () => {
  await using app = await startServer();
  const { state, membership } = givenProcess(app);
  const { client: database } = app.ctx;
  await database.execute(
    `INSERT INTO nodes (seq, started_at, heartbeat_at, lease_ms) VALUES (99, 0, 0, ${LEASE_MS})`,
  );
  const silent = async () =>
    (await database.execute("SELECT 1 FROM nodes WHERE seq = 99")).rows.length;
  await membership.start();
  // Less than the longest gap of two thirds of a lease; but two heartbeats may arrive almost twice as far apart.
  state.wayMs = LEASE_MS / 2;
  await until(() => state.late > 6 || undefined);
  expect(await silent()).toBe(1);
  // Healthy again, it judges once it has been heard for a lease.
  state.wayMs = LEASE_MS / 6;
  await until(async () => (await silent()) === 0 || undefined);
  await membership.stop();
});

test("a process declares no other dead when the database's clock has jumped forward", async () => {
  await using app = await startServer();
  const { state, membership, beforeBeat } = givenProcess(app);
  const { client: database } = app.ctx;
  const alive = "SELECT 1 FROM nodes WHERE seq = 99";
  const isThere = async () => (await database.execute(alive)).rows.length === 1;
  await membership.start();
  state.wayMs = LEASE_MS / 6;
  await until(() => state.late > 12 || undefined);
  let wasThere: boolean | undefined;
  // As if another node, which is alive, had been silent for as long as the clock jumped.
  beforeBeat(async () => {
    state.databaseMs = 10 * LEASE_MS;
    await database.execute(
      `INSERT INTO nodes (seq, started_at, heartbeat_at, lease_ms) VALUES (99, 0, 0, ${LEASE_MS})`,
    );
    beforeBeat(async () => (wasThere = await isThere()));
  });
  await until(() => wasThere !== undefined || undefined);
  expect(wasThere).toBe(true);
  // It has written nothing for a lease since then.
  await until(async () => !(await isThere()) || undefined);
  await membership.stop();
});

test("a jump of the database's clock after the last heartbeat makes no other process seem silent", async () => {
  await using app = await startServer();
  const { client: database, writer } = app.ctx;
  // All of them are long past.
  const heartbeats = { 101: 1000, 102: 1000 - LEASE_MS, 103: 1000 - LEASE_MS - 1 };
  for (const [seq, at] of Object.entries(heartbeats))
    await database.execute({
      sql: `INSERT INTO nodes (seq, started_at, heartbeat_at, lease_ms) VALUES (?, 0, ?, ${LEASE_MS})`,
      args: [Number(seq), at],
    });
  const own = { leaseMs: LEASE_MS, heardForMs: LEASE_MS };
  await writer.write({ forgotten: forgetSilentNodes(101, own) });
  const { rows } = await database.execute("SELECT seq FROM nodes WHERE seq > 100 ORDER BY seq");
  expect(rows.map(({ seq }) => seq)).toEqual([101, 102]);
});

test("a process that was declared dead knows that what it had before is not its own any more", async () => {
  await using app = await startServer();
  const { state, membership } = givenProcess(app);
  await membership.start();
  const [before, back] = [LEASE_MS / 6, LEASE_MS / 3];
  state.monotonicMs = back;
  expect(membership.isAlive(before)).toBe(true);
  await app.ctx.writer.write({ forgotten: forgetNode(membership.node()) });
  await until(() => state.lost > 0 || undefined);
  expect([membership.isAlive(), membership.isAlive(before)]).toEqual([true, false]);
  expect(membership.isAlive(back)).toBe(true);
  await membership.stop();
});

test("a settlement of live calls that reaches the database after its process has stopped is not stored again", async () => {
  await using app = await startServer();
  const { ctx, membership } = givenProcess(app);
  await membership.start();
  const which = { node: membership.node(), number: 1 };
  const settle = () =>
    ctx.writer
      .write(settleLive([], { reservations: [], budgeted: [] }, which, 0))
      .then(() => "stored", isSettled);
  expect(await settle()).toBe("stored");
  await membership.stop();
  expect(await settle()).toBe(true);
});

test("a process whose lease lapsed before it began what it had claimed gives it back, and calls nobody", async () => {
  await using provider = await startProvider();
  await using app = await startServer({ ...provider.env, ROLE: "api" });
  const state = { isAlive: true, isToLapse: false };
  const writer: Context["writer"] = {
    ...app.ctx.writer,
    async write(unit, options) {
      const results = await app.ctx.writer.write(unit, options);
      // As if the process had stood still since it sent the claim.
      if (state.isToLapse && "claim" in unit && unit["claim"]) state.isAlive = false;
      return results;
    },
  };
  const { start, stop } = givenProcess(app).membership;
  const node = () => 7;
  const engine = createEngine(
    { ...app.ctx, writer },
    { node, isAlive: () => state.isAlive, start, stop },
  );
  await engine.start();
  await app.post("/tasks?execute=true", { id: "before", prompt: "x" });
  await app.ended("before");
  state.isToLapse = true;
  await app.post("/tasks?execute=true", { id: "t", prompt: "y" });
  await until(() => !state.isAlive || undefined);
  // Time enough for a call.
  await Bun.sleep(50);
  expect([provider.counts.get("y"), engine.state().inFlight]).toEqual([undefined, 0]);

  state.isToLapse = false;
  state.isAlive = true;
  engine.nudge();
  expect(await app.ended("t")).toMatchObject({ status: "completed", attempts: 1 });
  expect(provider.counts.get("y")).toBe(1);
  await engine.stop(0);
});

test("the call of a task that was cancelled before its process knew of the claim is ended", async () => {
  await using provider = await startProvider(hang);
  await using app = await startServer({ ...provider.env, ROLE: "api" });
  let isCancelled = false;
  const writer: Context["writer"] = {
    ...app.ctx.writer,
    async write(unit, options) {
      const results = await app.ctx.writer.write(unit, options);
      if ("claim" in unit && unit["claim"])
        isCancelled = (await app.post("/tasks/t/cancel")).status === 200;
      return results;
    },
  };
  const { start, stop } = givenProcess(app).membership;
  const engine = createEngine(
    { ...app.ctx, writer },
    { node: () => 7, isAlive: () => true, start, stop },
  );
  await engine.start();
  await app.post("/tasks?execute=true", { id: "t", prompt: "x" });
  await until(() => isCancelled || undefined);
  await until(() => engine.state().remembered + provider.state.open === 0 || undefined);
  await engine.stop(0);
});

test("a claim that takes effect long after its answer was given up is found, and its tasks are called", async () => {
  await using provider = await startProvider();
  await using app = await startServer({ ...provider.env, ROLE: "api" });
  const state = { isAlive: true, aheadMs: 0 };
  const late: Unit[] = [];
  const writer: Context["writer"] = {
    ...app.ctx.writer,
    async write(unit, options) {
      if (late.length > 0 || !("claim" in unit && unit["claim"]))
        return app.ctx.writer.write(unit, options);
      late.push({ claim: unit["claim"] });
      throw new Error("no answer");
    },
  };
  const clock = { ...app.ctx.clock, monotonic: () => app.ctx.clock.monotonic() + state.aheadMs };
  const { start, stop } = givenProcess(app).membership;
  const engine = createEngine(
    { ...app.ctx, writer, clock, isExclusive: false },
    { node: () => 7, isAlive: () => state.isAlive, start, stop },
  );
  await engine.start();
  await app.post("/tasks?execute=true", { id: "t", prompt: "x" });
  await app.ended("t");

  // It claims what has come since then.
  state.isAlive = false;
  await app.post("/tasks?execute=true", { id: "later", prompt: "y" });
  for (const unit of late) await app.ctx.writer.write(unit);
  const { rows } = await app.ctx.client.execute("SELECT owner FROM queue");
  expect(rows.map(({ owner }) => owner)).toEqual([7]);
  state.isAlive = true;
  state.aheadMs = 10_000;
  engine.nudge();
  expect(await app.ended("later")).toMatchObject({ status: "completed", attempts: 1 });
  await engine.stop(0);
});
