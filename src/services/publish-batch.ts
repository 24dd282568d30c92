import type { Context } from "../context.ts";
import { isDuplicate, isTooLarge } from "../db/refusal.ts";
import { AppError } from "../errors.ts";
import { findDraftSeq, type Held, isMade, replaceHeld, startMade } from "../store/chains.ts";
import { openDraft } from "../store/drafts.ts";
import type { FoundInput, NewBatch, WrittenRows } from "../store/new-batch.ts";
import { publishDraft } from "../store/publish-draft.ts";
import { readRows } from "../store/rows.ts";
import { both, hasRow, not, type Which } from "../store/which.ts";
import type { Given } from "./batch-draft.ts";
import type { Opened } from "./batch-input.ts";
import { discardDraft } from "./drafts.ts";
import { readIntoDraft } from "./ingest.ts";
import type { RowCheckOptions } from "./row-check.ts";
import { tooLargeForDatabase, writeStored } from "./stored-bytes.ts";

/** How many tasks a batch has, and how many of them reuse an answer. */
export type Published = { total: number; reused: number };

type Input = Pick<Given, "when" | "held"> & {
  opened: Pick<Opened, "kind" | "source">;
  options: RowCheckOptions;
  /** Called when all rows are written. Throws if the batch must not be published. */
  found: (rows: number) => FoundInput;
};

/**
 * Reads all rows into a draft and gives it the batch's name. Returns "taken" if an id is that of another task and
 * `untilTaken` is set, and `undefined` if another request took the name first; the draft is left then.
 */
export async function ingest(
  ctx: Context,
  batch: NewBatch,
  { opened, options, found, when, held }: Input,
): Promise<Published | "taken" | undefined> {
  try {
    const ingested = await readIntoDraft(ctx, batch, opened, options);
    if (!ingested) return "taken";
    try {
      const rows = { ...ingested, ...found(ingested.rows) };
      const publish = held
        ? await publishHeld(ctx, batch, rows, { when, held })
        : { unit: publishDraft(batch, rows, when) };
      const { unit } = await writeStored(ctx, batch.apiKey, publish);
      return unit.published.rows[0];
    } catch (error) {
      await discardDraft(ctx, batch.draft);
      throw error;
    }
  } catch (error) {
    if (isDuplicate(error))
      throw new AppError(
        "TASK_ALREADY_EXISTS",
        "One of the ids is taken: by a task created meanwhile, or because a row's own id is the one that " +
          "another row without an id gets (batch id and row number); nothing was stored, try again",
      );
    throw isTooLarge(error) ? tooLargeForDatabase() : error;
  }
}

/** Replaces a waiting batch by its draft, and starts it if that was requested. */
async function publishHeld(
  ctx: Context,
  batch: NewBatch,
  rows: WrittenRows & FoundInput,
  { when, held }: { when: Which; held: Held },
) {
  const { draft, id } = batch;
  const [row] = await readRows(ctx.client, findDraftSeq(draft));
  const taken = replaceHeld(held, { draft, node: batch.owner }, when);
  return {
    unit: publishDraft(batch, rows, hasRow("batches", isMade(draft)), taken),
    started: row && startMade({ id, seq: row.seq }, batch),
  };
}

const NO_ROWS: WrittenRows = { written: 0, models: new Map(), reused: 0, adopted: [] };

/** Creates a batch without tasks, which waits for its rows. Returns `undefined` if the name is taken. */
export async function addWaiting(
  ctx: Context,
  batch: NewBatch,
  found: FoundInput,
  when: Which,
): Promise<Published | undefined> {
  const isTaken = hasRow("batches b", { where: "b.id = ?", args: [batch.id] });
  const { unit } = await writeStored(ctx, batch.apiKey, {
    draft: openDraft(batch),
    unit: publishDraft(batch, { ...NO_ROWS, ...found }, both(when, not(isTaken)), []),
  });
  return unit.published.rows[0];
}
