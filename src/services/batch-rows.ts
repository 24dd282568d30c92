import type { Context } from "../context.ts";
import { hasEndedForReal, isWaitingBatch } from "../domain/chain.ts";
import { columnNames, variableNames } from "../domain/columns.ts";
import type { Condition } from "../domain/condition.ts";
import { answerTable, type ResultTable } from "../domain/result-table.ts";
import type { BatchConfig } from "../domain/task-input.ts";
import { AppError, invalid } from "../errors.ts";
import { plainNumber } from "../lib/plain-number.ts";
import { type Batch, findBatch } from "../store/batches.ts";
import type { ResultRow } from "../store/results.ts";
import type { Which } from "../store/which.ts";
import type { BatchInput } from "./input-text.ts";
import { type PreparedRow, prepareTask, type RowContext, type RowPortion } from "./prepare-row.ts";
import { answerColumns, pagesOf } from "./results.ts";
import { requireKnownVariables } from "./table-rows.ts";

/*
 * The rows of another batch, including its answers, as the input of a batch. All columns are only variables: an `id`,
 * a prompt or a model of the first batch does not apply to the new tasks. A row without an answer also becomes a row
 * here, so that the rows of both batches correspond, and is skipped.
 */

/** A batch whose rows and answers are the input of another. */
export type InputBatch = {
  batch: Batch;
  /** It has ended, and not as a dry run, so its rows can be read. */
  hasEnded: boolean;
  /** The columns of its rows, or `null` if they are not known yet. */
  table: ResultTable | null;
};

export type ChainedInput = BatchInput & {
  /** True as long as the other batch has not changed since it was read. */
  when: Which;
};

/**
 * Finds the batch that `inputBatch` names. Throws if it cannot be the input, or a template has an unknown variable.
 */
export async function requireInputBatch(
  ctx: Context,
  id: string,
  { batchId, config }: Pick<RowContext, "batchId" | "config">,
): Promise<InputBatch> {
  if (id === batchId)
    throw invalid([{ path: "inputBatch", message: `batch ${id} cannot be the input of itself` }]);
  const batch = await findBatch(ctx.db, id);
  if (!batch)
    throw new AppError(
      "BATCH_NOT_FOUND",
      `There is no batch with id ${id}, which inputBatch names`,
    );
  requireOwnPrompts(config);
  const hasEnded = hasEndedForReal(batch);
  if (hasEnded && batch.completed === 0)
    throw invalid([
      { path: "inputBatch", message: `batch ${id} is ${batch.status} and has no answers` },
    ]);
  // A batch that tasks have created by naming it may still be filled in, with other columns.
  const isOpen = batch.isBare || (isWaitingBatch(batch) && batch.columns === null);
  const table =
    isOpen && !hasEnded
      ? null
      : answerTable({ columns: batch.columns, answers: answerColumns(batch) });
  if (table) requireKnownVariables(config, variableNames(table.header));
  return { batch, hasEnded, table };
}

function requireOwnPrompts(config: BatchConfig): void {
  const option = (["csv", "xlsx"] as const).find((name) => name in config);
  if (option)
    throw invalid([
      { path: `config.${option}`, message: "is for an inputFile, and not for inputBatch" },
    ]);
  if (config.promptTemplate === undefined)
    throw invalid([
      {
        path: "config.promptTemplate",
        message:
          "is needed with inputBatch: the columns of that batch are variables, and no prompts",
      },
    ]);
}

/** Opens the rows of a batch. Throws `BATCH_RUNNING` if it has not ended. */
export function openInputBatch(
  ctx: Context,
  { batch, hasEnded, table }: InputBatch,
  context: RowContext,
): ChainedInput {
  if (!hasEnded || !table)
    throw new AppError(
      "BATCH_RUNNING",
      `Batch ${batch.id}, which inputBatch names, is ${batch.status}`,
    );
  return {
    source: () => readRows(ctx, batch, table, context),
    columns: () => table.header,
    found: () => ({
      format: "batch",
      delimiter: null,
      encoding: null,
      columns: columnNames(table.header),
      ...(batch.input?.dates ? { dates: batch.input.dates } : {}),
      skipped: 0,
    }),
    when: {
      // The time alone is not enough, because two changes may have the same time.
      where: `EXISTS (SELECT 1 FROM batches f WHERE f.seq = ? AND f.id = ? AND f.run = ? AND f.updated_at = ?
                AND f.completed = ? AND f.failed = ? AND f.cancelled = ? AND f.completed_at IS NOT NULL)`,
      args: [
        batch.seq,
        batch.id,
        batch.run,
        batch.updatedAt,
        batch.completed,
        batch.failed,
        batch.cancelled,
      ],
    },
  };
}

/** The condition of a row without an answer: it is always skipped. */
const NEVER: Condition = { names: [], isTrueOf: () => false };

async function* readRows(
  ctx: Context,
  batch: Batch,
  { header, cells }: ResultTable,
  context: RowContext,
): AsyncGenerator<RowPortion> {
  const names = variableNames(header);
  let row = 0;
  function* prepareAll(page: ResultRow[]): Generator<PreparedRow> {
    for (const result of page) {
      const values = cells(result).map((value) => value ?? "");
      const variables = new Map(names.map((name, i) => [name, textOf(values[i] ?? "")]));
      const kept = JSON.stringify(values);
      const { onlyIf } = context;
      const condition = result.status === "completed" ? onlyIf : NEVER;
      yield prepareTask({ ...context, onlyIf: condition }, ++row, {}, variables, kept);
    }
  }
  for await (const page of pagesOf(ctx, batch, undefined)) yield prepareAll(page);
}

function textOf(cell: string | number | boolean): string {
  return typeof cell === "number" ? plainNumber(cell) : String(cell);
}
