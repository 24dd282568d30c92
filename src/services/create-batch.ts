import type { Context } from "../context.ts";
import { createComposer } from "../domain/compose.ts";
import { parseCondition } from "../domain/condition.ts";
import type { BatchConfig } from "../domain/task-input.ts";
import { AppError, invalid } from "../errors.ts";
import { newId } from "../lib/ids.ts";
import { oneByOne } from "../lib/one-by-one.ts";
import { type Batch, findBatch } from "../store/batches.ts";
import { findOwnDraft } from "../store/drafts.ts";
import type { Idempotency } from "../store/idempotency.ts";
import type { NewBatch } from "../store/new-batch.ts";
import { readRows } from "../store/rows.ts";
import { ALWAYS, both } from "../store/which.ts";
import { requireAnswerFields } from "./answer-fields.ts";
import { readBaseAnswers, requireBase } from "./base-answers.ts";
import { type Attempt, type BatchDraft, type Given, toNewBatch } from "./batch-draft.ts";
import { type Opened, openInput, requireOneInput, withRows } from "./batch-input.ts";
import { type InputBatch, requireInputBatch } from "./batch-rows.ts";
import { getBatch } from "./batches.ts";
import type { Caller } from "./caller.ts";
import { requireDiskSpace } from "./draft-writer.ts";
import { discardDraft } from "./drafts.ts";
import { findOriginal, idempotencyOf, settingsOf, withoutDefaults } from "./idempotency.ts";
import { requireSupportedModel } from "./models.ts";
import { requireOutputPath } from "./output-path.ts";
import type { RowContext, RowScope } from "./prepare-row.ts";
import { addWaiting, ingest, type Published } from "./publish-batch.ts";
import { NamesTaken } from "./row-issues.ts";
import { timesOf } from "./time.ts";

export type CreatedBatch = {
  id: string;
  status: Batch["status"];
  taskCount: number;
  /** How many rows reuse an answer of `baseBatch`; absent without a `baseBatch`. */
  reused?: number;
  createdAt: number;
  isReplay: boolean;
};

/**
 * Creates a batch with all its tasks, or nothing. If its `inputBatch` has not ended, it is created without tasks, and
 * `makeChains` adds them later.
 */
export async function createBatch(
  ctx: Context,
  caller: Pick<Caller, "key">,
  input: BatchDraft,
  attempt: Attempt = { draft: "", when: ALWAYS },
): Promise<CreatedBatch> {
  const { idempotencyKey, ...payload } = input;
  const idempotency =
    idempotencyKey === undefined
      ? null
      : await idempotencyOf(ctx, caller, idempotencyKey, ["batch", meaningOf(payload)]);
  async function createOnce(): Promise<CreatedBatch> {
    const replay = await findReplay(ctx, idempotency);
    if (replay) return replay;
    try {
      return await createNew(ctx, caller, input, { ...attempt, idempotency });
    } catch (error) {
      const raced = await findRaced(ctx, idempotency, error);
      if (raced) return raced;
      throw error;
    }
  }
  if (!idempotency) return createOnce();
  // A client that got no answer in time asks again while its rows are still being read.
  return oneByOne(ctx.creating, `${idempotency.apiKey} ${idempotency.key}`, createOnce);
}

const RACED_MS = 50;
const MOST_LOOKS = 20;

/**
 * Finds the batch of an equal concurrent request to another process that was faster, and therefore has the ids of this
 * request. Its rows have the ids before the batch is published, so this waits for it.
 */
async function findRaced(
  ctx: Context,
  idempotency: Idempotency | null,
  error: unknown,
): Promise<CreatedBatch | undefined> {
  if (!idempotency || !(error instanceof AppError)) return undefined;
  const isTaken = error.code === "TASK_ALREADY_EXISTS" || error instanceof NamesTaken;
  for (let looks = 1; ; looks++) {
    const raced = await findReplay(ctx, idempotency);
    if (raced || !isTaken || looks >= MOST_LOOKS) return raced;
    await ctx.clock.sleep(RACED_MS);
  }
}

