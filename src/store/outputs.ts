import type { Statement } from "../db/unit.ts";

/** An output that nobody writes: a node that looks for one writes none, whatever its row says. */
const NEXT = `FROM batches
  WHERE output_status IN ('pending', 'writing')
    AND (output_status = 'pending' OR output_owner IS NULL OR output_owner = ?
         OR output_owner NOT IN (SELECT seq FROM nodes))
  LIMIT 1`;

/** The output file to write next, if there is one, and whether somebody has begun to write it. */
export function findOutput(node: number): Statement<{ isAgain: number }> {
  return { sql: `SELECT output_status = 'writing' AS isAgain ${NEXT}`, args: [node] };
}

/**
 * Takes on the output file of one batch that has ended, so that no other process writes it, too, as
 * long as the node lives.
 */
export function takeOutput(node: number, now: number): Statement<{ id: string }> {
  return {
    sql: `UPDATE batches SET output_status = 'writing', output_owner = ?, output_at = ?
          WHERE seq = (SELECT seq ${NEXT}) RETURNING id`,
    args: [node, now, node],
  };
}

/** Keeps what became of it, unless the batch was started again or another node took it on meanwhile. */
export function endOutput(seq: number, node: number, error: string | null, now: number): Statement {
  return {
    sql: `UPDATE batches SET output_status = ?, output_error = ?, output_at = ?, output_owner = NULL
          WHERE seq = ? AND output_status = 'writing' AND output_owner = ?`,
    args: [error === null ? "written" : "failed", error, now, seq, node],
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
