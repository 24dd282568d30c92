import type { Context } from "../context.ts";
import { batchIdOfRun } from "../domain/schedule.ts";
import { findBatch } from "../store/batches.ts";
import { dropBatch } from "./batch-moves.ts";

/**
 * Removes the batch of a run that does not begin any more, unless it was started. A process may have died after it
 * made the batch, and another one may start it until the commit that removes it.
 */
export async function discardBatchOf(ctx: Context, run: string): Promise<void> {
  const batch = await findBatch(ctx.db, batchIdOfRun(run));
  if (batch) await dropBatch(ctx, batch, { where: "status = 'pending'", args: [] });
}
