import { getLogger } from "@logtape/logtape";

import type { Context } from "../context.ts";
import { cancelChunk, findUnswept, reviveChunk, UNSWEPT } from "../store/batch-sweeps.ts";
import { readRows } from "../store/rows.ts";
import { announceCancelled } from "./announce-cancelled.ts";

/**
 * Cancels the remaining tasks of a cancelled batch, or makes the tasks of a restarted batch pending, one chunk per
 * commit, with other work in between. Several processes may do it at once, and it may be repeated after a crash.
 */
export async function sweepBatch(ctx: Context, seq: number): Promise<void> {
  for (;;) {
    const [todo] = await readRows(ctx.client, findUnswept(seq));
    if (!todo) break;
    if (todo.isCancelled) await cancelSome(ctx, seq);
    else await ctx.writer.write(reviveChunk(seq, ctx.chunks.sweep, ctx.clock.now()));
    ctx.signals.emit("events", undefined);
  }
  ctx.signals.emit("batch", undefined);
}

async function cancelSome(ctx: Context, seq: number): Promise<void> {
  const now = ctx.clock.now();
  const { runs, events } = await ctx.writer.write(cancelChunk(seq, ctx.chunks.sweep, now));
  const tasks = runs.rows.filter((run) => run.isRunning).map((run) => run.task);
  ctx.meters.add("tasks_total", 'status="cancelled"', events.changed);
  announceCancelled(ctx, runs.rows, now);
  if (tasks.length === 0) return;
  ctx.signals.emit("abandoned", { tasks });
  ctx.signals.emit("settled", { tasks });
}

/** Finishes the sweeps that another process, or this one after a failure, has left undone. */
export async function sweepAll(ctx: Context): Promise<void> {
  for (const { seq } of await readRows(ctx.client, UNSWEPT)) await sweepBatch(ctx, seq);
}

/**
 * Like `sweepBatch`, but not awaited by a caller: failures are logged, and `sweepAll`, which every process runs
 * regularly, repeats the work.
 */
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
