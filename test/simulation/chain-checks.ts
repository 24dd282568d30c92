import type { Client } from "@libsql/client";

import { rowsOf } from "../../src/db/unit.ts";
import type { LogRow } from "./history.ts";

type Chained = {
  seq: number;
  inputBatch: string;
  firstSeq: number | null;
  hasEnded: number;
  hasCondition: number;
};
type Pair = {
  position: number;
  first: string | null;
  /** For a queued task: its row number and run, and whether it had an answer before. */
  task: number | null;
  run: number | null;
  wasAnswered: number;
  isAnswered: number;
  cells: string | null;
  isSkipped: number;
};

const CHAINED = `SELECT b.seq, b.input_batch AS inputBatch, f.seq AS firstSeq,
    f.completed_at IS NOT NULL AND NOT f.is_dry_run AS hasEnded,
    json_extract(b.config, '$.onlyIf') IS NOT NULL AS hasCondition
  FROM batches b LEFT JOIN batches f ON f.id = b.input_batch
  WHERE b.id = ? AND b.input_batch IS NOT NULL AND b.chain_status IS NOT 'waiting' AND b.status <> 'ingesting'`;

/** The rows of a batch beside the source rows, by their places. */
const PAIRS = `
  WITH one AS (SELECT t.id, row_number() OVER (ORDER BY t.position) AS place, q.task, q.run,
                      t.status = 'completed' AND NOT EXISTS (SELECT 1 FROM events v
                        WHERE v.task_seq = t.seq AND v.type = 'task.completed' AND v.id > ?) AS is_answered,
                      EXISTS (SELECT 1 FROM executions e WHERE e.task = t.seq AND e.run = t.run
                              AND e.status = 'completed') AS was_answered
               FROM tasks t LEFT JOIN queue q ON q.task = t.seq WHERE t.batch = ?),
    two AS (SELECT t.is_skipped, i.cells, row_number() OVER (ORDER BY t.position) AS place
            FROM tasks t JOIN task_inputs i ON i.task = t.seq WHERE t.batch = ?)
  SELECT two.place AS position, one.id AS first, one.is_answered AS isAnswered, two.cells, two.is_skipped AS isSkipped,
         one.task, one.run, one.was_answered AS wasAnswered
  FROM two LEFT JOIN one USING (place)
  UNION ALL SELECT one.place, one.id, 0, NULL, 0, one.task, one.run, 0 FROM one WHERE one.place NOT IN (SELECT place FROM two)`;

/**
 * Checks a batch made from the rows of another, in the commit that makes it. The source batch must have ended, each of
 * its rows must have a row in the same place of the new batch, and rows without an answer must be skipped. A source row
 * that was queued again in the same commit may have been queued after that, and one may have been answered after that.
 */
export function createChainChecks(truth: Client, complain: (what: string) => void) {
  let queuedBefore = new Set<string>();
  let endedBefore = new Set<string>();
  async function noteQueue(): Promise<void> {
    const namesIn = async (sql: string) =>
      new Set((await truth.execute(sql)).rows.map((row) => String(row[0])));
    queuedBefore = await namesIn("SELECT task || '/' || run FROM queue");
    endedBefore = await namesIn(
      "SELECT id FROM batches WHERE completed_at IS NOT NULL AND NOT is_dry_run",
    );
  }

  async function check({ id, type, batch, task, data }: LogRow): Promise<void> {
    if (type !== "batch.created" || batch === null || task !== null) return;
    const { total = 0 } = JSON.parse(data ?? "{}") as { total?: number };
    if (total === 0) return;
    const [made] = rowsOf<Chained>(await truth.execute({ sql: CHAINED, args: [batch] }));
    if (!made) return;
    if (made.firstSeq === null || made.hasEnded !== 1) {
      // It may have been deleted or started again by the rest of the commit.
      if (endedBefore.has(made.inputBatch)) return;
      complain(`batch ${batch} was made of ${made.inputBatch}, which has not ended, or is gone`);
      return;
    }
    const pairs = await truth.execute({ sql: PAIRS, args: [id, made.firstSeq, made.seq] });
    for (const pair of rowsOf<Pair>(pairs)) {
      const { position, first, cells, isSkipped } = pair;
      const isQueuedNow = pair.task !== null && !queuedBefore.has(`${pair.task}/${pair.run}`);
      const isAnswered = isQueuedNow ? pair.wasAnswered : pair.isAnswered;
      if (first === null || cells === null)
        complain(`row ${position} of ${batch} has none beside it in ${made.inputBatch}`);
      else if (isSkipped === isAnswered && !(isSkipped && made.hasCondition))
        complain(
          `row ${position} of ${batch} is ${isSkipped ? "" : "not "}skipped, and ${first} is ${isAnswered ? "" : "not "}answered`,
        );
    }
  }

  return { check, noteQueue };
}
