import { parseExactOrNone } from "../lib/exact-json.ts";
import { isJsonObject, type Json, type JsonObject } from "../lib/json.ts";
import type { Answer } from "./answer.ts";
import { type OutputColumn, valueAt } from "./output.ts";
import { fromProviderBody, promptOf } from "./request.ts";
import { answerOf, errorText, finishReasonOf, parsedOf, type ResultSource } from "./result-row.ts";
import { executionId } from "./task.ts";

/** A cell of results. It keeps the type that it has in the input. */
export type ResultCell = string | number | boolean | null;

/** Results as a table. */
export type ResultTable = { header: string[]; cells: (row: ResultSource) => ResultCell[] };

export type TableShape = {
  /** The columns of the batch's file; null for inline tasks. */
  columns: string[] | null;
  /** The properties of the answers; a CSV has a column for each. */
  answers: readonly OutputColumn[];
  isDryRun: boolean;
};

/** Columns of a batch that was not made from a file. */
export const INLINE_COLUMNS = ["id", "prompt", "messages", "model", "metadata"];

const CSV_COLUMNS = [
  "status",
  "result",
  "error",
  "prompt_tokens",
  "completion_tokens",
  "cost_usd",
  "attempts",
  "execution_id",
  "finish_reason",
  "model",
  "cached",
  "tool_calls",
  "refusal",
];

/** Each row has the cells of its input row, and then the result. */
export function resultTable({ columns: given, answers, isDryRun }: TableShape): ResultTable {
  const columns = given ?? INLINE_COLUMNS;
  const results = isDryRun ? [...CSV_COLUMNS, "is_dry_run"] : CSV_COLUMNS;
  const own = results.map((name) => ownName(name, columns));
  const named = [...columns, ...own];
  for (const { name } of answers) named.push(answerName(name, named));
  const header = [...columns, ...named.slice(columns.length + own.length), ...own];
  return {
    header,
    cells: (row) => {
      const answer = answerOf(row);
      const parsed = parsedOf(row, answer);
      return [
        ...inputCells(row, columns),
        ...answers.map(({ path }) => cellOf(parsed ? valueAt(parsed, path) : undefined)),
        ...resultCells(row, answer),
        ...(isDryRun ? [row.isDryRun === null ? null : row.isDryRun === 1] : []),
      ];
    },
  };
}

/**
 * The rows of a batch with their answers: a column for each property, or one for the text, with the names that
 * results use.
 */
export function answerTable(shape: Pick<TableShape, "columns" | "answers">): ResultTable {
  const { header, cells } = resultTable({ ...shape, isDryRun: false });
  const own = header.length - CSV_COLUMNS.length;
  const places = Array.from({ length: own }, (_, i) => i);
  if (shape.answers.length === 0) places.push(own + CSV_COLUMNS.indexOf("result"));
  return {
    header: places.map((i) => header[i] ?? ""),
    cells: (row) => {
      const all = cells(row);
      return places.map((i) => all[i] ?? null);
    },
  };
}

export function ownName(name: string, taken: { includes(name: string): boolean }): string {
  return taken.includes(name) ? ownName(`task_${name}`, taken) : name;
}

/**
 * A name for an answer's column. Readers expect the names of input and result columns, so the answer's column is
 * renamed if they collide.
 */
function answerName(name: string, taken: readonly string[]): string {
  return taken.includes(name) ? answerName(`answer_${name}`, taken) : name;
}

export function inputCells(row: ResultSource, columns: string[]): ResultCell[] {
  const input = row.cells === null ? undefined : parseExactOrNone(row.cells);
  // A row that was read before a later one had more cells has fewer than there are columns.
  if (Array.isArray(input)) return columns.map((_, i) => cellOf(input[i]));
  if (isJsonObject(input)) return columns.map((column) => cellOf(input[column]));
  const { prompt, messages } = inlineRequest(row);
  const known: Record<string, string | null> = {
    id: row.id,
    prompt,
    messages: messages && JSON.stringify(messages),
    model: row.model,
    metadata: row.metadata,
  };
  return columns.map((column) => known[column] ?? "");
}

/** A member of the input row as a cell. Numbers that would be written differently become texts. */
export function cellOf(value: Json | undefined): string | number | boolean {
  if (value === undefined || value === null) return "";
  return typeof value === "object" ? JSON.stringify(value) : value;
}

function inlineRequest(row: ResultSource) {
  const parsed = parseExactOrNone(row.body ?? "{}");
  const body: JsonObject = isJsonObject(parsed) ? parsed : {};
  const { messages } = fromProviderBody(row.endpoint, body);
  const prompt = row.prompt ?? promptOf(body);
  return { prompt, messages: prompt === null || row.prompt !== null ? messages : null };
}

function resultCells(row: ResultSource, answer: Answer | undefined): ResultCell[] {
  return [
    row.status,
    answer?.content ?? null,
    row.error === null ? null : errorText(row.error),
    row.promptTokens,
    row.completionTokens,
    row.costUsd,
    row.attempts,
    row.run === null ? null : executionId(row.seq, row.run),
    finishReasonOf(row, answer),
    answer?.model ?? row.calledModel,
    row.isCached === null ? null : row.isCached === 1,
    answer?.toolCalls ? JSON.stringify(answer.toolCalls) : null,
    answer?.refusal ?? null,
  ];
}
