import type { Context } from "../context.ts";
import { errorText } from "../domain/result-row.ts";
import { answerTable, type ResultCell } from "../domain/result-table.ts";
import type { TaskStatus } from "../domain/task.ts";
import { nextRound } from "../lib/clock.ts";
import type { Batch } from "../store/batches.ts";
import type { ResultRow } from "../store/results.ts";
import { answerColumns, PAGE_ROWS, readPage } from "./results.ts";

export type RowQuery = {
  /** The position after which the page begins; -1 for the first. */
  after: number;
  limit: number;
  status: TaskStatus | undefined;
  /** A text that a cell or the error must contain, ignoring case. */
  contains: string | undefined;
};

export type RowPage = {
  columns: string[];
  /** How many of the columns belong to the input; the others belong to the answer. */
  inputs: number;
  rows: { row: ResultRow; cells: ResultCell[] }[];
  /** The position after which the next page begins; `null` if there is none. */
  next: number | null;
};

/** The longest search for a text; the next request continues it. */
const MOST_SEARCH_MS = 400;

/**
 * A page of the rows of a batch with their answers. A search for a text may return fewer rows than requested and
 * still have a next page.
 */
export async function listRows(ctx: Context, batch: Batch, query: RowQuery): Promise<RowPage> {
  const { limit, status, contains } = query;
  const { header, cells } = tableOf(batch);
  const isWanted = rowFilter(batch, contains);
  const found: RowPage["rows"] = [];
  const since = ctx.clock.monotonic();
  const answer = (next: number | null): RowPage => ({
    columns: header,
    inputs: header.length - Math.max(1, answerColumns(batch).length),
    rows: found,
    next,
  });
  for (let { after } = query; ;) {
    const size = contains === undefined ? limit - found.length : PAGE_ROWS;
    const rows = await readPage(ctx, batch, { after, limit: Math.min(size, PAGE_ROWS), status });
    for (const row of rows) {
      after = row.position;
      if (!isWanted(row)) continue;
      found.push({ row, cells: cells(row) });
      if (found.length >= limit) return answer(after);
    }
    if (rows.length === 0) return answer(null);
    if (ctx.clock.monotonic() - since > MOST_SEARCH_MS) return answer(after);
    await nextRound(ctx.clock);
  }
}

/** Whether a row has a text in its input, its answer or its error. */
export function rowFilter(batch: Batch, contains: string | undefined): (row: ResultRow) => boolean {
  if (contains === undefined) return () => true;
  const { cells } = tableOf(batch);
  const wanted = contains.toLowerCase();
  const has = (text: string) => text.toLowerCase().includes(wanted);
  return (row) =>
    has(row.id) ||
    cells(row).some((cell) => cell !== null && has(String(cell))) ||
    (row.error !== null && has(errorText(row.error)));
}

function tableOf(batch: Batch) {
  return answerTable({ columns: batch.columns, answers: answerColumns(batch) });
}
