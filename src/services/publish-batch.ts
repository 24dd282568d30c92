import type { Context } from "../context.ts";
import { isTooLarge } from "../db/refusal.ts";
import { AppError } from "../errors.ts";
import { findDraftSeq, type Held, isMade, replaceHeld, startMade } from "../store/chains.ts";
import { openDraft } from "../store/drafts.ts";
import type { NewBatch, WrittenRows } from "../store/new-batch.ts";
import { publishDraft } from "../store/publish-draft.ts";
import { readRows } from "../store/rows.ts";
import { both, hasRow, not, type Which } from "../store/which.ts";
import type { Given } from "./batch-draft.ts";
import { discardDraft } from "./drafts.ts";
import { type Checked, writeRows } from "./ingest.ts";
import type { RowSource } from "./prepare-row.ts";
import type { InputKind } from "./row-issues.ts";
import { tooLargeForDatabase, writeStored } from "./stored-bytes.ts";

/** How many tasks a batch has, and how many of them reuse an answer. */
export type Published = { total: number; reused: number };

type Input = Pick<Given, "when" | "held"> & {
  kind: InputKind;
  source: RowSource;
  checked: Checked;
};

/** Writes all rows and gives the batch its name. Returns `undefined` if another request took the name first. */
export async function ingest(
  ctx: Context,
  batch: NewBatch,
  { kind, source, checked, when, held }: Input,
): Promise<Published | undefined> {
  try {
    const rows = await writeRows(ctx, batch, kind, source, checked);
    const publish = held
      ? await publishHeld(ctx, batch, rows, { when, held })
      : { unit: publishDraft(batch, rows, when) };
    const { unit } = await writeStored(ctx, batch.apiKey, publish);
    return unit.published.rows[0];
  } catch (error) {
    await discardDraft(ctx, batch.draft);
    if (String(error).includes("UNIQUE constraint failed"))
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
  rows: WrittenRows,
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
  when: Which,
): Promise<Published | undefined> {
  const isTaken = hasRow("batches b", { where: "b.id = ?", args: [batch.id] });
  const { unit } = await writeStored(ctx, batch.apiKey, {
    draft: openDraft(batch),
    unit: publishDraft(batch, NO_ROWS, both(when, not(isTaken)), []),
  });
  return unit.published.rows[0];
}
