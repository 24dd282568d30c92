import { stringify } from "csv-stringify/sync";

import type { Context } from "../context.ts";
import type { Batch } from "../db/schema.ts";
import { readAnswer } from "../domain/answer.ts";
import { fromProviderBody, promptOf } from "../domain/request.ts";
import { executionId, isFinal, type TaskStatus } from "../domain/task.ts";
import { isJsonObject, type Json, type JsonObject, parseJson } from "../lib/json.ts";
import { type BatchTask, listBatchTasks } from "../store/batches.ts";

export const RESULT_FORMATS = ["csv", "jsonl", "json"] as const;
export type ResultFormat = (typeof RESULT_FORMATS)[number];

export type ResultOptions = {
  format: ResultFormat;
  status?: TaskStatus | undefined;
  /** Neutralise cells that a spreadsheet would run as formulas. */
  safe: boolean;
};

/** Read at a time: a millisecond or two of the event loop. */
const PAGE_ROWS = 500;

/**
 * The tasks of a batch in input order with what came of them so far, in pieces of text. It reads
 * page by page as the reader takes them, so that a slow reader costs nothing but time.
 */
export async function* streamResults(
  ctx: Context,
  batch: Batch,
  options: ResultOptions,
): AsyncGenerator<string> {
  const write = WRITERS[options.format](batch, options);
  yield write.head;
  let isFirst = true;
  for (let after = -1; ;) {
    const page = await listBatchTasks(ctx.db, batch.seq, {
      limit: PAGE_ROWS,
      after,
      status: options.status,
    });
    const last = page.at(-1);
    if (!last) break;
    yield write.rows(page, isFirst);
    isFirst = false;
    after = last.task.position ?? after;
    if (page.length < PAGE_ROWS) break;
  }
  yield write.foot;
}

type Writer = {
  head: string;
  rows: (tasks: BatchTask[], isFirst: boolean) => string;
  foot: string;
};

const WRITERS: Record<ResultFormat, (batch: Batch, options: ResultOptions) => Writer> = {
  csv: (batch, { safe }) => {
    const columns = batch.columns ?? INLINE_COLUMNS;
    const line = (records: unknown[][]) => stringify(records, { escape_formulas: safe });
    const mark = batch.isDryRun ? { name: ["is_dry_run"], cell: ["true"] } : { name: [], cell: [] };
    return {
      head: line([[...columns, ...resultColumns(columns), ...mark.name]]),
      rows: (tasks) =>
        line(tasks.map((task) => [...cellsOf(task, columns), ...resultCells(task), ...mark.cell])),
      foot: "",
    };
  },
  jsonl: () => ({
    head: "",
    rows: (tasks) => tasks.map((task) => `${JSON.stringify(toResult(task))}\n`).join(""),
    foot: "",
  }),
  json: () => ({
    head: "[",
    rows: (tasks, isFirst) =>
      (isFirst ? "\n" : ",\n") + tasks.map((task) => JSON.stringify(toResult(task))).join(",\n"),
    foot: "\n]\n",
  }),
};

/** Columns of a batch that was not made from a CSV. */
const INLINE_COLUMNS = ["id", "prompt", "messages", "model", "metadata"];

const RESULT_COLUMNS = [
  "status",
  "result",
  "error",
  "prompt_tokens",
  "completion_tokens",
  "cost_usd",
  "attempts",
  "execution_id",
];

/** The names of the result's columns; one that the input has too is prefixed, so that none is lost. */
function resultColumns(columns: string[]): string[] {
  return RESULT_COLUMNS.map((name) => (columns.includes(name) ? `task_${name}` : name));
}

function cellsOf({ task, input }: BatchTask, columns: string[]): string[] {
  const cells: Json | undefined = input.cells === null ? undefined : parseJson(input.cells);
  if (Array.isArray(cells)) return cells.map(String);
  const body = bodyOf(input.body);
  const { messages } = fromProviderBody(input.endpoint, body);
  const prompt = input.prompt ?? promptOf(body);
  const known: Record<string, string | null> = {
    id: task.id,
    prompt,
    messages:
      messages && (prompt === null || input.prompt !== null) ? JSON.stringify(messages) : "",
    model: task.model,
    metadata: input.metadata,
  };
  return columns.map((column) => known[column] ?? "");
}

function resultCells({ task, input, execution: latest }: BatchTask): (string | number | null)[] {
  const execution = isFinal(task.status) ? latest : null;
  const answer = execution?.response
    ? readAnswer(input.endpoint, parseJson(execution.response))
    : undefined;
  return [
    task.status,
    answer?.content ?? null,
    execution?.error ? errorText(execution.error) : null,
    execution?.promptTokens ?? null,
    execution?.completionTokens ?? null,
    execution?.costUsd ?? null,
    execution ? execution.attempts : null,
    execution ? executionId(task.seq, execution.run) : null,
  ];
}

function toResult(row: BatchTask): Record<string, unknown> {
  const { task, input, execution: latest } = row;
  const execution = isFinal(task.status) ? latest : null;
  const [, content] = resultCells(row);
  return {
    id: task.id,
    status: task.status,
    model: task.model,
    result: content,
    error: execution?.error ? parseJson(execution.error) : null,
    usage:
      execution?.promptTokens === null || execution === null
        ? null
        : { promptTokens: execution.promptTokens, completionTokens: execution.completionTokens },
    costUsd: execution?.costUsd ?? null,
    attempts: execution?.attempts ?? 0,
    executionId: execution ? executionId(task.seq, execution.run) : null,
    ...(execution?.isDryRun ? { isDryRun: true } : {}),
    metadata: input.metadata === null ? null : parseJson(input.metadata),
  };
}

function errorText(json: string): string {
  const error = parseJson(json);
  return isJsonObject(error) ? `${String(error["code"])}: ${String(error["message"])}` : json;
}

function bodyOf(text: string): JsonObject {
  const body = parseJson(text);
  return isJsonObject(body) ? body : {};
}
