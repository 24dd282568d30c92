import { expect, test } from "bun:test";

import fc from "fast-check";

import { TASK_MOVES, type TaskStatus } from "../../src/domain/task.ts";
import { fail, startProvider } from "../support/provider.ts";
import { startServer, type TestServer, until } from "../support/server.ts";

const task = fc.integer({ min: 0, max: 4 }).map((i) => `t${i}`);
const batch = fc.integer({ min: 0, max: 1 }).map((i) => `b${i}`);

type Step = (app: TestServer) => Promise<{ status: number }>;

/** Every action of a client on a few tasks and batches, sensible or not. */
const step: fc.Arbitrary<[string, Step]> = fc.oneof(
  fc
    .tuple(task, fc.option(batch, { nil: undefined }), fc.boolean(), fc.boolean())
    .map(([id, batchId, execute, cache]): [string, Step] => [
      `create ${id} ${batchId} ${execute} ${cache}`,
      (app) =>
        app.post(`/tasks?execute=${execute}`, {
          id,
          prompt: cache ? "same" : id,
          cache,
          ...(batchId ? { batchId } : {}),
        }),
    ]),
  task.map((id): [string, Step] => [`execute ${id}`, (app) => app.post(`/tasks/${id}/execute`)]),
  task.map((id): [string, Step] => [`cancel ${id}`, (app) => app.post(`/tasks/${id}/cancel`)]),
  fc
    .tuple(task, fc.boolean())
    .map(([id, force]): [string, Step] => [
      `delete ${id} ${force}`,
      (app) => app.del(`/tasks/${id}?force=${force}`),
    ]),
  fc
    .tuple(task, fc.integer({ min: 0, max: 3 }))
    .map(([id, n]): [string, Step] => [
      `patch ${id} ${n}`,
      (app) =>
        app.patch(`/tasks/${id}`, { prompt: `${id}-${n}`, priority: n > 1 ? "high" : "low" }),
    ]),
  fc
    .tuple(batch, fc.integer({ min: 1, max: 3 }), fc.boolean())
    .map(([id, size, cache]): [string, Step] => [
      `batch ${id} ${size} ${cache}`,
      (app) =>
        app.post("/batches", {
          id,
          tasks: Array.from({ length: size }, (_, i) => ({
            id: `${id}-${i}`,
            prompt: cache ? "same" : `${id}-${i}`,
          })),
          config: { cache },
        }),
    ]),
  batch.map((id): [string, Step] => [`run ${id}`, (app) => app.post(`/batches/${id}/execute`)]),
  fc
    .tuple(batch, fc.constantFrom("pause", "resume", "cancel", "retry"))
    .map(([id, action]): [string, Step] => [
      `${action} ${id}`,
      (app) => app.post(`/batches/${id}/${action}`),
    ]),
  fc
    .tuple(batch, fc.boolean())
    .map(([id, force]): [string, Step] => [
      `delete ${id} ${force}`,
      (app) => app.del(`/batches/${id}?force=${force}`),
    ]),
  fc
    .tuple(batch, fc.integer({ min: 0, max: 2 }))
    .map(([id, i]): [string, Step] => [
      `cancel ${id}-${i}`,
      (app) => app.post(`/tasks/${id}-${i}/cancel`),
    ]),
);

/** Steps of one round are sent at the same time, so that they race. */
const rounds = fc.array(fc.array(step, { minLength: 1, maxLength: 6 }), {
  minLength: 1,
  maxLength: 8,
});

test("under any concurrent actions of clients, counters equal rows and moves follow the table", async () => {
  let luck = 0;
  await using provider = await startProvider(async (_request, response) => {
    luck = (luck * 1_103_515_245 + 12_345) % 2 ** 31;
    await Bun.sleep(luck % 4);
    const outcome = luck % 10;
    if (outcome < 6) return undefined;
    return fail(response, outcome < 8 ? 503 : 400);
  });
  await fc.assert(
    fc.asyncProperty(rounds, async (plan) => {
      await using app = await startServer({ ...provider.env, MAX_RETRIES: "1" });
      for (const round of plan) {
        const answers = await Promise.all(round.map(([, run]) => run(app)));
        for (const [i, { status }] of answers.entries())
          if (![200, 201, 404, 409].includes(status) && !isEmptyBatch(round[i]?.[0], status))
            throw new Error(`${round[i]?.[0]} answered ${status}`);
        expect(await app.differences()).toEqual([]);
      }
      for (const id of ["b0", "b1"]) await app.post(`/batches/${id}/resume`);
      await until(() => isQuiet(app));
      expect(await app.differences()).toEqual([]);
      await expectAllowedMoves(app);
      await expectFinishedBatches(app);
    }),
    { numRuns: 120, interruptAfterTimeLimit: 15_000 },
  );
}, 60_000);

/** A batch all of whose tasks were deleted cannot be run. */
function isEmptyBatch(what: string | undefined, status: number): boolean {
  return status === 400 && what !== undefined && what.startsWith("run ");
}

/** Nothing is queued, and no running batch has tasks that are still to be queued. */
async function isQuiet(app: TestServer): Promise<true | undefined> {
  const { rows } = await app.ctx.client.execute(
    `SELECT (SELECT count(*) FROM queue) +
            (SELECT count(*) FROM tasks t JOIN batches b ON b.seq = t.batch
             WHERE b.seq > 0 AND t.status = 'pending'
               AND (b.status = 'running' OR b.status = 'cancelled' AND b.completed_at IS NULL)) AS n`,
  );
  return rows[0]?.["n"] === 0 || undefined;
}

/** Follows each execution through the log: it starts once and ends once, and nothing follows its end. */
async function expectAllowedMoves(app: TestServer): Promise<void> {
  const { rows } = await app.ctx.client.execute(
    "SELECT task_seq, run, type FROM events WHERE task_seq IS NOT NULL AND run IS NOT NULL ORDER BY id",
  );
  const statuses = new Map<string, TaskStatus>();
  for (const row of rows) {
    const key = `${row["task_seq"]}/${row["run"]}`;
    const reported = String(row["type"]).slice("task.".length);
    const next = (reported === "started" ? "running" : reported) as TaskStatus;
    const before = statuses.get(key) ?? "pending";
    const allowed: readonly TaskStatus[] = TASK_MOVES[before];
    // A retry goes from running back to pending without an event; its end still follows a start.
    if (!allowed.includes(next) || before === "completed" || before === "failed")
      throw new Error(`execution ${key} went from ${before} to ${next}`);
    statuses.set(key, next);
  }
  // A task may be deleted while it waits for its next attempt; nothing tells of its run any more.
  const kept = await app.ctx.client.execute("SELECT seq FROM tasks");
  const exists = new Set(kept.rows.map((row) => String(row["seq"])));
  const open = [...statuses].filter(([, status]) => status === "running").map(([key]) => key);
  expect(open.filter((key) => exists.has(key.split("/")[0] ?? ""))).toEqual([]);
}

/** When no work is left, no batch may still be running. */
async function expectFinishedBatches(app: TestServer): Promise<void> {
  const { body } = await app.get("/batches");
  for (const { id, status, progress } of body.data.batches) {
    if (status === "running")
      throw new Error(`${id} is still running: ${JSON.stringify(progress)}`);
    const { total, completed, failed, cancelled, pending, running } = progress;
    expect(total).toBe(completed + failed + cancelled + pending + running);
  }
}
