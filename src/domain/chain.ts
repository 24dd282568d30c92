/*
 * A batch whose rows are those of another batch, with the answers as variables:
 *
 *   waiting  the other has not ended, or its rows are being made. It is pending and has no tasks.
 *   made     its tasks are there; it is to be started.
 *   started  it has been started, by itself or by somebody else, or was cancelled before: a batch like others.
 *   failed   its rows cannot be made; it has ended, and has no tasks.
 */
export const CHAIN_STATUSES = ["waiting", "made", "started", "failed"] as const;
export type ChainStatus = (typeof CHAIN_STATUSES)[number];

/** Why its rows cannot be made. */
export type ChainError = { code: string; message: string; details?: object };
