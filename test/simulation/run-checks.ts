import type { Client } from "@libsql/client";

import { rowsOf } from "../../src/db/unit.ts";
import type { LogRow } from "./history.ts";
import type { Ledger } from "./ledger.ts";

/** Events that end a run. */
export const IS_END = /^task\.(completed|failed|cancelled)$/;
const IS_BATCH_END = /^batch\.(completed|failed|cancelled)$/;

const UNANSWERED = `
  SELECT t.id, EXISTS (SELECT 1 FROM executions e WHERE e.task = t.seq AND e.status = 'completed' AND NOT e.is_dry_run)
    AS wasAnswered
  FROM tasks t JOIN batches b ON b.seq = t.batch
  WHERE b.id = ? AND NOT t.is_skipped AND NOT (t.status = 'completed' AND EXISTS (
    SELECT 1 FROM executions e WHERE e.task = t.seq AND e.run = t.run AND NOT e.is_dry_run))`;

/** A run as the log shows it. */
type Run = { started: number; ended: number };

/**
 * Checks each event when it is committed. A run starts and ends at most once. A task has no more runs than clients
 * requested, and only a client's request runs a task again whose answer was committed. No batch ends before all its rows.
 * An accepted retry runs at least one task.
 */
export function createRunChecks(truth: Client, ledger: Ledger, complain: (what: string) => void) {
  const runs = new Map<string, Run>();
  /** Runs that followed a committed answer, by task. */
  const again = new Map<string, number>();
  /** Batches that were started again and have had no event since. */
  const silent = new Set<string>();
  /** How often batches were started. Each start allows one run of each of their tasks. */
  const starts = new Map<string, number>();

  function runOf(row: LogRow): Run {
    const key = `${row.taskSeq}/${row.run}`;
    let run = runs.get(key);
    if (!run) runs.set(key, (run = { started: 0, ended: 0 }));
    return run;
  }

  async function started(row: LogRow): Promise<void> {
    const run = runOf(row);
    if (++run.started > 1) complain(`run ${row.run} of ${row.task} started twice`);
    if (run.ended > 0) complain(`run ${row.run} of ${row.task} started after its end`);
    const task = row.task ?? "";
    const { alone, withBatch, pilots } = ledger.startsOf(task, row.batch);
    const asked = alone + pilots + Math.min(withBatch, starts.get(row.batch ?? "") ?? 0);
    if ((row.run ?? 0) > asked)
      complain(`${task} has run ${row.run}, and was asked for ${asked} times`);
    const before = await truth.execute({
      sql: "SELECT status, is_dry_run AS isDryRun FROM executions WHERE task = ? AND run = ?",
      args: [row.taskSeq, (row.run ?? 0) - 1],
    });
    const [earlier] = rowsOf<{ status: string; isDryRun: number }>(before);
    if (earlier?.status !== "completed" || earlier.isDryRun === 1) return;
    const count = (again.get(task) ?? 0) + 1;
    again.set(task, count);
    if (count > alone + ledger.refillsOf(row.batch))
      complain(`${task} had an answer that was committed, and run ${row.run} asks for it again`);
  }

  async function batchEnded(row: LogRow): Promise<void> {
    const batch = row.batch ?? "";
    const open = await truth.execute({
      sql: `SELECT t.id FROM tasks t JOIN batches b ON b.seq = t.batch
            WHERE b.id = ? AND t.status = 'pending'`,
      args: [batch],
    });
    // After the end of the batch and in the same commit it may be started again, or be deleted and created again, and a
    // task that a client executed alone may be pending again. Only the counts show whether the tasks had ended before.
    const counts = JSON.parse(row.data ?? "{}") as Record<string, number>;
    const of = (name: string) => counts[name] ?? 0;
    const uncounted = of("total") - of("completed") - of("failed") - of("cancelled");
    const next = await truth.execute({
      sql: `SELECT 1 FROM events WHERE id > ? AND type IN ('batch.started', 'batch.created')
            AND batch = ? LIMIT 1`,
      args: [row.id, batch],
    });
    const isAnotherRun = next.rows.length > 0;
    const isAlone = ({ id }: { id: string }) => ledger.startsOf(id, null).alone > 0;
    const others = rowsOf<{ id: string }>(open).filter((task) => !isAlone(task)).length;
    const missing = Math.max(uncounted, isAnotherRun ? 0 : others);
    if (missing > 0)
      complain(
        `batch ${batch} is reported as ${row.type} while ${missing} of its tasks have not ended`,
      );
    // A batch that is cancelled before its tasks are pending again need not run anything.
    const isSilent = silent.delete(batch) && row.type !== "batch.cancelled";
    if (isSilent && !ledger.hasVanishing(batch) && (await isUnanswered(batch)))
      complain(`batch ${batch} was started again and ended without running anything`);
  }

  /**
   * Whether a row of a batch has no answer of a real call. Such an answer need not be requested again. A client may have
   * executed an answered row alone in the same commit.
   */
  async function isUnanswered(batch: string): Promise<boolean> {
    const found = await truth.execute({ sql: UNANSWERED, args: [batch] });
    return rowsOf<{ id: string; wasAnswered: number }>(found).some(
      ({ id, wasAnswered }) => !wasAnswered || ledger.startsOf(id, null).alone === 0,
    );
  }

  return async (row: LogRow): Promise<void> => {
    if (row.task !== null && row.batch !== null && row.type !== "task.created")
      silent.delete(row.batch);
    if (row.type === "task.started") await started(row);
    else if (IS_END.test(row.type) && row.run !== null) {
      if (++runOf(row).ended > 1) complain(`run ${row.run} of ${row.task} ended twice`);
    } else if (IS_BATCH_END.test(row.type)) await batchEnded(row);
    else if (row.type === "batch.started") {
      const batch = row.batch ?? "";
      starts.set(batch, (starts.get(batch) ?? 0) + 1);
      if (row.data?.includes("again")) silent.add(batch);
    }
  };
}
