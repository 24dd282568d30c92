import type { Context } from "../context.ts";
import { AppError } from "../errors.ts";
import * as store from "../store/batches.ts";
import { readStock } from "../store/stock.ts";

/** Resolves with true once the batch has ended or is paused; with false after `waitMs` or when `signal` aborts. */
export async function waitForBatch(
  ctx: Context,
  id: string,
  waitMs: number,
  signal: AbortSignal,
): Promise<boolean> {
  const end = ctx.clock.monotonic() + waitMs;
  for (;;) {
    const batch = await getBatch(ctx, id);
    if (!isOpen(batch)) return true;
    // A batch that gets its rows from another one has a new row number then.
    const hasEnded = await ctx.waits.untilBatchEnded(
      batch.seq,
      end - ctx.clock.monotonic(),
      signal,
    );
    if (!hasEnded) return false;
  }
}

/** Whether it is running, or will start when it has its rows. */
function isOpen({ status, chainStatus, payer }: store.Batch): boolean {
  const isToStart = (chainStatus === "waiting" || chainStatus === "made") && payer !== null;
  return status === "running" || (status === "pending" && isToStart);
}

export async function getBatch(ctx: Context, id: string): Promise<store.Batch> {
  const batch = await store.findBatch(ctx.db, id);
  if (!batch) throw new AppError("BATCH_NOT_FOUND", `There is no batch with id ${id}`);
  return batch;
}

/** One page of batches and how many match in all. */
export async function listBatches(ctx: Context, filter: store.BatchFilter, page: store.BatchPage) {
  return {
    batches: await store.listBatches(ctx.reads.db, filter, page),
    total:
      filter.status === undefined && filter.name === undefined
        ? (await readStock(ctx)).batches
        : await store.countBatches(ctx.reads.db, filter),
  };
}

/** One page of a batch's tasks in input order. */
export function listBatchTasks(ctx: Context, batch: store.Batch, page: store.BatchTaskPage) {
  return store.listBatchTasks(ctx.reads.db, batch.seq, page);
}
