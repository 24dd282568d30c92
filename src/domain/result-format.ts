import { csvLine } from "../lib/csv-line.ts";
import { parseExactOrNone } from "../lib/exact-json.ts";
import { isJsonObject, type Json, type JsonObject, parseJson } from "../lib/json.ts";
import { parsedAnswer } from "./answer-json.ts";
import { type Answer, readAnswer } from "./answer.ts";
import { columnNames } from "./columns.ts";
import { type OutputColumn, valueAt } from "./output.ts";
import { type Endpoint, fromProviderBody, promptOf } from "./request.ts";
import { executionId, type TaskStatus } from "./task.ts";

export const RESULT_FORMATS = ["csv", "xlsx", "jsonl", "json"] as const;
export type ResultFormat = (typeof RESULT_FORMATS)[number];

/** The data of one result; `cells` is the input row, if the batch was made from rows. */
export type ResultSource = {
  seq: number;
  id: string;
  status: TaskStatus;
  isSkipped: number;
  model: string;
  endpoint: Endpoint;
  cells: string | null;
  /** Set if the answer is checked, so the answer of a completed task matches its schema. */
  maxRepairs: number | null;
  body: string | null;
  prompt: string | null;
  metadata: string | null;
  run: number | null;
  attempts: number | null;
  isDryRun: number | null;
  isCached: number | null;
  isEstimated: number | null;
  promptTokens: number | null;
  completionTokens: number | null;
  costUsd: number | null;
  durationMs: number | null;
  /** The model that was called. */
  calledModel: string | null;
  response: string | null;
  error: string | null;
};

/** A cell of results. It keeps the type that it has in the input. */
export type ResultCell = string | number | boolean | null;

/** Results as a table. */
export type ResultTable = { header: string[]; cells: (row: ResultSource) => ResultCell[] };

/** Results as text. */
export type ResultWriter<Row = ResultSource> = {
  head: string;
  rows: (rows: Row[], isFirst: boolean) => string;
  foot: string;
};

export type TableShape = {
  /** The columns of the batch's file; null for inline tasks. */
  columns: string[] | null;
  /** The properties of the answers; a CSV has a column for each. */
  answers: readonly OutputColumn[];
  isDryRun: boolean;
};

export type ResultShape = TableShape & {
  format: Exclude<ResultFormat, "xlsx">;
  /** Neutralise cells that a spreadsheet would run as formulas. */
  safe: boolean;
  /** Begin a CSV with a byte order mark, without which Excel takes UTF-8 for another encoding. */
  bom: boolean;
};

/**
 * Writes results. Each row has the cells of its input row, unchanged and in the same order, and then the result; a
 * result column whose name the input uses is prefixed with `task_`.
 */
export function createResultWriter(shape: ResultShape): ResultWriter {
  if (shape.format === "csv") return csvWriter(shape);
  return jsonWriter(shape.format, jsonLine(shape));
}

/** Rows that are JSON: one a line, or the items of one array. */
export function jsonWriter<Row>(
  format: "jsonl" | "json",
  toText: (row: Row) => string,
): ResultWriter<Row> {
  if (format === "jsonl")
    return { head: "", rows: (rows) => rows.map((row) => `${toText(row)}\n`).join(""), foot: "" };
  return {
    head: "[",
    rows: (rows, isFirst) => (isFirst ? "\n" : ",\n") + rows.map(toText).join(",\n"),
    foot: "\n]\n",
  };
}

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

function csvWriter(shape: ResultShape): ResultWriter {
  return csvOf(resultTable(shape), shape);
}

