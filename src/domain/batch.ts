/** `ingesting` is a batch whose rows are still being written; no answer ever shows it. */
export const BATCH_STATUSES = [
  "pending",
  "running",
  "paused",
  "completed",
  "failed",
  "cancelled",
] as const;
export type BatchStatus = (typeof BATCH_STATUSES)[number];

export const BATCH_MOVES = {
  pending: ["running", "cancelled"],
  running: ["paused", "completed", "failed", "cancelled"],
  paused: ["running", "cancelled", "completed", "failed"],
  completed: ["running"],
  failed: ["running"],
  cancelled: ["running"],
} as const satisfies Record<BatchStatus, readonly BatchStatus[]>;

/** Why a batch is paused: `requested` by a client, or what keeps it from going on. */
export type PauseReason = { code: string; message: string };

export const OUTPUT_STATUSES = ["pending", "writing", "written", "failed"] as const;
export type OutputStatus = (typeof OUTPUT_STATUSES)[number];

/** The batch that every task without one belongs to. It is never shown, run or deleted. */
export const SINGLE_TASKS = 0;

export type Counters = {
  total: number;
  completed: number;
  failed: number;
  cancelled: number;
  running: number;
  /** Of the completed ones, those whose answers were cut off. */
  truncated: number;
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
  };
}

/** The id of a batch's nth execution; derived like a task's. */
export function batchExecutionId(batchSeq: number, run: number): string {
  return `batch-exec-${String(batchSeq).padStart(6, "0")}-${run}`;
}
