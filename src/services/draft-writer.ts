import type { Context } from "../context.ts";
import { isDuplicate } from "../db/refusal.ts";
import { AppError } from "../errors.ts";
import { portionsOf } from "../lib/portions.ts";
import { insertRows, openDraft } from "../store/drafts.ts";
import type { NewBatch, NewRow, WrittenRows } from "../store/new-batch.ts";
import { discardDraft } from "./drafts.ts";
import { writeStored } from "./stored-bytes.ts";

/** The most rows in one unit. On a local file, a commit that takes long can end only between two units (`writer.ts`). */
const UNIT_ROWS = 128;

/** No client knows of a draft yet. The commit that publishes it waits for the disk, which then has its rows, too. */
const DRAFT = { canBeLost: true };

export type DraftWriter = ReturnType<typeof createDraftWriter>;

/** Writes the rows of a batch into its draft, which is made with the first of them. */
export function createDraftWriter(ctx: Context, batch: NewBatch) {
  const adopted: NewRow[] = [];
  const models = new Map<string, number>();
  let [written, bytes, reused] = [0, 0, 0];
  let isOpen = false;
  let refusal: unknown;

  function open(): Promise<unknown>[] {
    if (isOpen) return [];
    isOpen = true;
    return [ctx.writer.write({ draft: openDraft(batch) }, DRAFT)];
  }

  return {
    /**
     * Writes rows, except those that replace tasks of a bare batch, which are written when the draft is published.
     * Writes nothing any more once an id or an idempotency key was taken; `throwIfRefused` reports that.
     */
    async write(chunk: { rows: NewRow[]; bytes: number }, adoptedIds: Set<string>): Promise<void> {
      const { rows } = chunk;
      bytes += chunk.bytes;
      await requireDiskSpace(ctx, `the first ${written + rows.length} rows`, bytes, chunk.bytes);
      if (refusal !== undefined) return;
      const fresh = rows.filter(({ id }) => !adoptedIds.has(id));
      adopted.push(...rows.filter(({ id }) => adoptedIds.has(id)));
      written += fresh.length;
      for (const { model } of fresh) models.set(model, (models.get(model) ?? 0) + 1);
      for (const { baseTask } of rows) if (baseTask !== null) reused++;
      // Even a unit without rows marks the draft as still being written.
      const portions = fresh.length === 0 ? [fresh] : portionsOf(fresh, () => 1, UNIT_ROWS);
      // All must have ended before the draft is removed.
      const results = await Promise.allSettled([
        ...open(),
        ...portions.map((some) => writeStored(ctx, batch.apiKey, insertRows(batch, some), DRAFT)),
      ]);
      for (const result of results) {
        if (result.status === "fulfilled") continue;
        if (!isDuplicate(result.reason)) throw result.reason;
        refusal ??= result.reason;
      }
    },
    throwIfRefused(): void {
      if (refusal !== undefined) throw refusal;
    },
    /** Removes what was written, so that the ids are free when the client learns what is wrong. */
    async discard(): Promise<void> {
      if (isOpen) await discardDraft(ctx, batch.draft);
    },
    written: (): WrittenRows => ({ written, models, reused, adopted }),
  };
}

/** Disk space that stays free when a batch is stored. */
const SPARE_BYTES = 64 * 1024 * 1024;
/** The factor for indexes and for pages that are not full. */
const STORED_SHARE = 1.2;

/**
 * Throws if the disk has no room for rows, as far as this process can see. `bytes`: those of the whole batch up to now,
 * of which `more` are not written yet. Small batches are always tried.
 */
export async function requireDiskSpace(
  ctx: Context,
  what: string,
  bytes: number,
  more = bytes,
): Promise<void> {
  const needed = Math.ceil(bytes * STORED_SHARE);
  if (!ctx.isExclusive || needed < SPARE_BYTES) return;
  const { free } = await ctx.files.space(ctx.config.dataDir);
  if (more * STORED_SHARE < free - SPARE_BYTES) return;
  throw new AppError(
    "SERVICE_UNAVAILABLE",
    `The disk is too full: ${what} take about ${needed} bytes, and ${free} are free, of which ` +
      `${SPARE_BYTES} are kept for other work`,
  );
}
