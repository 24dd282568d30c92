import type { Context } from "../context.ts";
import { isAnswerTooLarge } from "../db/refusal.ts";
import { createResultWriter, type ResultFormat } from "../domain/result-format.ts";
import type { TaskStatus } from "../domain/task.ts";
import { sha256Hex } from "../lib/hash.ts";
import type { Batch } from "../store/batches.ts";
import { listResults, type ResultPage, type ResultRow } from "../store/results.ts";
import { readRows } from "../store/rows.ts";

export type ResultOptions = {
  format: ResultFormat;
  status?: TaskStatus | undefined;
  /** Neutralise cells that a spreadsheet would run as formulas. */
  safe: boolean;
};

/** Read at a time, unless their texts are long: a few milliseconds of the event loop. */
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
  for (let after = -1, limit = PAGE_ROWS; ;) {
    const page = await readPage(ctx, batch, { after, limit, status });
    const last = page.rows.at(-1);
    if (!last) break;
    yield write.rows(page.rows, isFirst);
    isFirst = false;
    after = last.position;
    if (page.rows.length < page.limit) break;
    limit = Math.max(1, Math.min(PAGE_ROWS, Math.floor(ctx.chunks.answerBytes / page.rowBytes)));
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

/** A page of up to `limit` rows, which is less than asked where an answer could not carry them. */
async function readPage(
  ctx: Context,
  batch: Batch,
  page: ResultPage,
): Promise<{ rows: ResultRow[]; limit: number; rowBytes: number }> {
  try {
    const rows = await readRows(ctx.client, listResults(batch.seq, page));
    const bytes = rows.reduce((sum, row) => sum + sizeOf(row), 0);
    return { rows, limit: page.limit, rowBytes: Math.max(1, bytes / Math.max(1, rows.length)) };
  } catch (error) {
    if (page.limit <= 1 || !isAnswerTooLarge(error)) throw error;
    return readPage(ctx, batch, { ...page, limit: Math.ceil(page.limit / 2) });
  }
}

function sizeOf({ cells, body, prompt, metadata, response, error }: ResultRow): number {
  return [cells, body, prompt, metadata, response, error].reduce(
    (sum, text) => sum + (text?.length ?? 0),
    0,
  );
}
