import type { Context } from "../context.ts";
import { AppError } from "../errors.ts";
import { findUsedKeys } from "../store/drafts.ts";
import { findTaken } from "../store/left-drafts.ts";
import type { NewBatch, NewRow } from "../store/new-batch.ts";
import { readRows } from "../store/rows.ts";
import { discardDraft, isLeft } from "./drafts.ts";
import { refusalOf } from "./models.ts";
import type { PreparedRow, RowSource } from "./prepare-row.ts";
import { type InputKind, IssueList } from "./row-issues.ts";
import { SeenNames } from "./seen-names.ts";

/** The most different models in the rows of a batch, which is the number of its lanes. */
const MOST_MODELS = 1000;

/** The size of a row without its texts. */
export const ROW_BYTES = 200;

export type RowCheckOptions = {
  /** Stop as soon as an id is that of another task. */
  untilTaken: boolean;
  /** The prefix of the rows' ids that the input does not contain. */
  idPrefix: string;
};

/** Rows of an input that can be stored if nothing is wrong with any, in its order. */
export type Chunk = {
  rows: NewRow[];
  bytes: number;
  /** The numbers of the rows, by their ids and by their idempotency keys. */
  rowOf: ReadonlyMap<string, number>;
  rowOfKey: ReadonlyMap<string, number>;
};

export type RowCheck = ReturnType<typeof createRowCheck>;

/** Checks the rows of a batch's input in chunks, and collects what is wrong with them. */
export function createRowCheck(
  ctx: Context,
  batch: Pick<NewBatch, "id" | "draft" | "apiKey">,
  kind: InputKind,
  { untilTaken, idPrefix }: RowCheckOptions,
) {
  const issues = new IssueList(kind);
  // An id that is made from the row's number is unique.
  const ids = new SeenNames(ctx.clock, ({ row, value }) =>
    value?.id === `${batch.id}-${row}` ? null : value?.id,
  );
  const keys = new SeenNames(ctx.clock, ({ value }) => value?.idempotencyKey);
  const customIds = new SeenNames(ctx.clock, ({ customId }) => customId);
  /** Why each model is refused, if it is. */
  const models = new Map<string, string | null>();
  const most = ctx.config.maxBatchBytes || Infinity;
  let [rows, bytes, position] = [0, 0, 0];
  let isTaken = false;
  let isRepeated = false;

  /** Checks one row without its model, and returns its size. */
  function checkRow(prepared: PreparedRow, value: NewRow): number {
    const { row, uploads, bytes: known } = prepared;
    const size = uploads || known === undefined ? sizeOfRow(value) : known;
    if (size > ctx.chunks.rowBytes) issues.add(row, "", tooLargeRow(size, ctx));
    bytes += size;
    if (bytes > most) throw tooLarge(row, bytes, most);
    ids.add(prepared);
    keys.add(prepared);
    value.position = position++;
    return size;
  }

  async function lookUpKeys({ rowOfKey }: Chunk): Promise<void> {
    if (rowOfKey.size === 0) return;
    const used = findUsedKeys(batch, [...rowOfKey.keys()]);
    for (const { key } of await readRows(ctx.client, used))
      issues.add(rowOfKey.get(key) ?? 0, "idempotencyKey", "was used before", { isTaken: true });
  }

  return {
    /** Checks rows by themselves, and against all that were added before. */
    async add(chunk: PreparedRow[]): Promise<Chunk> {
      const [rowOf, rowOfKey] = [new Map<string, number>(), new Map<string, number>()];
      const found = { rows: [] as NewRow[], bytes: 0, rowOf, rowOfKey };
      for (const prepared of chunk) {
        const { row, value, issues: wrong } = prepared;
        rows++;
        for (const { field, message, code } of wrong) issues.add(row, field, message, { code });
        customIds.add(prepared);
        if (!value) continue;
        found.bytes += checkRow(prepared, value);
        found.rows.push(value);
        isRepeated ||= rowOf.has(value.id);
        rowOf.set(value.id, row);
        if (value.idempotencyKey !== null) rowOfKey.set(value.idempotencyKey, row);
        let refusal = models.get(value.model);
        if (refusal === undefined) {
          models.set(value.model, (refusal = await refusalOf(ctx, value.model)));
          if (models.size > MOST_MODELS) throw tooManyModels(row);
        }
        if (refusal !== null) issues.add(row, "model", refusal, refusalCode(prepared));
      }
      return found;
    },

    /** Checks rows against the database. Returns the ids that replace tasks of a bare batch. */
    async lookUp(chunk: Chunk): Promise<Set<string>> {
      await lookUpKeys(chunk);
      const adopted = new Set<string>();
      const { rowOf } = chunk;
      // In another thread, because only error messages depend on this read.
      for (const taken of await readRows(ctx.reads.client, findTaken([...rowOf.keys()])))
        if (taken.batchId === batch.draft)
          // Another row of this input, which `finish` reports.
          continue;
        else if (taken.batchId === batch.id && taken.isBare) adopted.add(taken.id);
        else if (isLeft(ctx, taken.batchId) && (ctx.isExclusive || taken.isLeft === 1))
          await discardDraft(ctx, taken.batchId);
        else if (untilTaken) isTaken = true;
        else
          issues.add(
            rowOf.get(taken.id) ?? 0,
            "id",
            `${taken.id} is the id of another task already`,
            { isTaken: true },
          );
      return adopted;
    },

    /** Reads the input again if names may occur twice. Throws `VALIDATION_ERROR` if anything is wrong. */
    async finish(source: RowSource): Promise<void> {
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
    },

    /** Whether nothing is wrong so far. Only `finish` finds all names that occur twice. */
    isSound: () => !isTaken && !isRepeated && issues.isEmpty(),
    /** An id is that of another task, and `untilTaken` is set. */
    isTaken: () => isTaken,
    /** How many rows were added. */
    rows: () => rows,
  };
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
export function sizeOfRow({ body, prompt, metadata, cells }: NewRow): number {
  return [body, prompt, metadata, cells].reduce(
    (sum, text) => sum + (text === null ? 0 : Buffer.byteLength(text)),
    ROW_BYTES,
  );
}
