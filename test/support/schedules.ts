// Gives zod its `openapi` method before the source below makes schemas.
import "@hono/zod-openapi";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

import { createEngine } from "../../src/engine/engine.ts";
import { createMembership } from "../../src/engine/recovery.ts";
import type { Clock } from "../../src/lib/clock.ts";
import { startRun } from "../../src/scheduler/runs.ts";
import { createScheduler, type Scheduler } from "../../src/scheduler/scheduler.ts";
import { startProvider } from "./provider.ts";
import { type Json, startServer, until } from "./server.ts";

export type ScheduleServer = Awaited<ReturnType<typeof startAt>>;

/**
 * A server whose clock the test sets, and a scheduler whose timers fire when the test calls `at`. The engine is real, so
 * that runs end. Without `env`, a provider answers at once.
 */
export async function startAt(time: string, env?: Record<string, string>) {
  const provider = env ? undefined : await startProvider();
  const app = await startServer({ ...(env ?? provider?.env), ROLE: "api" });
  const clock = { now: Date.parse(time) };
  app.ctx.clock.now = () => clock.now;
  app.ctx.clock.steady = () => clock.now;
  const timers = new Set<{ ms: number }>();
  const setTimer: Clock["setTimeout"] = (_callback, ms) => {
    const timer = { ms };
    timers.add(timer);
    return () => timers.delete(timer);
  };
  const membership = createMembership(app.ctx);
  await membership.start();
  const engine = createEngine(app.ctx, membership);
  await engine.start();
  let scheduler: Scheduler | undefined;
  async function startScheduler() {
    scheduler = createScheduler(app.ctx, { node: membership.node, setTimer });
    await scheduler.start();
  }
  await startScheduler();
  writeFileSync(join(app.filesDir, "in.csv"), "prompt\nhello\nworld\n");
  return {
    ...app,
    clock,
    timers,
    /** Writes a file into the files folder. */
    file(name: string, text: string) {
      mkdirSync(dirname(join(app.filesDir, name)), { recursive: true });
      writeFileSync(join(app.filesDir, name), text);
    },
    /** Sets the clock, and lets the scheduler start what is due. */
    async at(time: string | number) {
      clock.now = typeof time === "number" ? time : Date.parse(time);
      await scheduler?.look();
    },
    /** Stops the scheduler, as if the program were down. */
    async stopScheduler() {
      await scheduler?.stop(0);
      scheduler = undefined;
      timers.clear();
    },
    startScheduler,
    /** Claims a run for a node, and starts it. */
    async begin(runId: string, node = 999) {
      const sql = "UPDATE schedule_runs SET owner = ? WHERE id = ? AND status = 'pending'";
      await app.ctx.client.execute({ sql, args: [node, runId] });
      await startRun(app.ctx, runId, node);
    },
    nudge: () => scheduler?.look(),
    async create(fields: Record<string, unknown>): Promise<string> {
      const { body } = await app.post("/scheduled-tasks", {
        name: "s",
        inputFile: "in.csv",
        ...fields,
      });
      if (!body.success) throw new Error(JSON.stringify(body.error));
      return body.data.id;
    },
    /** The runs of a schedule, the earliest first. */
    async runs(id: string): Promise<Json[]> {
      const { body } = await app.get(`/scheduled-tasks/${id}/runs?limit=100`);
      return body.data.runs.toReversed();
    },
    /** The runs of a schedule, when all of them have ended. */
    async ended(id: string): Promise<Json[]> {
      return until(async () => {
        await scheduler?.look();
        const runs = await this.runs(id);
        const isOpen = ({ status }: Json) => /pending|queued|running/.test(status);
        return runs.some(isOpen) ? undefined : runs;
      });
    },
    /** The runs of a schedule, when its last run has this status. */
    async last(id: string, status: string): Promise<Json> {
      return until(async () => {
        await scheduler?.look();
        const run = (await this.runs(id)).at(-1);
        return run?.status === status ? run : undefined;
      });
    },
    async events(type: string): Promise<Json[]> {
      const { rows } = await app.ctx.client.execute({
        sql: "SELECT data FROM events WHERE type = ? ORDER BY id",
        args: [type],
      });
      return rows.map((row) => JSON.parse(String(row["data"])));
    },
    async [Symbol.asyncDispose]() {
      await scheduler?.stop(1000);
      await engine.stop(0);
      await membership.stop();
      await app[Symbol.asyncDispose]();
      await provider?.[Symbol.asyncDispose]();
    },
  };
}

/** The time, cause and status of each run: what most tests compare. */
export function outcomes(runs: Json[]): string[] {
  return runs.map(
    ({ scheduledAt, cause, status }) => `${scheduledAt.slice(11, 19)} ${cause} ${status}`,
  );
}
