import type { Context } from "../context.ts";
import { AppError, invalid } from "../errors.ts";
import { nextRound } from "../lib/clock.ts";
import { hash53 } from "../lib/hash.ts";
import {
  DRAFTS,
  findDrafts,
  findSilentDrafts,
  findTaken,
  findUsedKeys,
  insertRows,
  type NewBatch,
  type NewRow,
  openDraft,
  removeFromDraft,
} from "../store/ingest.ts";
import { readRows } from "../store/rows.ts";
import { refusalOf } from "./models.ts";
import type { PreparedRow } from "./prepare-row.ts";

/** Reads the input from its start; called once for each pass. */
export type RowSource = () => AsyncIterable<PreparedRow> | Iterable<PreparedRow>;

export type RowIssue = { row: number; field: string; message: string };

const MAX_ISSUES = 100;

/** What a row takes besides its texts. */
const ROW_BYTES = 200;

/** Rows of a file are reported by number, tasks of a request by their path in it. */
export type InputKind = "file" | "inline";

/** What checking an input found: how many rows it has, and which replace tasks of a bare batch. */
export type Checked = { rows: number; adoptedIds: Set<string> };

/**
 * First pass: reads the whole input and checks every row. Throws `VALIDATION_ERROR` with the first
 * hundred of all that is wrong and how much there is; nothing has been written by then.
 */
export async function checkRows(
  ctx: Context,
  batch: Pick<NewBatch, "id" | "apiKey">,
  kind: InputKind,
  source: RowSource,
): Promise<Checked> {
  const issues = new IssueList(kind);
  const ids = new SeenIds(batch.id);
  const keys = new Map<string, number>();
  const models = new Map<string, string | null>();
  const adoptedIds = new Set<string>();
  const most = ctx.config.maxBatchBytes || Infinity;
  let [rows, bytes] = [0, 0];
  for await (const chunk of chunksOf(ctx, source())) {
    const rowOf = new Map<string, number>();
    for (const { row: number, value: row, issues: wrong } of chunk) {
      rows++;
      for (const { field, message } of wrong) issues.add(number, field, message);
      if (!row) continue;
      bytes += sizeOfRow(row);
      if (bytes > most) throw tooLarge(number, bytes, most);
      ids.add(row.id, number);
      rowOf.set(row.id, number);
      let refusal = models.get(row.model);
      if (refusal === undefined) models.set(row.model, (refusal = await refusalOf(ctx, row.model)));
      if (refusal !== null) issues.add(number, "model", refusal);
      if (row.idempotencyKey === null) continue;
      if (keys.has(row.idempotencyKey))
        issues.add(number, "idempotencyKey", "stands in an earlier row already");
      keys.set(row.idempotencyKey, number);
    }
    const found = findTaken([...rowOf.keys()]);
    for (const taken of await readRows(ctx.client, found))
      if (taken.batchId === batch.id && taken.isBare) adoptedIds.add(taken.id);
      else
        issues.add(
          rowOf.get(taken.id) ?? 0,
          "id",
          `${taken.id} is the id of another task already`,
          true,
        );
  }
  for await (const { id, row, before } of ids.duplicates(source))
    issues.add(row, "id", `${id} is the id of row ${before} already`);
  if (keys.size > 0)
    for (const { key } of await readRows(ctx.client, findUsedKeys(batch.apiKey, [...keys.keys()])))
      issues.add(keys.get(key) ?? 0, "idempotencyKey", "was used before", true);
  if (rows === 0)
    throw new AppError("VALIDATION_ERROR", "The input has no rows", { rows: [], total: 0 });
  issues.throwIfAny();
  return { rows, adoptedIds };
}

function tooLarge(row: number, bytes: number, most: number): AppError {
  return new AppError(
    "VALIDATION_ERROR",
    `The requests of the batch take more than it may have: ${bytes} bytes up to row ${row}, templates filled ` +
      `in, and MAX_BATCH_BYTES is ${most}. Divide the input, or shorten config.promptTemplate and config.systemPrompt`,
  );
}

/** What a row takes in memory, and about what it takes in the database. */
export function sizeOfRow({ body, prompt, metadata, cells }: NewRow): number {
  return (
    body.length + (prompt?.length ?? 0) + (metadata?.length ?? 0) + (cells?.length ?? 0) + ROW_BYTES
  );
}

/** How many rows were written, by model, too; and those that were not, because they are adopted. */
export type Written = { written: number; models: Map<string, number>; adopted: NewRow[] };

/**
 * Second pass: writes the rows into a draft, a chunk to a commit, other work between them.
 * Returns those that are adopted instead; they are written when the draft is published.
 */
export async function writeRows(
  ctx: Context,
  batch: NewBatch,
  kind: InputKind,
  source: RowSource,
  checked: Checked,
): Promise<Written> {
  const adopted: NewRow[] = [];
  const models = new Map<string, number>();
  let written = 0;
  let position = 0;
  const opened = ctx.writer.write({ draft: openDraft(batch) });
  for await (const chunk of chunksOf(ctx, source())) {
    const issues = new IssueList(kind);
    const rows: NewRow[] = [];
    for (const { row, value, issues: wrong } of chunk) {
      for (const { field, message } of wrong) issues.add(row, field, message);
      if (value) rows.push(Object.assign(value, { position: position++ }));
    }
    issues.throwIfAny();
    adopted.push(...rows.filter((row) => checked.adoptedIds.has(row.id)));
    const fresh = rows.filter((row) => !checked.adoptedIds.has(row.id));
    // Together, as both may fail.
    await Promise.all([opened, ctx.writer.write(insertRows(batch, fresh))]);
    written += fresh.length;
    for (const { model } of fresh) models.set(model, (models.get(model) ?? 0) + 1);
  }
  if (position !== checked.rows)
    throw new AppError(
      "VALIDATION_ERROR",
      "The input file changed while it was being read; try again",
    );
  return { written, models, adopted };
}

