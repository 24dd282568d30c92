/*
 * A batch whose rows are those of another batch, with the answers as variables:
 *
 *   waiting  the other has not ended, or its rows are being read. The batch is pending and has no tasks. To
 *            execute it is to have it started in the commit that makes its tasks. Left for `made` and
 *            `failed`; one that is cancelled or deleted meanwhile waits no more.
 *   made     its tasks are there: a batch like others.
 *   failed   its rows cannot be made; it has ended, and has no tasks.
 */
export const CHAIN_STATUSES = ["waiting", "made", "failed"] as const;
export type ChainStatus = (typeof CHAIN_STATUSES)[number];

/** Why its rows cannot be made. */
export type ChainError = { code: string; message: string; details?: object };

/** Whether a batch has no rows yet, because another one has not ended. */
export function isWaitingBatch(batch: {
  status: string;
  chainStatus: ChainStatus | null;
}): boolean {
  return batch.status === "pending" && batch.chainStatus === "waiting";
}

/** Whether a batch has ended with answers of real calls or none, and not with those of a dry run. */
export function hasEndedForReal(batch: { completedAt: number | null; isDryRun: boolean }): boolean {
  return batch.completedAt !== null && !batch.isDryRun;
}
