import type { Context } from "../context.ts";
import { batchIdOfRun } from "../domain/schedule.ts";
import { findBatch } from "../store/batches.ts";
import { deleteBatch } from "./batch-moves.ts";

/**
 * Removes the batch of a run that does not begin any more, unless it was started. A process may have died after it
 * made the batch.
 */
export async function discardBatchOf(ctx: Context, run: string): Promise<void> {
  const batch = await findBatch(ctx.db, batchIdOfRun(run));
  if (batch?.status === "pending") await deleteBatch(ctx, batch.id, false);
}
