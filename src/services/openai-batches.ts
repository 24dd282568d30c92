import type { Context } from "../context.ts";
import { openAiStatusOf } from "../domain/openai-batch.ts";
import type { Endpoint } from "../domain/request.ts";
import { AppError } from "../errors.ts";
import { newId, timeOfId } from "../lib/ids.ts";
import { type Batch, findBatch, listBatches } from "../store/batches.ts";
import { findFile, type StoredFile } from "../store/files.ts";
import { cancelBatch } from "./batch-moves.ts";
import { requireBudget } from "./budgets.ts";
import type { Caller } from "./caller.ts";
import { createBatch } from "./create-batch.ts";
import { noSuchFile, purposeOf, RESULT_PURPOSE } from "./openai-files.ts";
import { badParam, refusal } from "./openai-refusal.ts";
import { findResultFile } from "./openai-results.ts";

export type OpenAiBatchInput = {
  inputFile: string;
  endpoint: Endpoint;
  completionWindow: string;
  windowMs: number;
  metadata: Record<string, unknown> | undefined;
  outputSeconds: number | undefined;
  idempotencyKey: string | undefined;
};

/** Creates a batch as OpenAI's Batch API does: its file is checked later, and then it starts by itself. */
export async function createOpenAiBatch(
  ctx: Context,
  caller: Pick<Caller, "key">,
  input: OpenAiBatchInput,
): Promise<Batch> {
  const { inputFile, endpoint, completionWindow, windowMs, outputSeconds } = input;
  const file = await requireInput(ctx, inputFile);
  await requireBudget(ctx, caller.key);
  const { id } = await createBatch(ctx, caller, {
    ...(input.idempotencyKey === undefined ? {} : { idempotencyKey: input.idempotencyKey }),
    id: newId(ctx, "batch").replace("-", "_"),
    name: file.name,
    inputFile,
    metadata: input.metadata,
    openAi: {
      endpoint,
      completionWindow,
      ...(outputSeconds === undefined ? {} : { outputSeconds }),
    },
    deadlineAt: ctx.clock.now() + windowMs,
  });
  return requireOpenAiBatch(ctx, id);
}

/** The file of that id, if it may be the input of a batch. */
async function requireInput(ctx: Context, id: string): Promise<StoredFile> {
  const file = await findFile(ctx.db, id, ctx.clock.now());
  const purpose = file ? purposeOf(file) : (await findResultFile(ctx, id)) && RESULT_PURPOSE;
  if (purpose === undefined) throw noSuchFile(id, "input_file_id");
  if (file && purpose === "batch") return file;
  throw badParam(
    "input_file_id",
    `File ${id} has the purpose '${purpose}'; the input of a batch has the purpose 'batch'.`,
  );
}

/** A batch that was made from a file, through either API. Throws `BATCH_NOT_FOUND` in OpenAI's words. */
export async function requireOpenAiBatch(ctx: Context, id: string, param = "id"): Promise<Batch> {
  const batch = await findBatch(ctx.db, id);
  if (batch && batch.inputFile !== null) return batch;
  throw refusal("BATCH_NOT_FOUND", `No batch found with id '${id.slice(0, 200)}'.`, { param });
}

/** One page of such batches, the newest first. `after` is the id of the last one of the previous page. */
export async function listOpenAiBatches(
  ctx: Context,
  { after, limit }: { after: string | undefined; limit: number },
): Promise<{ batches: Batch[]; hasMore: boolean }> {
  const place = after === undefined ? undefined : await placeOf(ctx, after);
  const found = await listBatches(
    ctx.reads.db,
    { isOfFile: true },
    {
      sort: "createdAt",
      order: "desc",
      limit: limit + 1,
      offset: 0,
      after: place,
    },
  );
  return { batches: found.slice(0, limit), hasMore: limit > 0 && found.length > limit };
}

/** How much later than its id a batch may be created. */
const LATER_MS = 1000;

/**
 * The place of a batch in the list. One that was deleted since the previous page still has one, known to the second, so
 * that others of that second may be listed twice.
 */
async function placeOf(ctx: Context, id: string): Promise<[createdAt: number, seq: number]> {
  const batch = await findBatch(ctx.db, id);
  const madeAt = timeOfId(id.replace("_", "-"), "batch");
  if (!batch && madeAt !== undefined) return [madeAt + LATER_MS, 0];
  const { createdAt, seq } = await requireOpenAiBatch(ctx, id, "after");
  return [createdAt, seq];
}

/** Cancels a batch. A batch that is already being cancelled stays as it is. */
export async function cancelOpenAiBatch(ctx: Context, id: string): Promise<Batch> {
  const batch = await requireOpenAiBatch(ctx, id);
  try {
    return await cancelBatch(ctx, batch.id);
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== "BATCH_FINISHED") throw error;
    const now = await requireOpenAiBatch(ctx, id);
    const status = openAiStatusOf(now);
    if (status === "cancelling" || status === "cancelled") return now;
    throw refusal("BATCH_FINISHED", `Cannot cancel a batch with status '${status}'.`);
  }
}