async function createNew(
  ctx: Context,
  caller: Pick<Caller, "key">,
  input: BatchDraft,
  { draft, when, held, idempotency }: Attempt & { idempotency: Idempotency | null },
): Promise<CreatedBatch> {
  const config = input.config ?? {};
  if (config.model !== undefined) await requireSupportedModel(ctx, config.model);
  await requireAnswerFields(ctx, config, "config.");
  if (input.outputFile !== undefined) requireOutputPath(ctx, input.outputFile, input.inputFile);
  const times = timesOf(ctx);
  const id = input.id ?? newId(ctx, "batch");
  if (input.id !== undefined && !held) await requireFree(ctx, id);
  requireOneInput(input);
  const { baseBatch, inputBatch, scopedIds: isScoped = false } = input;
  const chained =
    inputBatch === undefined
      ? null
      : await requireInputBatch(ctx, inputBatch, { batchId: id, config });
  const given = { id, ...times, draft, when, held, idempotency };
  if (chained && !chained.hasEnded && !held) {
    if (baseBatch !== undefined) await requireBase(ctx, baseBatch, id);
    return createWaiting(ctx, caller, input, chained, given);
  }
  if (input.openAi && !held) return createUnchecked(ctx, caller, input, given);
  const base = baseBatch === undefined ? null : await readBaseAnswers(ctx, baseBatch, id);
  const rows = rowContext(ctx, {
    batchId: id,
    config,
    scope: { ids: isScoped, keys: isScoped },
    base,
    openAi: input.openAi ?? null,
  });
  const opened = await openInput(ctx, caller, input, chained, rows);
  try {
    const whenReady = both(when, opened.when ?? ALWAYS);
    const { seenColumns, scope } = rows;
    return await createFrom(
      ctx,
      caller,
      input,
      { ...opened, seenColumns, scope },
      { ...given, when: whenReady },
    );
  } finally {
    await opened.close?.();
  }
}

/** The normalised content of a request, so that explicit and implicit defaults are equal. */
function meaningOf({
  id,
  name,
  deadlineAt: _deadline,
  ...payload
}: Omit<BatchDraft, "idempotencyKey">): object {
  return {
    ...payload,
    // Clients of OpenAI's API do not choose the id.
    ...(payload.openAi || id === undefined ? {} : { id }),
    ...(name === id ? {} : { name }),
    config: settingsOf(payload.config),
    ...(payload.tasks && {
      tasks: payload.tasks.map((task) => withoutDefaults(task, payload.config)),
    }),
  };
}

export function rowContext(
  ctx: Context,
  given: Pick<RowContext, "batchId" | "config" | "scope" | "base" | "openAi">,
): RowContext {
  const { config } = given;
  const { defaultModel } = ctx.config;
  const onlyIf = config.onlyIf === undefined ? null : parseCondition(config.onlyIf);
  return {
    ...given,
    compose: createComposer(config, defaultModel),
    onlyIf,
    defaultModel,
    seenColumns: new Set(),
  };
}

async function createFrom(
  ctx: Context,
  caller: Pick<Caller, "key">,
  input: BatchDraft,
  { seenColumns, scope, ...opened }: Opened & Pick<RowContext, "seenColumns" | "scope">,
  given: Given,
): Promise<CreatedBatch> {
  if (opened.bytes) await requireDiskSpace(ctx, "the rows of the file", opened.bytes);
  const batch = toNewBatch(ctx, caller, input, null, given);
  const idPrefix = scope.ids ? `${given.id}.` : "";
  const untilTaken = await mayScope(ctx, input, opened, scope, given);
  ctx.drafts.add(batch.draft);
  const published = await ingest(ctx, batch, {
    opened,
    options: { untilTaken, idPrefix },
    found(rows) {
      requireColumns(input.config ?? {}, seenColumns);
      return { columns: opened.columns(), input: withRows(opened.found(), rows, idPrefix) };
    },
    ...given,
  }).finally(() => ctx.drafts.delete(batch.draft));
  if (published === "taken") {
    scope.ids = true;
    return createFrom(ctx, caller, input, { ...opened, seenColumns, scope }, given);
  }
  return published ? created(ctx, batch, published) : notPublished(ctx, batch, given);
}

