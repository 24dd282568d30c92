import { parseExactOrNone } from "../lib/exact-json.ts";
import { isJsonObject, type Json, type JsonObject } from "../lib/json.ts";
import { meaningOf } from "./columns.ts";
import { withoutOutput } from "./output.ts";
import { fromProviderBody } from "./request.ts";
import { csvOf, type CsvShape, type ResultWriter } from "./result-format.ts";
import type { ResultSource } from "./result-row.ts";
import { cellOf, type ResultCell, type ResultTable } from "./result-table.ts";
import { CsvOptions, XlsxOptions } from "./task-input.ts";

/*
 * Rows of a batch's input as they were, to be sent again: a table for a table, JSONL for anything else.
 * Ids and idempotency keys belong to the tasks that were made of them; so that the rows are not refused,
 * they are variables in the new file: `original_id`.
 */

/** Fields that must be unique, so no other row can have the same value. */
const TAKEN = new Set(["id", "idempotencyKey"]);

/** Writes the rows of a batch. `columns` are those of its file; `null` for JSON and inline tasks. */
export function createInputWriter(columns: string[] | null, shape: CsvShape): ResultWriter {
  if (columns === null)
    return {
      head: shape.bom ? "\uFEFF" : "",
      rows: (rows) => rows.map((row) => `${toLine(row)}\n`).join(""),
      foot: "",
    };
  return csvOf(inputTable(columns), shape);
}

/**
 * Where the options of a batch expect the rows of a CSV, so that it can be sent again with the same options. A byte order
 * mark has precedence over an encoding that they name.
 */
export function csvLayout(config: Config): Required<Omit<CsvShape, "safe">> {
  const { delimiter = ",", encoding, ...header } = CsvOptions.safeParse(config["csv"]).data ?? {};
  return { delimiter, bom: encoding !== undefined, headerRow: headerRowOf(header) };
}

/** The same for a workbook. A sheet that the options name by its position keeps no place. */
export function xlsxLayout(config: Config): { sheet: string | undefined; headerRow: number } {
  const { sheet, ...header } = XlsxOptions.safeParse(config["xlsx"]).data ?? {};
  return {
    sheet: typeof sheet === "string" ? sheet : undefined,
    headerRow: headerRowOf(header),
  };
}

type Config = Record<string, unknown>;

function headerRowOf(options: Pick<CsvOptions, "header" | "headerRow">): number {
  return options.header === false ? 0 : (options.headerRow ?? 1);
}

/** The rows of a batch whose file had these columns. */
export function inputTable(columns: string[]): ResultTable {
  return { header: renamed(columns), cells: (row) => cellsOf(row, columns.length) };
}

function renamed(names: readonly string[]): string[] {
  return names.map((name) => (TAKEN.has(meaningOf(name) ?? "") ? unused(name, names) : name));
}

function unused(name: string, names: readonly string[]): string {
  const other = `original_${name.trim()}`;
  return names.includes(other) ? unused(other, names) : other;
}

/** A task that was added to a batch without a file has no cells. */
function cellsOf({ cells }: ResultSource, count: number): ResultCell[] {
  const input = parseExactOrNone(cells ?? "[]");
  return Array.isArray(input) ? input.map(cellOf) : Array.from({ length: count }, () => "");
}

function toLine(row: ResultSource): string {
  const input = row.cells === null ? inlineTask(row) : parseExactOrNone(row.cells);
  if (!isJsonObject(input) || ("custom_id" in input && "body" in input)) return row.cells ?? "";
  const names = Object.keys(input);
  const values: Json[] = Object.values(input);
  return `{${renamed(names)
    .map((name, i) => `${JSON.stringify(name)}:${JSON.stringify(values[i])}`)
    .join(",")}}`;
}

/** An inline task as a line of JSONL, templates filled in. */
function inlineTask(row: ResultSource): JsonObject {
  const body = parseExactOrNone(row.body ?? "{}");
  const { messages, model, temperature, maxTokens, parameters } = fromProviderBody(
    row.endpoint,
    isJsonObject(body) ? withoutOutput(body, row.maxRepairs) : {},
  );
  const metadata = parseExactOrNone(row.metadata ?? "null") ?? null;
  const given = { id: row.id, messages, model, temperature, maxTokens, metadata };
  const kept = Object.entries(given).filter(([, value]) => value !== null);
  return {
    ...(Object.fromEntries(kept) as JsonObject),
    ...(Object.keys(parameters).length > 0 ? { parameters } : {}),
  };
}