/** Removes a draft, a chunk at a time. */
export async function discardDraft(
  ctx: Pick<Context, "writer" | "chunks">,
  draft: string,
): Promise<void> {
  for (;;) {
    const { tasks } = await ctx.writer.write(removeFromDraft(draft, ctx.chunks.ingest));
    if (tasks.changed === 0) return;
  }
}

/**
 * Ids of a whole file in eight bytes each: what is kept of an id is a hash. Those that may be there
 * twice are looked at again at the end. Ids made of the row's number are not kept.
 */
class SeenIds {
  readonly #generated: string;
  #hashes = new Float64Array(1024);
  #size = 0;

  constructor(batchId: string) {
    this.#generated = `${batchId}-`;
  }

  add(id: string, row: number): void {
    if (id === `${this.#generated}${row}`) return;
    if (this.#size === this.#hashes.length) {
      const larger = new Float64Array(this.#size * 2);
      larger.set(this.#hashes);
      this.#hashes = larger;
    }
    this.#hashes[this.#size++] = hash53(id);
  }

  async *duplicates(
    source: RowSource,
  ): AsyncGenerator<{ id: string; row: number; before: number }> {
    const sorted = this.#hashes.subarray(0, this.#size).toSorted();
    const suspects = new Set(sorted.filter((hash, i) => hash === sorted[i - 1]));
    if (suspects.size === 0) return;
    const seen = new Map<string, number>();
    for await (const { row, value } of source()) {
      if (!value || !suspects.has(hash53(value.id))) continue;
      const before = seen.get(value.id);
      if (before === undefined) seen.set(value.id, row);
      else yield { id: value.id, row, before };
    }
  }
}

class IssueList {
  readonly #kind: InputKind;
  readonly #first: RowIssue[] = [];
  #total = 0;
  #taken = 0;

  constructor(kind: InputKind) {
    this.#kind = kind;
  }

  add(row: number, field: string, message: string, isTaken = false): void {
    this.#total++;
    if (isTaken) this.#taken++;
    if (this.#first.length < MAX_ISSUES) this.#first.push({ row, field, message });
  }

  throwIfAny(): void {
    this.#first.sort((a, b) => a.row - b.row);
    const [first] = this.#first;
    if (!first) return;
    if (this.#kind === "inline") {
      const error = invalid(
        this.#first.map(({ row, field, message }) => ({
          path: ["tasks", String(row - 1), field].filter(Boolean).join("."),
          message,
        })),
      );
      throw this.#taken === this.#total
        ? new AppError("TASK_ALREADY_EXISTS", error.message, error.details)
        : error;
    }
    const where = `row ${first.row}${first.field ? `, ${first.field}` : ""}: ${first.message}`;
    const more = this.#total > 1 ? ` (and ${this.#total - 1} more)` : "";
    throw new AppError("VALIDATION_ERROR", `${where}${more}`, {
      rows: this.#first,
      total: this.#total,
    });
  }
}

async function* chunksOf(
  { clock, chunks }: Pick<Context, "clock" | "chunks">,
  rows: AsyncIterable<PreparedRow> | Iterable<PreparedRow>,
): AsyncGenerator<PreparedRow[]> {
  let chunk: PreparedRow[] = [];
  for await (const row of rows) {
    chunk.push(row);
    if (chunk.length < chunks.ingest) continue;
    yield chunk;
    chunk = [];
    // A long input must not keep other requests waiting.
    await nextRound(clock);
  }
  if (chunk.length > 0) yield chunk;
}

/** Removes what crashes left of batches that were being written. Nobody may be writing one. */
export async function removeAbandonedDrafts(ctx: Context): Promise<void> {
  for (const { id } of await readRows(ctx.client, DRAFTS)) await discardDraft(ctx, id);
}

/**
 * Removes drafts that nobody has written to, or removed from, for `silentMs`: whoever did is gone or has
 * failed. Should it go on all the same, it finds no draft to give a name to, and stores nothing.
 */
export async function removeSilentDrafts(ctx: Context, silentMs: number): Promise<void> {
  for (const { id } of await readRows(ctx.client, findSilentDrafts(silentMs)))
    await discardDraft(ctx, id);
}

/** Removes what earlier attempts to create a batch have left, or are still writing. */
export async function discardDrafts(ctx: Context, prefix: string): Promise<void> {
  for (const { id } of await readRows(ctx.client, findDrafts(prefix))) await discardDraft(ctx, id);
}

/** Whether somebody writes a batch under such a name, or has left it. */
export async function hasDrafts(ctx: Context, prefix: string): Promise<boolean> {
  return (await readRows(ctx.client, findDrafts(prefix))).length > 0;
}
