import type { Statement } from "../db/unit.ts";
import { cancelWhere, type CancelUnit } from "./cancel.ts";
import { byNumber, countMove, finishBatches } from "./counters.ts";
import { IS_TO_REVIVE } from "./generations.ts";

const IS_UNSWEPT = `((status = 'cancelled' AND completed_at IS NULL) OR revive IS NOT NULL)`;

/** Batches with tasks that are still to be changed. */
export const UNSWEPT: Statement<{ seq: number }> = {
  sql: `SELECT seq FROM batches WHERE ${IS_UNSWEPT}`,
  args: [],
};

/** Has a row if tasks of the batch are still to be changed. */
export function findUnswept(seq: number): Statement<{ isCancelled: number }> {
  return {
    sql: `SELECT status = 'cancelled' AS isCancelled FROM batches WHERE seq = ? AND ${IS_UNSWEPT}`,
    args: [seq],
  };
}

/** Cancels up to `limit` tasks of a cancelled batch; with the last of them the batch ends. */
export function cancelChunk(batch: number, limit: number, now: number): CancelUnit {
  const which = {
    where: `tasks.seq IN (
      SELECT t.seq FROM batches b CROSS JOIN tasks t ON t.batch = b.seq AND t.status = 'pending'
      WHERE b.seq = ? AND b.status = 'cancelled' AND b.completed_at IS NULL
      ORDER BY t.position LIMIT ?)`,
    args: [batch, limit],
  };
  return cancelWhere(which, byNumber([batch]), null, now);
}

export type ReviveChunkUnit = {
  counted: Statement;
  revived: Statement;
  done: Statement;
  finished: Statement[];
};

/**
 * Makes up to `limit` ended tasks of a batch pending again. The batch's row says which; when none is left, that is
 * cleared.
 */
export function reviveChunk(batch: number, limit: number, now: number): ReviveChunkUnit {
  const which = {
    where: `tasks.seq IN (
      SELECT t.seq FROM batches b CROSS JOIN json_each(b.revive) r
        CROSS JOIN tasks t ON t.batch = b.seq AND t.status = r.value
      WHERE b.seq = ? AND ${IS_TO_REVIVE} LIMIT ?)`,
    args: [batch, limit],
  };
  return {
    counted: countMove(which, "pending", now),
    revived: {
      sql: `UPDATE tasks SET status = 'pending', attempts = 0, started_at = NULL, completed_at = NULL,
              updated_at = ?
            WHERE ${which.where}`,
      args: [now, ...which.args],
    },
    done: {
      sql: `UPDATE batches AS b SET revive = NULL
            WHERE seq = ? AND revive IS NOT NULL AND NOT EXISTS (
              SELECT 1 FROM json_each(b.revive) r
              CROSS JOIN tasks t ON t.batch = b.seq AND t.status = r.value
              WHERE ${IS_TO_REVIVE})`,
      args: [batch],
    },
    finished: finishBatches(byNumber([batch]), now),
  };
}
