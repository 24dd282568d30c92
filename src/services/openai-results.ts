import type { Context } from "../context.ts";
import { RESULT_PARTS, type ResultPart } from "../domain/openai-batch.ts";
import { resultLine } from "../domain/openai-result.ts";
import { BoundedMap } from "../lib/bounded-map.ts";
import { sha256Hex } from "../lib/hash.ts";
import { type Batch, findBatch } from "../store/batches.ts";
import { noteBytes } from "../store/openai-files.ts";
import { pagesOf } from "./results.ts";

/*
 * The output file and the error file of a batch, as OpenAI's Batch API has them. Neither is stored: they are made
 * of the results as they are read, in the order of the input. Each line of the input that has ended stands in one of the
 * two. Their ids say which batch they belong to.
 */

export type ResultFile = { batch: Batch; part: ResultPart };

const PREFIX = { output: "file-output-", errors: "file-errors-" } as const;

export function resultFileId({ id }: Pick<Batch, "id">, part: ResultPart): string {
  return `${PREFIX[part]}${id}`;
}

/** The file of results with an id, also while its batch runs; `undefined` where there is none, or none any more. */
export async function findResultFile(ctx: Context, id: string): Promise<ResultFile | undefined> {
  const part = RESULT_PARTS.find((one) => id.startsWith(PREFIX[one]));
  if (!part) return undefined;
  const batch = await findBatch(ctx.db, id.slice(PREFIX[part].length));
  return batch && isThere(batch, part, ctx.clock.now()) ? { batch, part } : undefined;
}

/** The files that a batch has. */
export function resultParts(batch: Batch, now: number): ResultPart[] {
  return RESULT_PARTS.filter((part) => isThere(batch, part, now));
}

function isThere(batch: Batch, part: ResultPart, now: number): boolean {
  const { openAi, inputFile, completed, failed, cancelled } = batch;
  if (inputFile === null || openAi?.gone?.includes(part)) return false;
  if ((expiryOf(batch) ?? Infinity) <= now) return false;
  return part === "output" ? completed > 0 : failed + cancelled > 0;
}

/** When the files of a batch are gone. */
export function expiryOf({ openAi, completedAt }: Batch): number | null {
  return completedAt === null || openAi?.outputSeconds === undefined
    ? null
    : completedAt + openAi.outputSeconds * 1000;
}

export async function* readResultFile(
  ctx: Context,
  { batch, part }: ResultFile,
): AsyncGenerator<string> {
  const hasExpired = batch.expiredAt !== null;
  const pages = pagesOf(ctx, batch, part === "output" ? "completed" : "unanswered");
  for await (const rows of pages) yield rows.map((row) => resultLine(row, hasExpired)).join("");
}

/** Changes with the content; `null` while the batch has not ended. */
export function resultFileTag({ batch, part }: ResultFile): string | null {
  const { seq, run, completed, failed, cancelled, completedAt } = batch;
  if (completedAt === null) return null;
  const state = [seq, run, completed, failed, cancelled, completedAt, part, "openai"];
  return sha256Hex(JSON.stringify(state)).slice(0, 32);
}

/** How long a file is. It is counted once it cannot change any more; while its batch runs, 0. */
export async function sizeOfResultFile(ctx: Context, file: ResultFile): Promise<number> {
  const { batch, part } = file;
  const known = batch.openAi?.bytes?.[part];
  if (known !== undefined) return known;
  const tag = resultFileTag(file);
  if (tag === null) return 0;
  const counts = countsOf.get(ctx) ?? new BoundedMap<string, number>(MOST_COUNTS);
  countsOf.set(ctx, counts);
  const bytes = counts.get(tag) ?? (await count(ctx, file));
  counts.set(tag, bytes);
  if (batch.openAi) await ctx.writer.write({ noted: noteBytes(batch, part, bytes) });
  return bytes;
}

/** Lists ask for the same lengths again and again, and batches of `/api/v1` have no place for them. */
const countsOf = new WeakMap<Context, BoundedMap<string, number>>();
const MOST_COUNTS = 10_000;

async function count(ctx: Context, file: ResultFile): Promise<number> {
  let bytes = 0;
  for await (const text of readResultFile(ctx, file)) bytes += Buffer.byteLength(text);
  return bytes;
}
