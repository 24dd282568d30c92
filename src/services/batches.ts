import type { Context } from "../context.ts";
import { createComposer } from "../domain/compose.ts";
import { parseCondition } from "../domain/condition.ts";
import type { InputFound } from "../domain/input-found.ts";
import type { BatchConfig, TaskInput } from "../domain/task-input.ts";
import { AppError, invalid } from "../errors.ts";
import { newId, randomBase32 } from "../lib/ids.ts";
import * as store from "../store/batches.ts";
import { type NewBatch, publishDraft } from "../store/ingest.ts";
import { readStock } from "../store/stock.ts";
import { ALWAYS, both, type Which } from "../store/which.ts";
import { requireAnswerFields } from "./answer-fields.ts";
import { readBaseAnswers } from "./base-answers.ts";
import { openInputBatch } from "./batch-rows.ts";
import type { Caller } from "./caller.ts";
import { discardDraft } from "./drafts.ts";
import { findOriginal, idempotencyOf, withoutDefaults } from "./idempotency.ts";
import { type Checked, checkRows, requireDiskSpace, writeRows } from "./ingest.ts";
import { openInputFile } from "./input-files.ts";
import type { BatchInput } from "./input-text.ts";
import { isUrl, shownUrl } from "./input-url.ts";
import { requireSupportedModel } from "./models.ts";
import { requireOutputPath } from "./output-path.ts";
import { type PreparedRow, prepareTask, type RowContext, type RowSource } from "./prepare-row.ts";
import type { InputKind } from "./row-issues.ts";
import { writeStored } from "./stored-bytes.ts";

export type BatchDraft = {
  id?: string | undefined;
  name?: string | undefined;
  description?: string | undefined;
  tasks?: TaskInput[] | undefined;
  inputFile?: string | undefined;
  inputBatch?: string | undefined;
  /** Ids and idempotency keys of the rows hold within the batch alone. */
  scopedIds?: boolean | undefined;
  outputFile?: string | undefined;
  metadata?: Record<string, unknown> | undefined;
  /** The batch whose answers rows take over that ask for the same. */
  baseBatch?: string | undefined;
  config?: BatchConfig | undefined;
  idempotencyKey?: string | undefined;
};

export type CreatedBatch = {
  id: string;
  status: store.Batch["status"];
  taskCount: number;
  /** Rows that take over an answer of `baseBatch`; absent where none is given. */
  reused?: number;
  createdAt: number;
  isReplay: boolean;
};

/** For a batch that may be created by several processes, or again after a crash. */
export type Attempt = {
  /** What the name of its draft begins with, for `discardDrafts`. */
  draft: string;
  /** It is created only if this holds when its rows are all there. */
  when: Which;
};

/** Creates a batch with all its tasks, or nothing. */
export async function createBatch(
  ctx: Context,
  caller: Pick<Caller, "key">,
  input: BatchDraft,
  { draft, when }: Attempt = { draft: "", when: ALWAYS },
): Promise<CreatedBatch> {
  const { idempotencyKey, ...payload } = input;
  const meant = {
    ...payload,
    ...(payload.config && { config: withoutDefaults(payload.config) }),
    ...(payload.tasks && {
      tasks: payload.tasks.map((task) => withoutDefaults(task, payload.config)),
    }),
  };
  const idempotency = idempotencyOf(caller, idempotencyKey, ["batch", meant]);
  const replay = await findReplay(ctx, idempotency);
  if (replay) return replay;
  const config = input.config ?? {};
  if (config.model !== undefined) await requireSupportedModel(ctx, config.model);
  await requireAnswerFields(ctx, config, "config.");
  if (input.outputFile !== undefined) requireOutputPath(ctx, input.outputFile, input.inputFile);
  const now = ctx.clock.now();
  const id = input.id ?? newId(ctx, "batch");
  if (input.id !== undefined) await requireFree(ctx, id);
  const { defaultModel } = ctx.config;
  const compose = createComposer(config, defaultModel);
  const onlyIf = config.onlyIf === undefined ? null : parseCondition(config.onlyIf);
  const { baseBatch, scopedIds: isScoped = false } = input;
  const base = baseBatch === undefined ? null : await readBaseAnswers(ctx, baseBatch, id);
  const rows = { batchId: id, config, compose, onlyIf, defaultModel, isScoped, base };
  const opened = await openInput(ctx, caller, input, rows);
  try {
    const given = { id, now, draft, when: both(when, opened.when ?? ALWAYS), idempotency };
    return await createFrom(ctx, caller, input, opened, given);
  } finally {
    await opened.close?.();
  }
}

/** `when`: as long as its rows are those that were read. */
type Opened = BatchInput & { kind: InputKind; when?: Which };

type Given = Pick<NewBatch, "id" | "now" | "idempotency"> & Pick<Attempt, "draft" | "when">;

