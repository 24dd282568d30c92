import type { Node } from "./node.ts";

/** The requests of clients, as an upper bound of what may happen. Each is counted before it is sent, because its effect is uncertain. */
export type Ledger = {
  /** Ids that a client has used, separately for batches and tasks, in the order of their first use. */
  batches: string[];
  tasks: string[];
  /** A run of this task may follow. */
  mayStart(task: string): void;
  /** The request of this task may be changed, and a run may follow. */
  mayChange(task: string): void;
  /** Runs of all tasks of this batch may follow. */
  mayStartBatch(batch: string): void;
  /** A pilot may run some tasks of this batch, none of which has run. */
  mayTry(batch: string): void;
  /** Tasks of this batch, or single ones, may be deleted. */
  mayVanish(batch: string | undefined): void;
  /** A cap or a budget may be set. */
  mayLimit(): void;
  /** Tasks of this batch may be replaced. */
  mayRefill(batch: string): void;
  /** Requests that may have led to runs of a task: for the task, for its batch, and for a pilot of its batch. */
  startsOf(
    task: string,
    batch: string | null,
  ): { alone: number; withBatch: number; pilots: number };
  /** Requests that may have changed what a task sends, with those that may have replaced it as a part of its batch. */
  changesOf(task: string): number;
  /** Requests that may have replaced tasks of a batch. */
  refillsOf(batch: string | null): number;
  hasVanishing(batch: string): boolean;
  /** The ids that repeated requests were answered with, by their idempotency keys. */
  repeated: Map<string, string>;
  /** What was asked for live, in the order of the calls. */
  live: LiveCall[];
  /** Whether anything ever had a cap or budget. */
  hasLimits(): boolean;
};

/** `costUsd`: what the client of a live call knows it to have cost. */
export type LiveCall = { node: Node; isOver: boolean; costUsd: number };

export function createLedger(): Ledger {
  const tasks = new Map<string, number>();
  const batches = new Map<string, number>();
  const vanishing = new Set<string>();
  const refills = new Map<string, number>();
  const pilots = new Map<string, number>();
  const changes = new Map<string, number>();
  let isLimited = false;
  const add = (to: Map<string, number>, name: string) => to.set(name, (to.get(name) ?? 0) + 1);
  return {
    batches: [],
    tasks: [],
    repeated: new Map(),
    live: [],
    mayStart: (task) => void add(tasks, task),
    mayChange(task) {
      add(tasks, task);
      add(changes, task);
    },
    mayStartBatch: (batch) => void add(batches, batch),
    mayTry: (batch) => void add(pilots, batch),
    mayVanish: (batch) => void vanishing.add(batch ?? ""),
    mayLimit: () => void (isLimited = true),
    hasLimits: () => isLimited,
    mayRefill: (batch) => void add(refills, batch),
    startsOf: (task, batch) => ({
      // A task whose id no client chose was made and executed by one request, which may have been repeated.
      alone: (tasks.get(task) ?? 0) + (task.startsWith("task-") ? 1 : 0),
      pilots: pilots.get(batch ?? "") ?? 0,
      // The batch of a schedule's run has an id that no client chose, and the scheduler starts it once.
      withBatch: batch === null ? 0 : (batches.get(batch) ?? (batch.startsWith("batch-") ? 1 : 0)),
    }),
    changesOf: (task) => (changes.get(task) ?? 0) + (refills.get(task.split("-")[0] ?? "") ?? 0),
    refillsOf: (batch) => refills.get(batch ?? "") ?? 0,
    hasVanishing: (batch) => vanishing.has(batch),
  };
}
