import type { Context } from "../context.ts";
import { isAnswerTooLarge } from "../db/refusal.ts";
import { columnNames } from "../domain/columns.ts";
import { createInputWriter, csvLayout, inputTable, xlsxLayout } from "../domain/input-rows.ts";
import { columnsOf, Output, type OutputColumn } from "../domain/output.ts";
import { createResultWriter, type CsvShape, type ResultFormat } from "../domain/result-format.ts";
import { type ResultCell, resultTable, type ResultTable } from "../domain/result-table.ts";
import type { TaskStatus } from "../domain/task.ts";
import { invalid } from "../errors.ts";
import { createPauses } from "../lib/clock.ts";
import { portionsOf } from "../lib/portions.ts";
import { MOST_SHEET_COLUMNS } from "../lib/tables/table.ts";
import { dateCellOf, type WorkbookCell, writeXlsx } from "../lib/tables/xlsx-writer.ts";
import type { Batch } from "../store/batches.ts";
import { listResults, type ResultPage, type ResultRow, sizesOfResults } from "../store/results.ts";
import { readRows } from "../store/rows.ts";

export type ResultOptions = {
  /** `input`: only the input rows, in the format of `inputFormat`. */
  format: ResultFormat | "input";
  status?: TaskStatus | undefined;
  /** Which of the rows; all of them by default. */
  isWanted?: (row: ResultRow) => boolean;
  /** Neutralise cells that a spreadsheet would run as formulas. */
  safe: boolean;
  /** Begin a CSV with a byte order mark. */
  bom: boolean;
};

/** The format of results; input rows get one that keeps their types. */
export function formatOfResults({ input }: Batch, format: ResultOptions["format"]): ResultFormat {
  if (format !== "input") return format;
  if (input?.format === "xlsx" || input?.format === "parquet") return "xlsx";
  return input?.format === "csv" || input?.format === "batch" ? "csv" : "jsonl";
}

/** Throws `VALIDATION_ERROR` if the results of a batch do not fit into a format. */
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

/** How many rows are read at a time, unless their texts are long: a few milliseconds of the event loop. */
export const PAGE_ROWS = 200;
/** The number of rows to write at a time, because the answer of each row is read. */
const WRITTEN_ROWS = 50;
/** The most bytes of texts that are read at a time. */
const MOST_PAGE_BYTES = 4_000_000;

/**
 * The tasks of a batch in input order with their results so far, in pieces. It reads page by page as the client
 * consumes them, so a slow client costs only time.
 */
export async function* streamResults(
  ctx: Context,
  batch: Batch,
  { format: asked, status, isWanted, safe, bom }: ResultOptions,
): AsyncGenerator<string | Uint8Array> {
  const { columns, isDryRun, config } = batch;
  const format = formatOfResults(batch, asked);
  const pages = wantedOf(pagesOf(ctx, batch, status), isWanted);
  if (format === "xlsx") {
    const { header, cells } = tableOf(batch, asked);
    const layout = asked === "input" ? xlsxLayout(config) : {};
    return yield* writeXlsx({ header, rows: workbookRows(batch, pages, cells), ...layout });
  }
  const write =
    asked === "input"
      ? createInputWriter(
          format === "csv" ? columns : null,
          inputShape(batch, format, { safe, bom }),
        )
      : createResultWriter({ format, columns, answers: answerColumns(batch), isDryRun, safe, bom });
  yield write.head;
  const pause = createPauses(ctx.clock);
  let isFirst = true;
  for await (const page of pages)
    for (const rows of portionsOf(page, () => 1, WRITTEN_ROWS)) {
      yield write.rows(rows, isFirst);
      isFirst = false;
      if (pause.isDue()) await pause.take();
    }
  yield write.foot;
}

function inputShape(
  { config }: Batch,
  format: ResultFormat,
  { safe, bom }: { safe: boolean; bom: boolean },
): CsvShape {
  const layout = csvLayout(config);
  return { ...layout, safe, bom: layout.bom || (bom && format === "csv") };
}

function tableOf(batch: Batch, format: ResultOptions["format"]): ResultTable {
  if (format === "input") return inputTable(batch.columns ?? []);
  return resultTable({ ...batch, answers: answerColumns(batch) });
}

/** Converts the texts of date columns back to dates. */
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

/**
 * The rows of a batch, page by page. While one page is processed, the thread of reads fetches the next and measures the
 * one after that, so that it is never idle in between.
 */
export async function* pagesOf(
  ctx: Context,
  batch: Batch,
  status: ResultPage["status"],
): AsyncGenerator<ResultRow[]> {
  const measure = (after: number) =>
    heardLater(measurePage(ctx, batch, { after, limit: PAGE_ROWS, status }));
  async function load(after: number, measured: Promise<Measured>) {
    const { count, last } = await measured;
    if (count === 0) return undefined;
    const reading = readSome(ctx, batch, { after, limit: count, status });
    const [rows, following] = await Promise.all([reading, measure(last)]);
    // If rows have changed since the measurement, the page ends at another row.
    const end = rows.at(-1)?.position ?? last;
    return { rows, end, following: end === last ? Promise.resolve(following) : measure(end) };
  }
  let page = await load(-1, measure(-1));
  while (page) {
    const next = heardLater(load(page.end, page.following));
    if (page.rows.length > 0) yield page.rows;
    page = await next;
  }
}

/** Leaves an error to a later `await`, or to nobody if the reader takes no further page. */
function heardLater<T>(work: Promise<T>): Promise<T> {
  work.catch(() => {});
  return work;
}

export function answerColumns({ config }: Batch): readonly OutputColumn[] {
  const output = Output.safeParse(config["output"]);
  return output.success ? columnsOf(output.data) : [];
}

/** A page of up to `limit` rows; fewer if they have too many bytes, but at least one. */
export async function readPage(ctx: Context, batch: Batch, page: ResultPage): Promise<ResultRow[]> {
  const { count } = await measurePage(ctx, batch, page);
  return count === 0 ? [] : readSome(ctx, batch, { ...page, limit: count });
}

/** How many rows fit into a page, and the position of the last one. */
type Measured = { count: number; last: number };

async function measurePage(ctx: Context, batch: Batch, page: ResultPage): Promise<Measured> {
  const most = Math.min(MOST_PAGE_BYTES, ctx.chunks.answerBytes);
  const sizes = await readRows(ctx.longReads.client, sizesOfResults(batch.seq, page));
  let [count, sum, last] = [0, 0, page.after];
  for (const { bytes, position } of sizes) {
    sum += bytes;
    if (count > 0 && sum > most) break;
    count++;
    last = position;
  }
  return { count, last };
}

/** The measured sizes may have grown meanwhile, and a server counts bytes differently. */
async function readSome(ctx: Context, batch: Batch, page: ResultPage): Promise<ResultRow[]> {
  try {
    return await readRows(ctx.longReads.client, listResults(batch.seq, page));
  } catch (error) {
    if (page.limit <= 1 || !isAnswerTooLarge(error)) throw error;
    return readSome(ctx, batch, { ...page, limit: Math.ceil(page.limit / 2) });
  }
}