async function createFrom(
  ctx: Context,
  caller: Pick<Caller, "key">,
  input: BatchDraft,
  { kind, source, columns, found }: Opened,
  { id, now, draft, when, idempotency }: Given,
): Promise<CreatedBatch> {
  const config = input.config ?? {};
  const checked = await checkRows(ctx, { id, apiKey: caller.key }, kind, source);
  await requireDiskSpace(ctx, checked);
  const batch: NewBatch = {
    draft: `~${draft}${randomBase32(ctx.random, 16)}`,
    id,
    name: input.name ?? id,
    description: input.description ?? null,
    apiKey: caller.key,
    owner: ctx.live.node,
    inputFile: input.inputFile === undefined ? null : shownInput(input.inputFile),
    inputBatch: input.inputBatch ?? null,
    outputFile: input.outputFile ?? null,
    columns: columns(),
    input: withRows(found(), checked.rows),
    baseBatch: input.baseBatch ?? null,
    config,
    metadata: input.metadata ?? null,
    maxConcurrency: config.maxConcurrency ?? null,
    maxCostUsd: config.maxCostUsd ?? null,
    idempotency,
    trace: ctx.tracing.current(),
    now,
  };
  ctx.drafts.add(batch.draft);
  const published = await ingest(ctx, batch, { kind, source, checked, when }).finally(() =>
    ctx.drafts.delete(batch.draft),
  );
  if (!published) {
    await discardDraft(ctx, batch.draft);
    const raced = await findReplay(ctx, idempotency);
    if (raced) return raced;
    await requireFree(ctx, id);
    throw new AppError(
      "BATCH_RUNNING",
      `Tasks of batch ${input.inputBatch ?? id} changed while ${id} was being created; try again`,
    );
  }
  ctx.signals.emit("events", undefined);
  const { total: taskCount, reused } = published;
  const created = { id, status: "pending", taskCount, createdAt: now, isReplay: false } as const;
  return batch.baseBatch === null ? created : { ...created, reused };
}

type Input = { kind: InputKind; source: RowSource; checked: Checked; when: Which };

/** Writes all rows and gives the batch its name. Returns how many tasks it has and how many of them take over an answer, or `undefined` where it lost a race for the name. */
async function ingest(
  ctx: Context,
  batch: NewBatch,
  { kind, source, checked, when }: Input,
): Promise<{ total: number; reused: number } | undefined> {
  try {
    const rows = await writeRows(ctx, batch, kind, source, checked);
    const { published } = await writeStored(ctx, batch.apiKey, publishDraft(batch, rows, when));
    return published.rows[0];
  } catch (error) {
    await discardDraft(ctx, batch.draft);
    if (String(error).includes("UNIQUE constraint failed"))
      throw new AppError(
        "TASK_ALREADY_EXISTS",
        "One of the ids is taken: by a task created meanwhile, or because a row's own id is the one that " +
          "another row without an id gets (batch id and row number); nothing was stored",
      );
    throw error;
  }
}

/** A URL may have a signature or a token in it, which is kept nowhere. */
function shownInput(inputFile: string): string {
  return isUrl(inputFile) ? shownUrl(inputFile) : inputFile;
}

async function openInput(
  ctx: Context,
  caller: Pick<Caller, "key">,
  { tasks, inputFile, inputBatch }: BatchDraft,
  rows: RowContext,
): Promise<Opened> {
  if ([tasks, inputFile, inputBatch].filter((one) => one !== undefined).length !== 1)
    throw invalid([{ path: "tasks", message: "give either tasks, inputFile or inputBatch" }]);
  if (inputBatch !== undefined)
    return { kind: "file", ...(await openInputBatch(ctx, inputBatch, rows)) };
  if (inputFile !== undefined)
    return { kind: "file", ...(await openInputFile(ctx, caller, inputFile, rows)) };
  return {
    kind: "inline",
    source: () => prepareTasks(rows, tasks ?? []),
    columns: () => null,
    found: () => null,
  };
}

function withRows(found: ReturnType<BatchInput["found"]>, rows: number): InputFound | null {
  return found && { ...found, rows };
}

/** One after the other, because templates may make a hundred times of them. */
function* prepareTasks(rows: RowContext, tasks: TaskInput[]): Generator<PreparedRow> {
  for (const [i, task] of tasks.entries())
    yield prepareTask(rows, i + 1, task, variablesOf(task), null);
}

/** Inline tasks have no columns: a template sees their id, prompt, and the plain values of their metadata. */
function variablesOf({ id, prompt, metadata }: TaskInput): ReadonlyMap<string, string> {
  const variables = new Map<string, string>();
  for (const [name, value] of Object.entries({ ...metadata, prompt, id }))
    if (typeof value === "string" || typeof value === "number" || typeof value === "boolean")
      variables.set(name, String(value));
  return variables;
}

async function findReplay(
  ctx: Context,
  idempotency: ReturnType<typeof idempotencyOf>,
): Promise<CreatedBatch | undefined> {
  const original = await findOriginal(ctx, idempotency, "batch");
  if (original === undefined) return undefined;
  const { id, status, total, baseBatch, reused, createdAt } = await getBatch(ctx, original);
  const created = { id, status, taskCount: total, createdAt, isReplay: true };
  return baseBatch === null ? created : { ...created, reused };
}

async function requireFree(ctx: Context, id: string): Promise<void> {
  const batch = await store.findBatch(ctx.db, id);
  if (batch && !(batch.isBare && batch.status === "pending"))
    throw new AppError("BATCH_ALREADY_EXISTS", `There is a batch with id ${id} already`);
}

export async function getBatch(ctx: Context, id: string): Promise<store.Batch> {
  const batch = await store.findBatch(ctx.db, id);
  if (!batch) throw new AppError("BATCH_NOT_FOUND", `There is no batch with id ${id}`);
  return batch;
}

/** One page of batches and how many match in all. */
export async function listBatches(ctx: Context, filter: store.BatchFilter, page: store.BatchPage) {
  return {
    batches: await store.listBatches(ctx.reads.db, filter, page),
    total:
      filter.status === undefined && filter.name === undefined
        ? (await readStock(ctx)).batches
        : await store.countBatches(ctx.reads.db, filter),
  };
}

/** One page of a batch's tasks in input order. */
export function listBatchTasks(ctx: Context, batch: store.Batch, page: store.BatchTaskPage) {
  return store.listBatchTasks(ctx.reads.db, batch.seq, page);
}
