import { getLogger } from "@logtape/logtape";

import type { Context } from "../context.ts";
import {
  cancelChunk,
  findUnswept,
  reviveChunk,
  RUNS,
  TOLD,
  UNSWEPT,
} from "../store/batch-moves.ts";
import type { CancelledRun } from "../store/queue.ts";
import { rowsOf } from "../store/rows.ts";
import { tellCancelled } from "./tell-cancelled.ts";

/** Tasks moved in one commit: some ten milliseconds of the event loop. */
const CHUNK = 1000;

/**
 * Cancels what is left of a cancelled batch, or makes the tasks of one that runs again pending, a
 * chunk to a commit and other work between them. May be done by several at once, and again by the
 * next process after a crash.
 */
export async function sweepBatch(ctx: Context, seq: number): Promise<void> {
  for (;;) {
    const [todo] = rowsOf<{ isCancelled: number }>(await ctx.client.execute(findUnswept(seq)));
    if (!todo) break;
    if (todo.isCancelled) await cancelSome(ctx, seq);
    else await ctx.writer.write(reviveChunk(seq, CHUNK, ctx.clock.now()));
    ctx.signals.emit("events", undefined);
  }
  ctx.signals.emit("batch", undefined);
}

async function cancelSome(ctx: Context, seq: number): Promise<void> {
  const now = ctx.clock.now();
  const results = await ctx.writer.write(cancelChunk(seq, CHUNK, now));
  const runs = rowsOf<CancelledRun>(results[RUNS]);
  const tasks = runs.filter((run) => run.isRunning).map((run) => run.task);
  const told = results[TOLD]?.rowsAffected ?? 0;
  ctx.meters.add("tasks_total", 'status="cancelled"', told);
  tellCancelled(ctx, runs, now);
  if (tasks.length === 0) return;
  ctx.signals.emit("abandoned", { tasks });
  ctx.signals.emit("settled", { tasks });
}

/** Does what an earlier process left undone; what fails is logged. */
export async function sweepAll(ctx: Context): Promise<void> {
  for (const { seq } of rowsOf<{ seq: number }>(await ctx.client.execute(UNSWEPT)))
    await sweepInBackground(ctx, seq);
}

/** As `sweepBatch`, for nobody to wait for: what fails is logged, and done at the next start. */
export async function sweepInBackground(ctx: Context, seq: number): Promise<void> {
  try {
    await sweepBatch(ctx, seq);
  } catch (error) {
    getLogger(["gptrunner", "batches"]).error(
      "Tasks of a batch could not be cancelled or made pending: {error}",
      { error },
    );
  }
}
