export const BATCH_STATUSES = [
  "pending",
  "running",
  "paused",
  "completed",
  "failed",
  "cancelled",
] as const;
export type BatchStatus = (typeof BATCH_STATUSES)[number];

/** Why a batch is paused: `requested` by a client, or what keeps it from going on. */
export type PauseReason = { code: string; message: string };

export const PRICE_UNKNOWN: PauseReason = {
  code: "price_unknown",
  message:
    "What a call costs is not known, so no cap or budget can be kept. Add the price of its model to PRICES_FILE, or lift the limit.",
};

export const OUTPUT_STATUSES = ["pending", "writing", "written", "failed"] as const;
export type OutputStatus = (typeof OUTPUT_STATUSES)[number];

/** The internal batch of all tasks that belong to no other batch. It is never shown, run or deleted. */
export const SINGLE_TASKS = 0;

/*
 * Tasks are started from lanes. The lane of a batch has the number of the batch. A task that is executed by itself
 * goes to lane 0, unless its batch has a cap or the key that pays for it a budget: then to the lane of those that
 * share both, whose number is negative and made of the two. So the tasks that there is no money for at present are
 * passed over as one, however many they are.
 */

/** There are fewer keys than this. */
export const PAYERS = 2 ** 21;

/** Whether a lane is one of tasks that are executed by themselves. */
export function isSingle(lane: number): boolean {
  return lane <= SINGLE_TASKS;
}

/**
 * The accounts that the tasks of a lane of single tasks are charged to: row numbers of a batch with a cap and of a
 * key with a budget, 0 for none.
 */
export function accountsOf(lane: number): { batch: number; payer: number } {
  return { batch: Math.floor(-lane / PAYERS), payer: -lane % PAYERS };
}

/** The cost of a batch; for a dry run, what it would have cost. */
export function costOf(batch: {
  isDryRun: boolean;
  costUsd: number;
  estimatedUsd: number;
}): number {
  return batch.isDryRun ? batch.estimatedUsd : batch.costUsd;
}

export type Counters = {
  total: number;
  completed: number;
  failed: number;
  cancelled: number;
  running: number;
  /** Completed tasks whose answers were cut off, reused, or repaired. */
  truncated: number;
  cached: number;
  repaired: number;
  /** Cancelled tasks for whose rows `onlyIf` is false. */
  skipped: number;
};

/** Total = completed + failed + cancelled + pending + running, by construction. */
export function progressOf(c: Counters): Counters & { pending: number } {
  return {
    total: c.total,
    completed: c.completed,
    failed: c.failed,
    cancelled: c.cancelled,
    pending: c.total - c.completed - c.failed - c.cancelled - c.running,
    running: c.running,
    truncated: c.truncated,
    cached: c.cached,
    repaired: c.repaired,
    skipped: c.skipped,
  };
}

/** The id of a batch's nth execution; derived like a task's. */
export function batchExecutionId(batchSeq: number, run: number): string {
  return `batch-exec-${String(batchSeq).padStart(6, "0")}-${run}`;
}
