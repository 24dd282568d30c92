import type { Statement } from "../db/unit.ts";

/** A process that took an output on and has not written it after this time is taken to be gone. */
const STALE_MS = 600_000;

const NEXT = `SELECT seq FROM batches
  WHERE output_status IN ('pending', 'writing') AND (output_status = 'pending' OR output_at < ?)
  LIMIT 1`;

/** Whether there is an output file to write: a row if so. */
export function findOutput(now: number): Statement<{ seq: number }> {
  return { sql: NEXT, args: [now - STALE_MS] };
}

/**
 * Takes on the output file of one batch that has ended, so that no other process writes it, too.
 */
export function takeOutput(now: number): Statement<{ id: string }> {
  return {
    sql: `UPDATE batches SET output_status = 'writing', output_at = ?
          WHERE seq = (${NEXT}) RETURNING id`,
    args: [now, now - STALE_MS],
  };
}

/** Nobody else can be alive: what was being written is to be written again. */
export const FREE_OUTPUTS: Statement = {
  sql: `UPDATE batches SET output_status = 'pending' WHERE output_status = 'writing'`,
  args: [],
};

/** Keeps what became of it, unless the batch has been started again meanwhile. */
export function endOutput(seq: number, error: string | null, now: number): Statement {
  return {
    sql: `UPDATE batches SET output_status = ?, output_error = ?, output_at = ?
          WHERE seq = ? AND output_status = 'writing'`,
    args: [error === null ? "written" : "failed", error, now, seq],
  };
}

/** Asks for the output file of a batch that has ended to be written again. */
export function askForOutput(seq: number): Statement<{ seq: number }> {
  return {
    sql: `UPDATE batches SET output_status = 'pending', output_error = NULL
          WHERE seq = ? AND output_status IN ('written', 'failed') RETURNING seq`,
    args: [seq],
  };
}
