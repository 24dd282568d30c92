import type { Context } from "../context.ts";
import { createPauses, nextRound } from "../lib/clock.ts";
import { createOverlap } from "../lib/overlap.ts";
import type { NewBatch, WrittenRows } from "../store/new-batch.ts";
import { attachUploads } from "./attached-uploads.ts";
import type { Opened } from "./batch-input.ts";
import { createDraftWriter, type DraftWriter } from "./draft-writer.ts";
import type { PreparedRow, RowSource } from "./prepare-row.ts";
import {
  type Chunk,
  createRowCheck,
  ROW_BYTES,
  type RowCheck,
  type RowCheckOptions,
  sizeOfRow,
} from "./row-check.ts";

/** The most bytes of rows that are held in memory, and committed together. */
const MOST_CHUNK_BYTES = 2_000_000;

/** How many chunks are looked up and written while the next one is prepared. A commit may end in the middle of one. */
const STEPS_AHEAD = 2;

/** `rows`: the number of all rows of the input. */
export type Ingested = WrittenRows & { rows: number };

/*
 * An input is read once. While the rows of a chunk are prepared, those of the chunk before are looked up, and those
 * before that are written into the draft of the batch, which clients do not see.
 *
 *   sound     all rows so far are in order, and are written.
 *   unsound   a row is wrong. Nothing is written any more, but the rest is read, to report all that is wrong; then
 *             the draft is removed.
 *   taken     an id is that of another task, and ids may become unique within the batch only. The draft is removed,
 *             and the caller begins again.
 */

/**
 * Reads an input into a draft. Throws `VALIDATION_ERROR` with the first hundred issues and their number. Returns
 * `null` if an id is that of another task and `untilTaken` is set. Only if it returns rows is there a draft.
 */
export async function readIntoDraft(
  ctx: Context,
  batch: NewBatch,
  { kind, source }: Pick<Opened, "kind" | "source">,
  options: RowCheckOptions,
): Promise<Ingested | null> {
  const check = createRowCheck(ctx, batch, kind, options);
  const writer = createDraftWriter(ctx, batch);
  const steps = createOverlap(STEPS_AHEAD);
  let isWhole = false;
  try {
    for await (const prepared of chunksOf(ctx, source())) {
      const chunk = await check.add(prepared);
      await steps.add(store(chunk, check, writer));
      if (check.isTaken()) return null;
    }
    await steps.end();
    if (check.isTaken()) return null;
    await check.finish(source);
    writer.throwIfRefused();
    isWhole = true;
    return { ...writer.written(), rows: check.rows() };
  } finally {
    await steps.settled();
    if (!isWhole) await writer.discard();
  }
}

/** Looks up the names of a chunk, and writes it if nothing is wrong so far. */
async function store(chunk: Chunk, check: RowCheck, writer: DraftWriter): Promise<void> {
  const adoptedIds = await check.lookUp(chunk);
  if (check.isSound()) await writer.write(chunk, adoptedIds);
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
      bytes += row.bytes = row.value ? sizeOfRow(row.value) : ROW_BYTES;
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
