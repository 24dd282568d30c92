import type { Context } from "../context.ts";
import { isAnswerTooLarge } from "../db/refusal.ts";
import { createInputWriter } from "../domain/input-rows.ts";
import { columnsOf, Output, type OutputColumn } from "../domain/output.ts";
import { createResultWriter, type ResultFormat } from "../domain/result-format.ts";
import type { TaskStatus } from "../domain/task.ts";
import { sha256Hex } from "../lib/hash.ts";
import type { Batch } from "../store/batches.ts";
import { listResults, type ResultPage, type ResultRow, sizesOfResults } from "../store/results.ts";
import { readRows } from "../store/rows.ts";

export type ResultOptions = {
  /** `input`: the rows of the input alone, as `inputFormat` says. */
  format: ResultFormat | "input";
  status?: TaskStatus | undefined;
  /** Neutralise cells that a spreadsheet would run as formulas. */
  safe: boolean;
  /** Begin a CSV with a byte order mark. */
  bom: boolean;
};

/** In which format the rows of a batch's input are written. */
export function inputFormat({ input }: Batch): ResultFormat {
  return input?.format === "csv" ? "csv" : "jsonl";
}

/** Read at a time, unless their texts are long: a few milliseconds of the event loop. */
export const PAGE_ROWS = 200;
/** Results of long texts are made some megabytes at a time. */
const MOST_PAGE_BYTES = 4_000_000;

/**
 * The tasks of a batch in input order with what came of them so far, in pieces of text. It reads
 * page by page as the reader takes them, so that a slow reader costs nothing but time.
 */
export async function* streamResults(
  ctx: Context,
  batch: Batch,
  { format, status, safe, bom }: ResultOptions,
): AsyncGenerator<string> {
  const { columns, isDryRun } = batch;
  const write =
    format === "input"
      ? createInputWriter(inputFormat(batch) === "csv" ? columns : null, { safe, bom })
      : createResultWriter({ format, columns, answers: answerColumns(batch), isDryRun, safe, bom });
  yield write.head;
  let isFirst = true;
  for (let after = -1; ;) {
    const rows = await readPage(ctx, batch, { after, limit: PAGE_ROWS, status });
    const last = rows.at(-1);
    if (!last) break;
    yield write.rows(rows, isFirst);
    isFirst = false;
    after = last.position;
  }
  yield write.foot;
}

function answerColumns({ config }: Batch): readonly OutputColumn[] {
  const output = Output.safeParse(config["output"]);
  return output.success ? columnsOf(output.data) : [];
}

/** What changes with the results of a batch, or `null` while it has not ended, when they change all the time. */
export function resultsTag(
  batch: Batch,
  { format, status, safe, bom }: ResultOptions,
): string | null {
  const { seq, run, completed, failed, cancelled, updatedAt, completedAt } = batch;
  if (completedAt === null) return null;
  const state = [seq, run, completed, failed, cancelled, updatedAt, completedAt];
  return sha256Hex(JSON.stringify([...state, format, status ?? "", safe, bom])).slice(0, 32);
}

/** A page of up to `limit` rows: as many as have few enough bytes, and one at least. */
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
