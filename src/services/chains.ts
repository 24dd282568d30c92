import { getLogger } from "@logtape/logtape";

import type { Context } from "../context.ts";
import { type ChainError, isWaitingBatch } from "../domain/chain.ts";
import { BatchConfig } from "../domain/task-input.ts";
import { AppError } from "../errors.ts";
import { problemsIn } from "../lib/zod-issues.ts";
import { type Batch, findBatch } from "../store/batches.ts";
import { failHeld, findDue, type Held, isHeld, takeDue } from "../store/chains.ts";
import { readRows } from "../store/rows.ts";
import { ALWAYS, hasRow } from "../store/which.ts";
import { createBatch } from "./create-batch.ts";
import { discardDrafts, hasDrafts } from "./drafts.ts";
import { whyKeyIsInvalid } from "./key-validity.ts";

/** How many batches are read at a time. */
const PAGE = 100;
/** The longest stored reason. */
const MOST_CHARACTERS = 2000;
const MOST_ISSUES = 10;
/** The most issues that are stored for a file, which OpenAI's Batch API lists for a failed batch. */
const MOST_LINES = 100;

/**
 * Makes the rows of waiting batches whose input batch has ended, one after the other, and starts those that were
 * requested to start. It may be repeated after a crash at any point: what was written is removed, and the batch waits
 * until the commit that gives it all its rows. An error of this process does not hold up the other batches; it is
 * thrown after all were tried.
 */
export async function makeChains(ctx: Context, node: number): Promise<void> {
  const errors: unknown[] = [];
  for (const { seq } of await readRows(ctx.reads.client, findDue(node, PAGE)))
    try {
      await makeOne(ctx, { seq, node });
    } catch (error) {
      errors.push(error);
    }
  if (errors.length > 0) throw errors[0];
}

async function makeOne(ctx: Context, held: Held): Promise<void> {
  const { taken } = await ctx.writer.write({ taken: takeDue(held) });
  const [row] = taken.rows;
  const batch = row && (await findBatch(ctx.db, row.id));
  if (!batch || batch.seq !== held.seq) return;
  // Rows of an earlier attempt have the same ids as the new ones.
  const draft = `chain-${held.seq}-`;
  try {
    await requireMakable(ctx, batch);
    // Those of another node that has taken the batch over since stay.
    await discardDrafts(ctx, draft, hasRow("batches p", isHeld(held)));
    const attempt = { draft, when: ALWAYS, held };
    await createBatch(ctx, { key: batch.apiKey ?? 0 }, draftOf(batch), attempt);
  } catch (error) {
    if (!(await isStillHeld(ctx, batch, held))) return;
    const why = whyUnmakable(error, batch.openAi ? MOST_LINES : MOST_ISSUES);
    // A process that was declared dead may still write rows with the same ids.
    if (why === undefined || (await hasDrafts(ctx, draft))) throw error;
    if (why !== null) await fail(ctx, batch, held, why);
  }
  ctx.signals.emit("batch", undefined);
}

async function requireMakable(ctx: Context, batch: Batch): Promise<void> {
  const { id, payer, total, chainError } = batch;
  if (chainError) throw new ChainFailure(chainError);
  if (total > 0)
    throw new AppError(
      "BATCH_ALREADY_EXISTS",
      `Batch ${id} has got tasks while it waited, so that it cannot take in the rows of another`,
    );
  const refusal = payer === null ? undefined : await whyKeyIsInvalid(ctx, payer, "executed with");
  if (refusal !== undefined) throw new AppError("FORBIDDEN", refusal);
}

/** A failure that was found earlier. */
class ChainFailure extends Error {
  override readonly name = "ChainFailure";
  readonly why: ChainError;

  constructor(why: ChainError) {
    super(why.message);
    this.why = why;
  }
}

/** The settings that the batch was created with. */
function draftOf(batch: Batch) {
  const config = BatchConfig.safeParse(batch.config);
  if (!config.success)
    throw new AppError(
      "VALIDATION_ERROR",
      `config is none that this version knows: ${problemsIn(config.error.issues)}`,
    );
  return {
    id: batch.id,
    name: batch.name,
    description: batch.description ?? undefined,
    inputBatch: batch.inputBatch ?? undefined,
    ...(batch.openAi
      ? {
          inputFile: batch.inputFile ?? undefined,
          openAi: batch.openAi,
          deadlineAt: batch.deadlineAt ?? undefined,
        }
      : {}),
    outputFile: batch.outputFile ?? undefined,
    baseBatch: batch.baseBatch ?? undefined,
    metadata: batch.metadata ?? undefined,
    config: config.data,
  };
}

/** Whether it was neither cancelled, nor deleted, nor taken over by another node meanwhile. */
async function isStillHeld(ctx: Context, { id }: Batch, { seq, node }: Held): Promise<boolean> {
  const now = await findBatch(ctx.db, id);
  return now?.seq === seq && isWaitingBatch(now) && now.chainOwner === node;
}

/**
 * Why rows cannot be made; `null` if a retry may succeed because tasks changed meanwhile, `undefined` if the rows are
 * not at fault.
 */
function whyUnmakable(error: unknown, mostIssues: number): ChainError | null | undefined {
  if (error instanceof ChainFailure) return error.why;
  if (!(error instanceof AppError) || error.code === "SERVICE_UNAVAILABLE") return undefined;
  const { code, details } = error;
  if (code === "BATCH_RUNNING") return null;
  const message = error.message.slice(0, MOST_CHARACTERS);
  return {
    code,
    message,
    ...(Object.keys(details).length > 0 ? { details: shortened(details, mostIssues) } : {}),
  };
}

/** Keeps only the first issues, because every list of batches shows them. */
function shortened(details: Record<string, unknown>, most: number): object {
  return Object.fromEntries(
    Object.entries(details).map(([name, value]) => [
      name,
      Array.isArray(value) ? value.slice(0, most) : value,
    ]),
  );
}

async function fail(ctx: Context, batch: Batch, held: Held, why: ChainError): Promise<void> {
  const { failed } = await ctx.writer.write(failHeld(held, batch.id, why, ctx.clock.now()));
  if (failed.changed === 0) return;
  getLogger(["gptrunner", "chains"]).warning(
    "Batch {batch} has failed, since its rows could not be made from {input}: {message}",
    { batch: batch.id, input: batch.inputBatch ?? batch.inputFile, message: why.message },
  );
  ctx.signals.emit("events", undefined);
}
