import { csvLine } from "../lib/csv-line.ts";
import { canonicalJson, parseJson } from "../lib/json.ts";
import { columnNames } from "./columns.ts";
import { jsonWriter, type ResultWriter } from "./result-format.ts";
import { inputMembers } from "./result-json.ts";
import { answerOf, errorText, type ResultSource } from "./result-row.ts";
import { INLINE_COLUMNS, inputCells, ownName, type ResultCell } from "./result-table.ts";

/** The tasks of one row in two batches; `null` in the batch that has no such row. */
export type Pair =
  | { left: ResultSource; right: ResultSource | null }
  | { left: null; right: ResultSource };

export const COMPARISON_FORMATS = ["csv", "jsonl", "json"] as const;

export type ComparisonFormat = (typeof COMPARISON_FORMATS)[number];

export type ComparisonShape = {
  format: ComparisonFormat;
  /** The columns of the input, which is that of the left batch; null for inline tasks. */
  columns: string[] | null;
  safe: boolean;
  bom: boolean;
};

const SIDE = ["status", "result", "error", "model", "cost_usd", "duration_ms"];

/** Writes pairs of results: the input row, then each side, then whether the answers are equal. */
export function createComparisonWriter(shape: ComparisonShape): ResultWriter<Pair> {
  if (shape.format === "csv") return csvWriter(shape);
  const members = shape.columns && columnNames(shape.columns);
  return jsonWriter(shape.format, (pair) => jsonRow(pair, members));
}

/**
 * Whether two answers are equal: the same text except for blanks at its ends, or the same JSON whatever its layout,
 * and the same tool calls. `null` if one of the tasks has no answer.
 */
export function isEqual({ left, right }: Pair): boolean | null {
  if (left?.status !== "completed" || right?.status !== "completed") return null;
  const [one, other] = [answerOf(left), answerOf(right)];
  if (!one || !other) return null;
  return (
    meant(one.content) === meant(other.content) &&
    canonicalJson(one.toolCalls) === canonicalJson(other.toolCalls)
  );
}

function meant(content: string | null): string | null {
  const text = content?.trim() ?? null;
  if (text === null || !/^[[{]/.test(text)) return text;
  const value = parseJson(text);
  return value === undefined ? text : canonicalJson(value);
}

function csvWriter({ columns: given, safe, bom }: ComparisonShape): ResultWriter<Pair> {
  const columns = given ?? INLINE_COLUMNS;
  const added = [
    ...["left", "right"].flatMap((side) => SIDE.map((name) => `${side}_${name}`)),
    "equal",
  ];
  const head = csvLine([...columns, ...added.map((name) => ownName(name, columns))], safe);
  return {
    head: (bom ? "\uFEFF" : "") + head,
    rows: (pairs) =>
      pairs
        .map((pair) => {
          const equal = isEqual(pair);
          return csvLine(
            [
              ...inputCells(pair.left ?? pair.right, columns),
              ...sideCells(pair.left),
              ...sideCells(pair.right),
              equal === null ? null : String(equal),
            ],
            safe,
          );
        })
        .join(""),
    foot: "",
  };
}

function sideCells(row: ResultSource | null): ResultCell[] {
  if (!row) return SIDE.map(() => null);
  return [
    row.status,
    answerOf(row)?.content ?? null,
    row.error === null ? null : errorText(row.error),
    modelOf(row),
    row.costUsd,
    row.durationMs,
  ];
}

function jsonRow(pair: Pair, columns: string[] | null): string {
  const row = pair.left ?? pair.right;
  const rest = JSON.stringify({
    left: sideMembers(pair.left),
    right: sideMembers(pair.right),
    equal: isEqual(pair),
  });
  return `{"input":${inputText(row, columns)},${rest.slice(1)}`;
}

/** The input row as JSON: its members unchanged, or for an inline task the fields that identify it. */
function inputText(row: ResultSource, columns: string[] | null): string {
  if (row.cells !== null) return `{${inputMembers(row, columns).text}}`;
  const cells = inputCells(row, INLINE_COLUMNS);
  return JSON.stringify(Object.fromEntries(INLINE_COLUMNS.map((name, i) => [name, cells[i]])));
}

function sideMembers(row: ResultSource | null) {
  if (!row) return null;
  const answer = answerOf(row);
  return {
    taskId: row.id,
    status: row.status,
    model: modelOf(row),
    result: answer?.content ?? null,
    toolCalls: answer?.toolCalls ?? null,
    error: row.error === null ? null : parseJson(row.error),
    costUsd: row.costUsd,
    durationMs: row.durationMs,
  };
}

function modelOf(row: ResultSource): string {
  return answerOf(row)?.model ?? row.calledModel ?? row.model;
}
