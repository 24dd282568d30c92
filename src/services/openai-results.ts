import type { Context } from "../context.ts";
import { RESULT_PARTS, type ResultPart } from "../domain/openai-batch.ts";
import { resultLine } from "../domain/openai-result.ts";
import { BoundedMap } from "../lib/bounded-map.ts";
import { escapeLineEnds } from "../lib/json.ts";
import { type Batch, findBatch } from "../store/batches.ts";
import { noteSize } from "../store/openai-files.ts";
import { stateOfResults, tagOf } from "./results-tag.ts";
import { pagesOf } from "./results.ts";

/*
 * The output file and the error file of a batch in OpenAI's Batch API. Neither is stored: they are generated from the
 * results when they are read, in the order of the input. Each ended line of the input is in one of the two. Their ids
 * contain that of the batch.
 */

export type ResultFile = { batch: Batch; part: ResultPart };

const PREFIX = { output: "file-output-", errors: "file-errors-" } as const;

export function resultFileId({ id }: Pick<Batch, "id">, part: ResultPart): string {
  return `${PREFIX[part]}${id}`;
}

/** The result file with an id, also while its batch is running; `undefined` if there is none, or no longer. */
export async function findResultFile(ctx: Context, id: string): Promise<ResultFile | undefined> {
  const named = await findNamedResult(ctx, id);
  return named && isThere(named.batch, named.part, ctx.clock.now()) ? named : undefined;
}

/** The batch and the part that an id names, whether or not there is such a file. */
export async function findNamedResult(ctx: Context, id: string): Promise<ResultFile | undefined> {
  const part = RESULT_PARTS.find((one) => id.startsWith(PREFIX[one]));
  if (!part) return undefined;
  const batch = await findBatch(ctx.db, id.slice(PREFIX[part].length));
  return batch && { batch, part };
}

/** The result files of a batch. */
export function resultParts(batch: Batch, now: number): ResultPart[] {
  return RESULT_PARTS.filter((part) => isThere(batch, part, now));
}

function isThere(batch: Batch, part: ResultPart, now: number): boolean {
  const { openAi, inputFile, startedAt, completedAt, completed, failed, cancelled } = batch;
  if (inputFile === null || openAi?.gone?.includes(part)) return false;
  if ((expiryOf(batch) ?? Infinity) <= now) return false;
  // A client that follows a running batch can begin before its first answer.
  if (startedAt !== null && completedAt === null) return true;
  return part === "output" ? completed > 0 : failed + cancelled > 0;
}

/** When the files of a batch expire. */
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
  for await (const rows of pages)
    yield escapeLineEnds(rows.map((row) => resultLine(row, hasExpired)).join(""));
}

/** A tag that changes with the content; `null` while it may change at any time. */
export function resultFileTag({ batch, part }: ResultFile): string | null {
  const state = stateOfResults(batch);
  return state && tagOf([...state, part, "openai"]);
}

/** The size of a file. It is counted once it cannot change any more; while its batch is running, 0. */
export async function sizeOfResultFile(ctx: Context, file: ResultFile): Promise<number> {
  const { batch, part } = file;
  const tag = resultFileTag(file);
  if (tag === null) return 0;
  const known = knownSize(file);
  if (known !== undefined) return known;
  const counts = countsOf.get(ctx) ?? new BoundedMap<string, number>(MOST_COUNTS);
  countsOf.set(ctx, counts);
  const bytes = counts.get(tag) ?? (await count(ctx, file));
  counts.set(tag, bytes);
  if (batch.openAi) await ctx.writer.write({ noted: noteSize(batch, part, bytes) });
  return bytes;
}

/** The size that was stored for the present content of a file. */
export function knownSize({ batch, part }: ResultFile): number | undefined {
  const stored = batch.openAi?.sizes?.[part];
  const isPresent = stored?.run === batch.run && stored.updatedAt === batch.updatedAt;
  return isPresent ? stored.bytes : undefined;
}

/** Lengths of result files, which lists need again and again. The tables have no column for them. */
const countsOf = new WeakMap<Context, BoundedMap<string, number>>();
const MOST_COUNTS = 10_000;

async function count(ctx: Context, file: ResultFile): Promise<number> {
  let bytes = 0;
  for await (const text of readResultFile(ctx, file)) bytes += Buffer.byteLength(text);
  return bytes;
}
