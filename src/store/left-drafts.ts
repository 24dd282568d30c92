import { DATABASE_NOW } from "../db/now.ts";
import type { Statement } from "../db/unit.ts";
import { ALWAYS, type Which } from "./which.ts";

export type RemoveUnit = {
  touched: Statement;
  inputs: Statement;
  keys: Statement;
  tasks: Statement;
  draft: Statement;
};

/**
 * Removes up to `limit` tasks of a draft, and the draft itself once it has none left. From then on
 * the removing node owns it, so that a node that still writes it cannot publish it. A node that has not joined yet (0)
 * marks it in the name of its last owner, so that others continue if it ends.
 */
export function removeFromDraft(draft: string, limit: number, node: number): RemoveUnit {
  const some = `SELECT seq FROM tasks
                WHERE batch = (SELECT seq FROM batches WHERE id = ? AND status = 'ingesting') LIMIT ?`;
  const of = (table: string, column: string): Statement => ({
    sql: `DELETE FROM ${table} WHERE ${column} IN (${some})`,
    args: [draft, limit],
  });
  return {
    touched: {
      sql: `UPDATE batches SET updated_at = ${DATABASE_NOW}, draft_owner = -coalesce(nullif(?, 0), abs(draft_owner))
            WHERE id = ? AND status = 'ingesting'`,
      args: [node, draft],
    },
    inputs: of("task_inputs", "task"),
    keys: of("idempotency_keys", "task"),
    tasks: of("tasks", "seq"),
    draft: {
      sql: `DELETE FROM batches WHERE id = ? AND status = 'ingesting'
              AND NOT EXISTS (SELECT 1 FROM tasks WHERE batch = batches.seq)`,
      args: [draft],
    },
  };
}

/** An SQL condition: no node owns the draft `b` any more. */
const IS_FORSAKEN = "b.draft_owner <> 0 AND abs(b.draft_owner) NOT IN (SELECT seq FROM nodes)";

/**
 * The names of drafts whose node is gone, or that nobody has touched for `silentMs` by the database's clock: their
 * writer has failed and could not remove them.
 */
export function findLeftDrafts(silentMs: number): Statement<{ id: string }> {
  return {
    sql: `SELECT id FROM batches b WHERE status = 'ingesting'
            AND (${IS_FORSAKEN} OR updated_at < ${DATABASE_NOW} - ?)`,
    args: [silentMs],
  };
}

/** The names of all drafts. At the start of the only process, each was left by a crash. */
export const DRAFTS: Statement<{ id: string }> = {
  sql: `SELECT id FROM batches WHERE status = 'ingesting'`,
  args: [],
};

/** The names of drafts that begin with `~` and a prefix of letters, digits and `-`; none unless `when` holds. */
export function findDrafts(prefix: string, when: Which = ALWAYS): Statement<{ id: string }> {
  return {
    sql: `SELECT id FROM batches WHERE id > ? AND id < ? AND status = 'ingesting' AND ${when.where}`,
    args: [`~${prefix}`, `~${prefix}~`, ...when.args],
  };
}

/** `isLeft`: the batch is a draft whose node is gone, or that is being removed. */
export type Taken = { id: string; batchId: string; isBare: number; isLeft: number | null };

/** The ids among these that tasks already have, with the batches of those tasks. */
export function findTaken(ids: string[]): Statement<Taken> {
  return {
    sql: `SELECT t.id, b.id AS batchId, b.is_bare AS isBare,
            b.status = 'ingesting' AND (b.draft_owner < 0 OR ${IS_FORSAKEN}) AS isLeft
          FROM json_each(?) r
          CROSS JOIN tasks t ON t.id = r.value CROSS JOIN batches b ON b.seq = t.batch`,
    args: [JSON.stringify(ids)],
  };
}
