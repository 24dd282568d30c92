import type { Context } from "../context.ts";
import { AppError } from "../errors.ts";
import { createPauses, nextRound } from "../lib/clock.ts";
import { createOverlap } from "../lib/overlap.ts";
import { portionsOf } from "../lib/portions.ts";
import { findUsedKeys, insertRows, openDraft } from "../store/drafts.ts";
import { findTaken } from "../store/left-drafts.ts";
import type { NewBatch, NewRow, WrittenRows } from "../store/new-batch.ts";
import { readRows } from "../store/rows.ts";
import { attachUploads } from "./attached-uploads.ts";
import type { Opened } from "./batch-input.ts";
import { discardDraft, isLeft } from "./drafts.ts";
import { refusalOf } from "./models.ts";
import type { PreparedRow, RowSource } from "./prepare-row.ts";
import { type InputKind, IssueList } from "./row-issues.ts";
import { SeenNames } from "./seen-names.ts";
import { writeStored } from "./stored-bytes.ts";

/** The most bytes of rows that are held in memory, and committed together. */
const MOST_CHUNK_BYTES = 2_000_000;
/** The most rows in one unit. On a local file, a commit that takes long can end only between two units (`writer.ts`). */
const UNIT_ROWS = 128;
/** The most different models in the rows of a batch, which is the number of its lanes. */
const MOST_MODELS = 1000;

/** The size of a row without its texts. */
const ROW_BYTES = 200;

/** The result of checking an input: its rows, its approximate bytes, and the ids that replace tasks of a bare batch. */
export type Checked = {
  rows: number;
  bytes: number;
  adoptedIds: Set<string>;
  /** All rows, if they are few, so that they need not be read again to be stored. */
  kept: PreparedRow[][] | null;
};

/**
 * First pass: reads the whole input and checks every row. Throws `VALIDATION_ERROR` with the first hundred issues and
 * their number; nothing has been written until then. With `untilTaken` it returns `null` as soon as an id is that of
 * another task. `idPrefix`: the prefix of the rows' ids that the input does not contain.
 */
