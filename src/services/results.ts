import type { Context } from "../context.ts";
import { isAnswerTooLarge } from "../db/refusal.ts";
import { columnNames } from "../domain/columns.ts";
import { createInputWriter, inputTable } from "../domain/input-rows.ts";
import { columnsOf, Output, type OutputColumn } from "../domain/output.ts";
import {
  createResultWriter,
  type ResultCell,
  type ResultFormat,
  resultTable,
  type ResultTable,
} from "../domain/result-format.ts";
import type { TaskStatus } from "../domain/task.ts";
import { invalid } from "../errors.ts";
import { createPauses } from "../lib/clock.ts";
import { sha256Hex } from "../lib/hash.ts";
import { portionsOf } from "../lib/portions.ts";
import { MOST_SHEET_COLUMNS } from "../lib/tables/table.ts";
import { dateCellOf, type WorkbookCell, writeXlsx } from "../lib/tables/xlsx-writer.ts";
import type { Batch } from "../store/batches.ts";
import { listResults, type ResultPage, type ResultRow, sizesOfResults } from "../store/results.ts";
import { readRows } from "../store/rows.ts";

export type ResultOptions = {
  /** `input`: the rows of the input alone, as `inputFormat` says. */
  format: ResultFormat | "input";
  status?: TaskStatus | undefined;
  /** Which of the rows; all of them by default. */
  isWanted?: (row: ResultRow) => boolean;
  /** Neutralise cells that a spreadsheet would run as formulas. */
  safe: boolean;
  /** Begin a CSV with a byte order mark. */
  bom: boolean;
};

/** In which format results are written; rows of the input in one that keeps their types. */
export function formatOfResults({ input }: Batch, format: ResultOptions["format"]): ResultFormat {
  if (format !== "input") return format;
  if (input?.format === "xlsx" || input?.format === "parquet") return "xlsx";
  return input?.format === "csv" || input?.format === "batch" ? "csv" : "jsonl";
}

/** Throws `VALIDATION_ERROR` where the results of a batch have no room in a format. */
export function requireRoomFor(batch: Batch, { format }: Pick<ResultOptions, "format">): void {
  if (formatOfResults(batch, format) !== "xlsx") return;
  const { length } = tableOf(batch, format).header;
  if (length > MOST_SHEET_COLUMNS)
    throw invalid([
      {
        path: "format",
        message: `the results have ${length} columns, and a sheet of XLSX ${MOST_SHEET_COLUMNS} at most; ask for csv`,
      },
    ]);
}

/** Read at a time, unless their texts are long: a few milliseconds of the event loop. */
export const PAGE_ROWS = 200;
/** Written at a time: an answer is read for each. */
const WRITTEN_ROWS = 50;
/** Results of long texts are made some megabytes at a time. */
const MOST_PAGE_BYTES = 4_000_000;

/**
 * The tasks of a batch in input order with what came of them so far, in pieces. It reads page by page as
 * the reader takes them, so that a slow reader costs nothing but time.
 */
export async function* streamResults(
  ctx: Context,
  batch: Batch,
  { format: asked, status, isWanted, safe, bom }: ResultOptions,
): AsyncGenerator<string | Uint8Array> {
  const { columns, isDryRun } = batch;
  const format = formatOfResults(batch, asked);
  const pages = wantedOf(pagesOf(ctx, batch, status), isWanted);
  if (format === "xlsx") {
    const { header, cells } = tableOf(batch, asked);
    return yield* writeXlsx({ header, rows: workbookRows(batch, pages, cells) });
  }
  const write =
    asked === "input"
      ? createInputWriter(format === "csv" ? columns : null, { safe, bom })
      : createResultWriter({ format, columns, answers: answerColumns(batch), isDryRun, safe, bom });
  yield write.head;
  const pause = createPauses(ctx.clock);
  let isFirst = true;
  for await (const page of pages)
    for (const rows of portionsOf(page, () => 1, WRITTEN_ROWS)) {
      yield write.rows(rows, isFirst);
      isFirst = false;
      await pause();
    }
  yield write.foot;
}

function tableOf(batch: Batch, format: ResultOptions["format"]): ResultTable {
  if (format === "input") return inputTable(batch.columns ?? []);
  return resultTable({ ...batch, answers: answerColumns(batch) });
}

/** The texts of columns with dates are dates again. */
async function* workbookRows(
  { columns, input }: Batch,
  pages: AsyncIterable<ResultRow[]>,
  cellsOf: (row: ResultRow) => ResultCell[],
): AsyncGenerator<WorkbookCell[][]> {
  const names = columnNames(columns ?? []);
  const dates = new Set((input?.dates ?? []).map((name) => names.indexOf(name)));
  const toCell = (cell: ResultCell, i: number) =>
    typeof cell === "string" && dates.has(i) ? (dateCellOf(cell) ?? cell) : cell;
  for await (const rows of pages) yield rows.map((row) => cellsOf(row).map(toCell));
}

async function* wantedOf(
  pages: AsyncIterable<ResultRow[]>,
  isWanted: ResultOptions["isWanted"],
): AsyncGenerator<ResultRow[]> {
  if (!isWanted) return yield* pages;
  for await (const rows of pages) {
    const wanted = rows.filter(isWanted);
    if (wanted.length > 0) yield wanted;
  }
}

export async function* pagesOf(
  ctx: Context,
  batch: Batch,
  status: ResultPage["status"],
): AsyncGenerator<ResultRow[]> {
  const read = (after: number) => readPage(ctx, batch, { after, limit: PAGE_ROWS, status });
  for (let next = read(-1); ;) {
    const rows = await next;
    const last = rows.at(-1);
    if (!last) return;
    // It is read in its thread while this page is written. Who takes no further page gets no error of it.
    next = read(last.position);
    next.catch(() => {});
    yield rows;
  }
}

export function answerColumns({ config }: Batch): readonly OutputColumn[] {
  const output = Output.safeParse(config["output"]);
  return output.success ? columnsOf(output.data) : [];
}

/** What changes with the results of a batch, or `null` while it has not ended, when they change all the time. */
export function resultsTag(
  batch: Batch,
  { format, status, safe, bom, contains }: ResultOptions & { contains?: string | undefined },
): string | null {
  const { seq, run, completed, failed, cancelled, updatedAt, completedAt } = batch;
  if (completedAt === null) return null;
  const state = [seq, run, completed, failed, cancelled, updatedAt, completedAt];
  return sha256Hex(
    JSON.stringify([...state, format, status ?? "", safe, bom, contains ?? ""]),
  ).slice(0, 32);
}

/** A page of up to `limit` rows: fewer if they would have too many bytes, but at least one. */
export async function readPage(ctx: Context, batch: Batch, page: ResultPage): Promise<ResultRow[]> {
  const most = Math.min(MOST_PAGE_BYTES, ctx.chunks.answerBytes);
  const sizes = await readRows(ctx.longReads.client, sizesOfResults(batch.seq, page));
  let [count, sum] = [0, 0];
  for (const { bytes } of sizes) {
    sum += bytes;
    if (count > 0 && sum > most) break;
    count++;
  }
  return count === 0 ? [] : readSome(ctx, batch, { ...page, limit: count });
}

/** What was measured may have grown meanwhile, and a server counts in another way. */
async function readSome(ctx: Context, batch: Batch, page: ResultPage): Promise<ResultRow[]> {
  try {
    return await readRows(ctx.longReads.client, listResults(batch.seq, page));
  } catch (error) {
    if (page.limit <= 1 || !isAnswerTooLarge(error)) throw error;
    return readSome(ctx, batch, { ...page, limit: Math.ceil(page.limit / 2) });
  }
}