/**
 * Many files number their rows from 1, so if an id of a file is taken by another batch's task, the ids become unique
 * only within the batch, unless `scopedIds` is false. Tasks that named the batch before it existed are found by their
 * full ids.
 */
async function mayScope(
  ctx: Context,
  { scopedIds }: BatchDraft,
  { kind }: Opened,
  { ids }: RowScope,
  { id }: Given,
): Promise<boolean> {
  return scopedIds !== false && kind === "file" && !ids && !(await findBatch(ctx.db, id));
}

/** Some rows may have nothing to attach, but a column that no row has is misspelled. */
function requireColumns({ attachments }: BatchConfig, seen: ReadonlySet<string>): void {
  const issues = (attachments ?? []).flatMap(({ column }, i) =>
    seen.has(column)
      ? []
      : [{ path: `config.attachments.${i}.column`, message: `no row has a value for ${column}` }],
  );
  if (issues.length > 0) throw invalid(issues);
}

/** Creates a batch that waits for another one, and has no tasks until that one has ended. */
async function createWaiting(
  ctx: Context,
  caller: Pick<Caller, "key">,
  input: BatchDraft,
  { table }: InputBatch,
  given: Given,
): Promise<CreatedBatch> {
  if (await findBatch(ctx.db, given.id))
    throw new AppError(
      "BATCH_ALREADY_EXISTS",
      `Batch ${given.id} has tasks already, and cannot wait for the rows of ${input.inputBatch}; choose another id`,
    );
  const batch = toNewBatch(ctx, caller, input, "waiting", given);
  const found = { columns: table?.header ?? null, input: null };
  const published = await addWaiting(ctx, batch, found, given.when);
  return published ? created(ctx, batch, published) : notPublished(ctx, batch, given);
}

/** Creates a batch whose file `makeChains` reads later. */
async function createUnchecked(
  ctx: Context,
  caller: Pick<Caller, "key">,
  input: BatchDraft,
  given: Given,
): Promise<CreatedBatch> {
  const batch = toNewBatch(ctx, caller, input, "checking", given);
  const published = await addWaiting(ctx, batch, { columns: null, input: null }, given.when);
  return published ? created(ctx, batch, published) : notPublished(ctx, batch, given);
}

function created(
  ctx: Context,
  { id, now, baseBatch }: NewBatch,
  { total: taskCount, reused }: Published,
): CreatedBatch {
  ctx.signals.emit("events", undefined);
  const batch = { id, status: "pending", taskCount, createdAt: now, isReplay: false } as const;
  return baseBatch === null ? batch : { ...batch, reused };
}

/** Removes what was written. Returns the batch that an equal request has created meanwhile, or throws. */
async function notPublished(ctx: Context, batch: NewBatch, { held }: Given): Promise<CreatedBatch> {
  const { draft, id, inputBatch, idempotency } = batch;
  const isOwn = (await readRows(ctx.client, findOwnDraft(batch))).length > 0;
  await discardDraft(ctx, draft);
  const raced = await findReplay(ctx, idempotency);
  if (raced) return raced;
  if (!held) await requireFree(ctx, id);
  if (!isOwn)
    throw new AppError(
      "SERVICE_UNAVAILABLE",
      `Another process has removed the rows of batch ${id}, because this one stood still while it wrote them; try again`,
    );
  throw new AppError(
    "BATCH_RUNNING",
    `Tasks of batch ${inputBatch ?? id} changed while ${id} was being created; try again`,
  );
}

async function findReplay(
  ctx: Context,
  idempotency: Idempotency | null,
): Promise<CreatedBatch | undefined> {
  const original = await findOriginal(ctx, idempotency, "batch");
  if (original === undefined) return undefined;
  const { id, status, total, baseBatch, reused, createdAt } = await getBatch(ctx, original);
  const batch = { id, status, taskCount: total, createdAt, isReplay: true };
  return baseBatch === null ? batch : { ...batch, reused };
}

async function requireFree(ctx: Context, id: string): Promise<void> {
  const batch = await findBatch(ctx.db, id);
  if (batch && !(batch.isBare && batch.status === "pending"))
    throw new AppError("BATCH_ALREADY_EXISTS", `There is a batch with id ${id} already`);
}
