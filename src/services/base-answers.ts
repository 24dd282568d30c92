import type { Context } from "../context.ts";
import { baseKeyOf, keyOfStored } from "../domain/cache-key.ts";
import { standInOf } from "../domain/provider.ts";
import { AppError, invalid } from "../errors.ts";
import { createPauses, nextRound } from "../lib/clock.ts";
import { createHashTable, type Place } from "../lib/hash-table.ts";
import { type BaseAnswer, baseAnswers } from "../store/base-answers.ts";
import { type Batch, findBatch } from "../store/batches.ts";
import { readInHalves, readRows } from "../store/rows.ts";

/** The most answers of a base batch; an entry takes up to 84 bytes. */
const MOST_ANSWERS = 5_000_000;
const PAGE = 500;

/** Finds the answer to a request, by its key and the model of its `escalateTo`. */
export type BaseAnswers = (key: string, escalateTo: string | null) => Place | null;

/**
 * Reads which requests a batch has answered so far, so that equal requests of another batch can reuse the answers.
 * Answers are found by the hashes of their requests, which need not have been stored.
 */
export async function readBaseAnswers(
  ctx: Context,
  baseBatch: string,
  id: string,
): Promise<BaseAnswers> {
  const base = await requireBase(ctx, baseBatch, id);
  if (base.completed > MOST_ANSWERS)
    throw invalid([
      {
        path: "baseBatch",
        message: `${baseBatch} has ${base.completed} answers; at most ${MOST_ANSWERS} can be taken over`,
      },
    ]);
  const places = createHashTable();
  const pauses = createPauses(ctx.clock);
  for await (const answer of answersOf(ctx, base.seq)) {
    if (pauses.isDue()) await pauses.take();
    const key = keyOfStored(answer);
    if (key !== null) places.set(baseKeyOf(key, answer.escalatedTo), answer);
  }
  return (key, escalateTo) =>
    (escalateTo === null ? undefined : places.get(baseKeyOf(key, escalateTo))) ??
    places.get(key) ??
    null;
}

/** Throws if there is no such batch, or it is the one that is being created. */
export async function requireBase(ctx: Context, baseBatch: string, id: string): Promise<Batch> {
  if (baseBatch === id)
    throw invalid([{ path: "baseBatch", message: "a batch cannot take over its own answers" }]);
  const base = await findBatch(ctx.db, baseBatch);
  if (!base)
    throw new AppError("BATCH_NOT_FOUND", `There is no batch with id ${baseBatch} (baseBatch)`);
  return base;
}

async function* answersOf(ctx: Context, batch: number): AsyncGenerator<BaseAnswer> {
  const standIn = standInOf(ctx.config);
  for (let after = -1; ; await nextRound(ctx.clock)) {
    const page = await readInHalves(PAGE, (limit, skip) =>
      readRows(ctx.longReads.client, baseAnswers(batch, standIn, after, limit, skip)),
    );
    yield* page;
    const last = page.at(-1);
    if (!last) return;
    after = last.position;
  }
}
