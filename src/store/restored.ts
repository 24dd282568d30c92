import type { Statement } from "../db/unit.ts";
import { SINGLE_TASKS } from "../domain/batch.ts";

/** The work that continues by itself when a server starts on a restored database. */
export type GoesOn = { batches: number; singles: number; schedules: number; webhooks: number };

export const GOES_ON: Statement<GoesOn> = {
  sql: `SELECT (SELECT count(*) FROM batches WHERE status = 'running' AND seq <> ${SINGLE_TASKS}) AS batches,
               (SELECT count(*) FROM queue WHERE lane <= ${SINGLE_TASKS}) AS singles,
               (SELECT count(*) FROM schedules WHERE is_active) AS schedules,
               (SELECT count(*) FROM webhooks WHERE is_active) AS webhooks`,
  args: [],
};

/** Tables whose rows belong to running processes. */
const OF_PROCESSES = ["nodes", "leases", "followed", "deltas", "__migrating"];

/** Removes the rows of the processes that used the database before. */
export function forgetProcesses(tables: ReadonlySet<string>): Statement[] {
  return OF_PROCESSES.filter((name) => tables.has(name)).map((name) => ({
    sql: `DELETE FROM ${name}`,
    args: [],
  }));
}

const REASON = { code: "restored", message: "The database was restored with --pause" };

/** Pauses running batches, and deactivates schedules and webhooks, as an operator would. */
export function pauseEverything(now: number): Statement[] {
  const isRunning = `status = 'running' AND seq <> ${SINGLE_TASKS}`;
  const reason = JSON.stringify(REASON);
  return [
    {
      sql: `INSERT INTO events (at, type, task, batch, data, trace)
            SELECT ?, 'batch.paused', NULL, id, ?, trace FROM batches WHERE ${isRunning}`,
      args: [now, JSON.stringify({ reason: REASON })],
    },
    {
      sql: `UPDATE batches SET status = 'paused', pause_reason = ?, updated_at = ? WHERE ${isRunning}`,
      args: [reason, now],
    },
    {
      sql: `UPDATE schedules SET is_active = 0, next_run = NULL, pause_reason = ?,
              revision = revision + 1, updated_at = ? WHERE is_active`,
      args: [REASON.message, now],
    },
    {
      sql: `UPDATE webhooks SET is_active = 0, disabled_reason = ?, updated_at = ? WHERE is_active`,
      args: [REASON.message, now],
    },
  ];
}
