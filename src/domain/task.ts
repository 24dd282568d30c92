export const TASK_STATUSES = ["pending", "running", "completed", "failed", "cancelled"] as const;
export type TaskStatus = (typeof TASK_STATUSES)[number];

/**
 * All moves that a task may make. The statements in `store/` have guards of their own, which `state-machine.test.ts`
 * checks against this table.
 */
export const TASK_MOVES = {
  pending: ["running", "cancelled"],
  running: ["completed", "failed", "pending", "cancelled"],
  completed: ["pending"],
  failed: ["pending"],
  cancelled: ["pending"],
} as const satisfies Record<TaskStatus, readonly TaskStatus[]>;

export type FinalStatus = "completed" | "failed" | "cancelled";
/** Running is not stored with a task: it is what a claimed row in the queue says. */
export type StoredStatus = Exclude<TaskStatus, "running">;

export function isFinal(status: TaskStatus): status is FinalStatus {
  return status === "completed" || status === "failed" || status === "cancelled";
}

export const PRIORITIES = ["urgent", "high", "normal", "low"] as const;
export type Priority = (typeof PRIORITIES)[number];

/** 0 (urgent) to 3 (low), so that an ascending index serves urgent work first. */
export function priorityRank(priority: Priority): number {
  return PRIORITIES.indexOf(priority);
}

export function priorityName(rank: number): Priority {
  return PRIORITIES[rank] ?? "normal";
}

/**
 * The id of a task's nth execution. It is derived, so that it is known when a run is requested and needs no index:
 * `exec-`, the task's row number, the number of the run. SQL: `EXECUTION_ID`.
 */
export function executionId(taskSeq: number, run: number): string {
  return `exec-${String(taskSeq).padStart(9, "0")}-${run}`;
}

/** Task row and run that an execution id names, or `undefined` if it is not such an id. */
export function parseExecutionId(id: string): { task: number; run: number } | undefined {
  const match = /^exec-(\d{9,15})-([1-9]\d{0,8})$/.exec(id);
  return match ? { task: Number(match[1]), run: Number(match[2]) } : undefined;
}
