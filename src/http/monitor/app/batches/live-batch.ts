import type { Batch, BatchSummary, LiveBatch } from "../api/wire.ts";

/** A batch as the API answers it, in the shape that the live stream has. */
export function toLiveBatch(batch: BatchSummary | Batch): LiveBatch {
  const { total, completed, failed, cancelled, pending, running } = batch.progress;
  const isWaiting = batch.status === "pending" && batch.chain?.status === "waiting";
  const estimate = "estimatedCompletionAt" in batch ? batch.estimatedCompletionAt : null;
  return {
    name: batch.name,
    status: batch.status,
    progress: { total, completed, failed, cancelled, pending, running },
    isDryRun: batch.isDryRun,
    perMinute: 0,
    createdAt: batch.createdAt,
    ...(batch.costUsd === null ? {} : { costUsd: batch.costUsd }),
    ...(batch.startedAt ? { startedAt: batch.startedAt } : {}),
    ...(batch.completedAt ? { completedAt: batch.completedAt } : {}),
    ...(estimate ? { estimatedCompletionAt: estimate } : {}),
    ...(batch.inputBatch ? { inputBatch: batch.inputBatch } : {}),
    ...(batch.pauseReason ? { pauseReason: batch.pauseReason } : {}),
    ...(batch.chain?.error ? { chainError: batch.chain.error.message } : {}),
    ...(isWaiting ? { startsWithItsRows: batch.chain?.isToStart === true } : {}),
  };
}