/** A table as CSV. */
export function csvOf(
  { header, cells }: ResultTable,
  { safe, bom }: { safe: boolean; bom: boolean },
): ResultWriter {
  return {
    head: (bom ? "\uFEFF" : "") + csvLine(header, safe),
    rows: (rows) => rows.map((row) => csvLine(cells(row), safe)).join(""),
    foot: "",
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

/** The JSON object of an answer that was checked and matches its schema. */
function parsedOf(row: ResultSource, answer: Answer | undefined): JsonObject | null {
  const isGood = row.maxRepairs !== null && row.status === "completed";
  return isGood && answer ? parsedAnswer(answer.content) : null;
}

export function inputCells(row: ResultSource, columns: string[]): ResultCell[] {
  const input = row.cells === null ? undefined : parseExactOrNone(row.cells);
  if (Array.isArray(input)) return input.map(cellOf);
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

/** Why an answer ended, or why there is none. */
function finishReasonOf(row: ResultSource, answer: Answer | undefined): string | null {
  return row.status === "cancelled" && row.isSkipped === 1
    ? "skipped"
    : (answer?.finishReason ?? null);
}

export function answerOf({ endpoint, response }: ResultSource): Answer | undefined {
  return response === null ? undefined : readAnswer(endpoint, parseJson(response));
}

/** The usage of the answer. A reused answer shows that of the original call. */
function usageOf(row: ResultSource, answer: Answer | undefined) {
  const { promptTokens, completionTokens } = (row.isCached ? answer?.usage : undefined) ?? row;
  if (promptTokens === null) return null;
  return { promptTokens, completionTokens, ...(row.isEstimated ? { estimated: true } : {}) };
}

export function errorText(json: string): string {
  const error = parseJson(json);
  return isJsonObject(error) ? `${String(error["code"])}: ${String(error["message"])}` : json;
}

/** A result as the text of one JSON object, which begins with the members of the input's row. */
function jsonLine({ columns }: ResultShape): (row: ResultSource) => string {
  const members = columns && columnNames(columns);
  return (row) => {
    const { text, names } = inputMembers(row, members);
    const added = Object.entries(resultMembers(row, names.has("id"))).map(
      ([name, value]) => `${JSON.stringify(nameFor(name, names))}:${JSON.stringify(value)}`,
    );
    return `{${text}${text === "" ? "" : ","}${added.join(",")}}`;
  };
}

function nameFor(name: string, names: Set<string>): string {
  return names.has(name) ? nameFor(`task_${name}`, names) : name;
}

/** The members of the input row, as text: those of a JSONL line byte for byte. */
export function inputMembers(
  row: ResultSource,
  columns: string[] | null,
): { text: string; names: Set<string> } {
  const input = row.cells === null ? undefined : parseJson(row.cells);
  if (isJsonObject(input)) {
    const text = (row.cells ?? "").trim().slice(1, -1).trim();
    return { text, names: new Set(Object.keys(input)) };
  }
  if (!Array.isArray(input) || columns === null) return { text: "", names: new Set() };
  const members = columns.map(
    (name, i) => `${JSON.stringify(name)}:${JSON.stringify(cellOf(input[i]))}`,
  );
  return { text: members.join(","), names: new Set(columns) };
}

function resultMembers(row: ResultSource, hasId: boolean): Record<string, unknown> {
  const answer = answerOf(row);
  const { toolCalls = null, refusal = null } = answer ?? {};
  return {
    ...(row.cells === null ? { id: row.id } : hasId ? {} : { taskId: row.id }),
    status: row.status,
    model: answer?.model ?? row.calledModel ?? (row.cells === null ? row.model : null),
    result: answer?.content ?? null,
    ...(row.maxRepairs === null ? {} : { parsed: parsedOf(row, answer) }),
    error: row.error === null ? null : parseJson(row.error),
    finishReason: finishReasonOf(row, answer),
    toolCalls,
    refusal,
    usage: usageOf(row, answer),
    costUsd: row.costUsd,
    attempts: row.attempts ?? 0,
    executionId: row.run === null ? null : executionId(row.seq, row.run),
    ...(row.isDryRun ? { isDryRun: true } : {}),
    cached: row.isCached === 1,
    ...(row.cells === null
      ? { metadata: row.metadata === null ? null : (parseExactOrNone(row.metadata) ?? null) }
      : {}),
  };
}
