import type { Statement } from "../db/unit.ts";
import type { TaskStatus } from "../domain/task.ts";
import { isOwnDraft } from "./drafts.ts";
import { insertEvent } from "./events.ts";
import { type Idempotency, idempotencyArgs } from "./idempotency.ts";
import { forEachMark } from "./marks.ts";
import type { FoundInput, NewBatch, WrittenRows } from "./new-batch.ts";
import { addCreated } from "./rollups.ts";
import { takeOver } from "./take-over.ts";
import { ALWAYS, both, hasRow, type Which } from "./which.ts";

export type PublishUnit = {
  takenOver: Statement[];
  key: Statement | undefined;
  event: Statement;
  created: Statement;
  published: Statement<{ total: number; reused: number }>;
};

/**
 * Gives a draft of `rows` rows its real name, and moves the tasks of a bare batch of that name into it: `adopted` are
 * those that the input describes anew, the others follow at the end. If that is impossible, or `when` does not hold,
 * nothing changes; otherwise `published` returns a row with the number of tasks. A caller that must not take over the
 * tasks of a bare batch passes as `takenOver` other statements that free the name.
 */
export function publishDraft(
  batch: NewBatch,
  rowsOfDraft: WrittenRows & FoundInput,
  when: Which = ALWAYS,
  takenOver = takeOver(batch, rowsOfDraft, when),
): PublishUnit {
  const { written: rows, models, adopted, reused, columns, input } = rowsOfDraft;
  const { now, trace, idempotency } = batch;
  const isFree = {
    where: `NOT EXISTS (SELECT 1 FROM batches b WHERE b.id = ?)
      AND NOT EXISTS (SELECT 1 FROM idempotency_keys k
                      WHERE k.api_key = ? AND k.key = ? AND k.batch IS NOT batches.seq)`,
    args: [batch.id, ...idempotencyArgs(idempotency)],
  };
  const which = both(both(isOwnDraft(batch), isFree), when);
  const data = { total: rows + adopted.length };
  const can = hasRow("batches", which);
  return {
    takenOver,
    key: idempotency ? keepKey(idempotency, which, now) : undefined,
    event: insertEvent(
      { type: "batch.created", at: now, task: null, batch: batch.id, data, trace },
      can,
    ),
    created: addCreated(models, batch.apiKey, now, can),
    published: {
      sql: `UPDATE batches SET id = ?, status = 'pending', total = ${countOf("")},
              completed = ${countOf("completed")}, failed = ${countOf("failed")},
              cancelled = ${countOf("cancelled")}, skipped = (SELECT count(*) FROM tasks t
                WHERE t.batch = batches.seq AND t.is_skipped AND t.status = 'cancelled'), updated_at = ?,
              reused = ?, columns = ?, input = ?
              ${forEachMark(
                ({ counter, mark }) => `${counter} = (SELECT count(*) FROM tasks t
                  WHERE t.batch = batches.seq AND t.status = 'completed' AND t.${mark})`,
              )}
            WHERE ${which.where} RETURNING total, reused`,
      args: [
        batch.id,
        now,
        reused,
        columns && JSON.stringify(columns),
        input && JSON.stringify(input),
        ...which.args,
      ],
    },
  };
}

function countOf(status: "" | TaskStatus): string {
  const which = status === "" ? "" : ` AND t.status = '${status}'`;
  return `(SELECT count(*) FROM tasks t WHERE t.batch = batches.seq${which})`;
}

function keepKey(idempotency: Idempotency, which: Which, now: number): Statement {
  return {
    sql: `INSERT INTO idempotency_keys (api_key, key, fingerprint, batch, created_at)
          SELECT ?, ?, ?, seq, ? FROM batches WHERE ${which.where}`,
    args: [idempotency.apiKey, idempotency.key, idempotency.fingerprint, now, ...which.args],
  };
}