export async function checkRows(
  ctx: Context,
  batch: Pick<NewBatch, "id" | "apiKey">,
  { kind, source, isToBeReadAgain }: Pick<Opened, "kind" | "source" | "isToBeReadAgain">,
  { untilTaken, idPrefix = "" }: { untilTaken: boolean; idPrefix?: string },
): Promise<Checked | null> {
  const issues = new IssueList(kind);
  // An id that is made from the row's number is unique.
  const ids = new SeenNames(ctx.clock, ({ row, value }) =>
    value?.id === `${batch.id}-${row}` ? null : value?.id,
  );
  const keys = new SeenNames(ctx.clock, ({ value }) => value?.idempotencyKey);
  const customIds = new SeenNames(ctx.clock, ({ customId }) => customId);
  const models = new Map<string, string | null>();
  const adoptedIds = new Set<string>();
  const most = ctx.config.maxBatchBytes || Infinity;
  let [rows, bytes] = [0, 0];
  let kept: PreparedRow[][] | null = [];
  for await (const chunk of chunksOf(ctx, source())) {
    const rowOf = new Map<string, number>();
    const rowOfKey = new Map<string, number>();
    for (const one of chunk) {
      const { row: number, value: row, issues: wrong } = one;
      rows++;
      for (const { field, message, code } of wrong) issues.add(number, field, message, { code });
      customIds.add(one);
      if (!row) continue;
      const size = sizeOfRow(row);
      if (size > ctx.chunks.rowBytes) issues.add(number, "", tooLargeRow(size, ctx));
      bytes += size;
      if (bytes > most) throw tooLarge(number, bytes, most);
      ids.add(one);
      keys.add(one);
      rowOf.set(row.id, number);
      let refusal = models.get(row.model);
      if (refusal === undefined) {
        models.set(row.model, (refusal = await refusalOf(ctx, row.model)));
        if (models.size > MOST_MODELS) throw tooManyModels(number);
      }
      if (refusal !== null) issues.add(number, "model", refusal, refusalCode(one));
      if (row.idempotencyKey !== null) rowOfKey.set(row.idempotencyKey, number);
    }
    if (rowOfKey.size > 0)
      for (const { key } of await readRows(
        ctx.client,
        findUsedKeys(batch.apiKey, [...rowOfKey.keys()]),
      ))
        issues.add(rowOfKey.get(key) ?? 0, "idempotencyKey", "was used before", {
          isTaken: true,
        });
    if (bytes > ctx.chunks.keptBytes) kept = null;
    kept?.push(chunk);
    const found = findTaken([...rowOf.keys()]);
    // In another thread, because only error messages depend on this read.
    for (const taken of await readRows(ctx.reads.client, found))
      if (taken.batchId === batch.id && taken.isBare) adoptedIds.add(taken.id);
      else if (taken.isLeft === 1 || (ctx.isExclusive && isLeft(ctx, taken.batchId)))
        await discardDraft(ctx, taken.batchId);
      else if (untilTaken) return null;
      else
        issues.add(
          rowOf.get(taken.id) ?? 0,
          "id",
          `${taken.id} is the id of another task already`,
          { isTaken: true },
        );
  }
  for await (const { name, row, before } of ids.duplicates(source))
    issues.add(row, "id", `${name.slice(idPrefix.length)} is the id of row ${before} already`);
  for await (const { row, before } of keys.duplicates(source))
    issues.add(row, "idempotencyKey", `is that of row ${before} already`);
  for await (const { name, row } of customIds.duplicates(source))
    issues.add(
      row,
      "custom_id",
      `The custom_id ${JSON.stringify(name)} for this request is a duplicate of another request. The custom_id parameter must be unique for each request in a batch.`,
      { code: "duplicate_custom_id" },
    );
  if (rows === 0)
    throw new AppError("VALIDATION_ERROR", "The input has no rows", { rows: [], total: 0 });
  issues.throwIfAny();
  return { rows, bytes, adoptedIds, kept: isToBeReadAgain?.() ? null : kept };
}

function refusalCode({ customId }: PreparedRow): { code?: string } {
  return customId === undefined ? {} : { code: "model_not_found" };
}

function tooManyModels(row: number): AppError {
  return new AppError(
    "VALIDATION_ERROR",
    `The rows up to ${row} name more than ${MOST_MODELS} different models; divide the input`,
  );
}

/** Disk space that stays free when a batch is stored. */
const SPARE_BYTES = 64 * 1024 * 1024;
/** The factor for indexes and for pages that are not full. */
const STORED_SHARE = 1.2;

/** Throws if the disk has no room for a batch, as far as this process can see, before any of it is written. */
export async function requireDiskSpace(ctx: Context, { rows, bytes }: Checked): Promise<void> {
  if (!ctx.isExclusive) return;
  const needed = Math.ceil(bytes * STORED_SHARE);
  const { free } = await ctx.files.space(ctx.config.dataDir);
  if (needed < free - SPARE_BYTES || needed < SPARE_BYTES) return;
  throw new AppError(
    "SERVICE_UNAVAILABLE",
    `The disk is too full: the ${rows} rows take about ${needed} bytes, and ${free} are free, of which ` +
      `${SPARE_BYTES} are kept for other work`,
  );
}

function tooLarge(row: number, bytes: number, most: number): AppError {
  return new AppError(
    "VALIDATION_ERROR",
    `The requests of the batch take more than it may have: ${bytes} bytes up to row ${row}, templates filled ` +
      `in, and MAX_BATCH_BYTES is ${most}. Divide the input, or shorten config.promptTemplate and config.systemPrompt`,
  );
}

function tooLargeRow(bytes: number, { chunks }: Context): string {
  return (
    `takes ${bytes} bytes with its request, prompt, metadata and cells; a libSQL server stores at most ` +
    `${chunks.rowBytes}`
  );
}

