import type { Statement } from "../db/unit.ts";

/**
 * An output that no other living node writes, of a batch that is not being deleted. The searching node itself writes none,
 * whatever the row says.
 */
const NEXT = `FROM batches
  WHERE output_status IN ('pending', 'writing') AND status <> 'ingesting'
    AND (output_status = 'pending' OR output_owner IS NULL OR output_owner = ?
         OR output_owner NOT IN (SELECT seq FROM nodes))
  LIMIT 1`;

/**
 * The output file to write next, if there is one, and whether another node has begun to write it, maybe for an earlier
 * run of the batch.
 */
export function findOutput(node: number): Statement<{ isAgain: number }> {
  return { sql: `SELECT output_owner IS NOT NULL AS isAgain ${NEXT}`, args: [node] };
}

/** Takes ownership of the output file of an ended batch, so that no other process writes it while the node lives. */
export function takeOutput(node: number, now: number): Statement<{ id: string; seq: number }> {
  return {
    sql: `UPDATE batches SET output_status = 'writing', output_owner = ?, output_at = ?
          WHERE seq = (SELECT seq ${NEXT}) RETURNING id, seq`,
    args: [node, now, node],
  };
}

/** Stores the outcome, unless the batch was restarted or another node took over the file meanwhile. */
export function endOutput(seq: number, node: number, error: string | null, now: number): Statement {
  return {
    sql: `UPDATE batches SET output_status = ?, output_error = ?, output_at = ?, output_owner = NULL
          WHERE seq = ? AND output_status = 'writing' AND output_owner = ?`,
    args: [error === null ? "written" : "failed", error, now, seq, node],
  };
}

/**
 * Requests that the output file of an ended batch is written again: by a client, or by a process that has written it too
 * late, maybe over a newer one.
 */
export function askForOutput(seq: number): Statement<{ seq: number }> {
  return {
    sql: `UPDATE batches SET output_status = 'pending', output_error = NULL
          WHERE seq = ? AND output_status IN ('written', 'failed') RETURNING seq`,
    args: [seq],
  };
}
