import type { Statement } from "../db/unit.ts";
import { SINGLE_TASKS } from "../domain/batch.ts";
import { flexColumns } from "./flex.ts";
import { laneOfSingle } from "./room.ts";
import { nextRun } from "./timeline.ts";
import type { Which } from "./which.ts";

/** SQL that is true of a row of `tasks` that is running. */
export const IS_RUNNING =
  "EXISTS (SELECT 1 FROM queue WHERE queue.task = tasks.seq AND queue.owner IS NOT NULL)";

export type RunOptions = {
  isDryRun: boolean;
  priority: number | null;
  /** Row number of the key that requests the run, which pays. */
  payer: number;
  /** Trace context of the request. */
  trace: string | null;
  now: number;
  /** The steady clock that waits are measured by; it does not jump. */
  steadyNow: number;
};

export type Queued = { task: number; run: number; lane: number; model: string };

/** Puts tasks that meet a condition in a lane of single tasks. */
export function enqueue(which: Which, options: RunOptions): Statement<Queued> {
  const { priority, isDryRun, payer, now, steadyNow, trace } = options;
  const lane = isDryRun ? String(SINGLE_TASKS) : laneOfSingle("tasks.batch", "?");
  const flex = flexColumns("tasks", { from: "?", isDryRun: String(isDryRun) });
  return {
    sql: `INSERT INTO queue (task, lane, model, flex_until, priority, run, payer, is_dry_run, queued_at, trace)
          SELECT seq, ${lane}, ${flex.model}, ${flex.until}, coalesce(?, priority), ${nextRun("run")}, ?, ?, ?, ?
          FROM tasks WHERE ${which.where}
          RETURNING task, run, lane, model`,
    args: [
      ...(isDryRun ? [] : [payer]),
      steadyNow,
      priority,
      payer,
      isDryRun,
      now,
      trace,
      ...which.args,
    ],
  };
}

/** Moves queued single tasks to their lanes after a cap or a budget was set or removed. */
export function moveSingles(of: { batch: number } | { keyId: string }): Statement {
  const which =
    "batch" in of
      ? { where: "(SELECT batch FROM tasks WHERE seq = queue.task) = ?", args: [of.batch] }
      : { where: "payer = (SELECT seq FROM api_keys WHERE id = ?)", args: [of.keyId] };
  return {
    sql: `UPDATE queue SET lane = ${laneOfSingle("(SELECT batch FROM tasks WHERE seq = queue.task)", "queue.payer")}
          WHERE lane <= ${SINGLE_TASKS} AND NOT is_dry_run AND ${which.where}`,
    args: which.args,
  };
}

/** A cancelled run, as it was in the queue. */
export type CancelledRun = {
  task: number;
  run: number;
  model: string;
  queuedAt: number;
  attempts: number;
  /** Its call is in flight. */
  isRunning: number;
  trace: string | null;
};

/** The columns of a `CancelledRun`, of a row `q` of the queue and its row of `tasks`. */
export const CANCELLED_RUN = `q.task, q.run, tasks.model, q.queued_at AS queuedAt, q.attempt AS attempts,
  q.owner IS NOT NULL AS isRunning, q.trace`;

/** Makes retries whose time has come ready. */
export function wakeWaiting(now: number): Statement {
  return { sql: `UPDATE queue SET run_at = NULL WHERE run_at <= ?`, args: [now] };
}

/** `at`: when the next waiting run is due, or falls back to the standard tier. */
export const NEXT_WAITING: Statement<{ at: number | null }> = {
  sql: `SELECT min(at) AS at FROM (
          SELECT min(run_at) AS at FROM queue WHERE run_at IS NOT NULL
          UNION ALL
          SELECT min(flex_until) FROM queue WHERE flex_until IS NOT NULL AND owner IS NULL)`,
  args: [],
};
