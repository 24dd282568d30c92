/*
 * A batch whose rows are those of another batch, with the answers as variables:
 *
 *   waiting  the other has not ended, or its rows are being read. The batch is pending and has no tasks. To
 *            execute it is to have it started in the commit that makes its tasks. Left for `made` and
 *            `failed`; one that is cancelled or deleted meanwhile waits no more.
 *   checking the same of a batch whose rows come from a file that is read, and checked, after it was created, as
 *            OpenAI's Batch API has it. Versions without this status leave such a batch alone.
 *   made     its tasks are there: a batch like others.
 *   failed   its rows cannot be made; it has ended, and has no tasks.
 */
export const CHAIN_STATUSES = ["waiting", "checking", "made", "failed"] as const;
export type ChainStatus = (typeof CHAIN_STATUSES)[number];

/** Why its rows cannot be made. */
export type ChainError = { code: string; message: string; details?: object };

type Chained = { status: string; chainStatus: ChainStatus | null; inputBatch: string | null };

/** Whether a batch has no rows yet, because the batch it follows has not ended or its file is still being read. */
export function isWaitingBatch({ status, chainStatus }: Omit<Chained, "inputBatch">): boolean {
  return status === "pending" && (chainStatus === "waiting" || chainStatus === "checking");
}

/** What a batch without rows waits for, for messages. */
export function awaited({ inputBatch }: Pick<Chained, "inputBatch">): string {
  return inputBatch === null ? "its input file was checked" : `batch ${inputBatch} has ended`;
}

/** Whether a batch has ended and was not a dry run. */
export function hasEndedForReal(batch: { completedAt: number | null; isDryRun: boolean }): boolean {
  return batch.completedAt !== null && !batch.isDryRun;
}