/** Roughly the size of a row in the database. */
function sizeOfRow({ body, prompt, metadata, cells }: NewRow): number {
  return [body, prompt, metadata, cells].reduce(
    (sum, text) => sum + (text === null ? 0 : Buffer.byteLength(text)),
    ROW_BYTES,
  );
}

/** No client knows of a draft yet. The commit that publishes it waits for the disk, which then has its rows, too. */
const DRAFT = { canBeLost: true };

/**
 * Second pass: writes the rows into a draft, one chunk per commit, with other work in between. Returns the rows that
 * adopt existing tasks; they are written when the draft is published.
 */
export async function writeRows(
  ctx: Context,
  batch: NewBatch,
  kind: InputKind,
  source: RowSource,
  checked: Checked,
): Promise<WrittenRows> {
  // A chunk is made while the one before is committed.
  const commits = createOverlap();
  try {
    const rows = await writeChunks(ctx, batch, kind, checked.kept ?? chunksOf(ctx, source()), {
      checked,
      commits,
    });
    await commits.end();
    return rows;
  } finally {
    await commits.settled();
  }
}

type Writing = { checked: Checked; commits: ReturnType<typeof createOverlap> };

async function writeChunks(
  ctx: Context,
  batch: NewBatch,
  kind: InputKind,
  chunks: Iterable<PreparedRow[]> | AsyncIterable<PreparedRow[]>,
  { checked, commits }: Writing,
): Promise<WrittenRows> {
  const adopted: NewRow[] = [];
  const models = new Map<string, number>();
  let written = 0;
  let reused = 0;
  let position = 0;
  await commits.add(ctx.writer.write({ draft: openDraft(batch) }, DRAFT));
  for await (const chunk of chunks) {
    const issues = new IssueList(kind);
    const rows: NewRow[] = [];
    for (const { row, value, issues: wrong } of chunk) {
      for (const { field, message, code } of wrong) issues.add(row, field, message, { code });
      if (!value) continue;
      rows.push(Object.assign(value, { position: position++ }));
      if (value.baseTask !== null) reused++;
    }
    issues.throwIfAny();
    adopted.push(...rows.filter((row) => checked.adoptedIds.has(row.id)));
    const fresh = rows.filter((row) => !checked.adoptedIds.has(row.id));
    // Even a unit without rows marks the draft as still being written.
    const portions = fresh.length === 0 ? [fresh] : portionsOf(fresh, () => 1, UNIT_ROWS);
    await commits.add(
      Promise.all(
        portions.map((some) => writeStored(ctx, batch.apiKey, insertRows(batch, some), DRAFT)),
      ),
    );
    written += fresh.length;
    for (const { model } of fresh) models.set(model, (models.get(model) ?? 0) + 1);
  }
  if (position !== checked.rows)
    throw batch.inputBatch === null
      ? new AppError(
          "VALIDATION_ERROR",
          "The input file changed while it was being read; try again",
        )
      : new AppError(
          "BATCH_RUNNING",
          `Tasks of batch ${batch.inputBatch} changed while ${batch.id} was being created; try again`,
        );
  return { written, models, reused, adopted };
}

/**
 * Chunks of rows whose uploads were looked up, limited in rows and in bytes, because a row may have two megabytes. A
 * long input must not block other requests, neither while a chunk is made nor between two chunks.
 */
async function* chunksOf(
  ctx: Context,
  source: ReturnType<RowSource>,
): AsyncGenerator<PreparedRow[]> {
  const { clock, chunks } = ctx;
  let chunk: PreparedRow[] = [];
  let bytes = 0;
  const pauses = createPauses(clock);
  for await (const portion of source)
    for (const row of portion) {
      if (pauses.isDue()) await pauses.take();
      chunk.push(row);
      bytes += row.value ? sizeOfRow(row.value) : ROW_BYTES;
      if (chunk.length < chunks.ingest && bytes < MOST_CHUNK_BYTES) continue;
      await attachUploads(ctx, chunk);
      yield chunk;
      chunk = [];
      bytes = 0;
      await nextRound(clock);
    }
  if (chunk.length === 0) return;
  await attachUploads(ctx, chunk);
  yield chunk;
}
