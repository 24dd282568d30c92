import type { Context } from "../context.ts";
import { createResultWriter, type ResultFormat } from "../domain/result-format.ts";
import type { TaskStatus } from "../domain/task.ts";
import { sha256Hex } from "../lib/hash.ts";
import type { Batch } from "../store/batches.ts";
import { listResults } from "../store/results.ts";
import { readRows } from "../store/rows.ts";

export type ResultOptions = {
  format: ResultFormat;
  status?: TaskStatus | undefined;
  /** Neutralise cells that a spreadsheet would run as formulas. */
  safe: boolean;
};

/** Read at a time: a few milliseconds of the event loop. */
const PAGE_ROWS = 500;

/**
 * The tasks of a batch in input order with what came of them so far, in pieces of text. It reads
 * page by page as the reader takes them, so that a slow reader costs nothing but time.
 */
export async function* streamResults(
  ctx: Context,
  batch: Batch,
  { format, status, safe }: ResultOptions,
): AsyncGenerator<string> {
  const { columns, isDryRun } = batch;
  const write = createResultWriter({ format, columns, isDryRun, safe });
  yield write.head;
  let isFirst = true;
  for (let after = -1; ;) {
    const query = listResults(batch.seq, { after, limit: PAGE_ROWS, status });
    const page = await readRows(ctx.client, query);
    const last = page.at(-1);
    if (!last) break;
    yield write.rows(page, isFirst);
    isFirst = false;
    after = last.position;
    if (page.length < PAGE_ROWS) break;
  }
  yield write.foot;
}

/** What changes with the results of a batch, or `null` while it has not ended, when they change all the time. */
export function resultsTag(batch: Batch, { format, status, safe }: ResultOptions): string | null {
  const { seq, run, completed, failed, cancelled, updatedAt, completedAt } = batch;
  if (completedAt === null) return null;
  const state = [seq, run, completed, failed, cancelled, updatedAt, completedAt];
  return sha256Hex(JSON.stringify([...state, format, status ?? "", safe])).slice(0, 32);
}
