import { csvLine } from "../lib/csv-line.ts";
import { jsonLine } from "./result-json.ts";
import type { ResultSource } from "./result-row.ts";
import { resultTable, type ResultTable, type TableShape } from "./result-table.ts";

export const RESULT_FORMATS = ["csv", "xlsx", "jsonl", "json"] as const;
export type ResultFormat = (typeof RESULT_FORMATS)[number];

/** Results as text. */
export type ResultWriter<Row = ResultSource> = {
  head: string;
  rows: (rows: Row[], isFirst: boolean) => string;
  foot: string;
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

function csvWriter(shape: ResultShape): ResultWriter {
  return csvOf(resultTable(shape), shape);
}

export type CsvShape = {
  safe: boolean;
  bom: boolean;
  delimiter?: string;
  /** The number of the header's row, with blank rows above it; 0 for no header. */
  headerRow?: number;
};

/** A table as CSV. */
export function csvOf(
  { header, cells }: ResultTable,
  { safe, bom, delimiter, headerRow = 1 }: CsvShape,
): ResultWriter {
  const above = "\n".repeat(Math.max(0, headerRow - 1));
  const first = headerRow === 0 ? "" : csvLine(header, safe, delimiter);
  return {
    head: (bom ? "\uFEFF" : "") + above + first,
    rows: (rows) => rows.map((row) => csvLine(cells(row), safe, delimiter)).join(""),
    foot: "",
  };
}
