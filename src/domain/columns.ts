import { checkJson } from "../lib/json-limits.ts";
import { isJsonObject, type Json } from "../lib/json.ts";

/** A cell could not be read; `field` is the name of its column. */
export type CellIssue = { field: string; message: string };

/** Column names with a meaning; all others are variables. Case and `_` are ignored. */
const KNOWN = new Map(
  Object.entries({
    id: "id",
    prompt: "prompt",
    messages: "messages",
    model: "model",
    temperature: "temperature",
    maxtokens: "maxTokens",
    metadata: "metadata",
    batchid: "batchId",
    corrid: "corrId",
    idempotencykey: "idempotencyKey",
  }),
);

const NUMBERS = new Set(["temperature", "maxTokens"]);
const JSON_CELLS = new Set(["messages", "metadata"]);
/** Labels that other tools put on rows. They are kept in the task's metadata. */
const LABELS = ["batchId", "corrId"];

/** The problems of a header: two columns with the same meaning. Other names may appear twice or be missing. */
export function headerIssues(header: readonly string[]): string[] {
  const issues: string[] = [];
  const seen = new Map<string, string>();
  for (const name of header) {
    const meaning = meaningOf(name);
    if (meaning === undefined) continue;
    const before = seen.get(meaning);
    if (before === name) issues.push(`column ${JSON.stringify(name)} appears twice`);
    else if (before !== undefined)
      issues.push(`columns ${JSON.stringify(before)} and ${JSON.stringify(name)} mean the same`);
    seen.set(meaning, name);
  }
  return issues;
}

/**
 * A unique name for each column, for templates and JSON members: a third column without a name is `column_3`, and a
 * second `city` is `city_2`.
 */
export function columnNames(header: readonly string[]): string[] {
  const given = new Set(header);
  const used = new Set<string>();
  /** The next number to try for a name, so that many columns of one name cost no more than others. */
  const next = new Map<string, number>();
  return header.map((name, i) => {
    const isBlank = name.trim() === "";
    const base = isBlank ? `column_${i + 1}` : name;
    let unique = base;
    let n = next.get(base) ?? 2;
    for (; used.has(unique) || (unique !== name && given.has(unique)); n++) unique = `${base}_${n}`;
    next.set(base, n);
    used.add(unique);
    return unique;
  });
}

/** The task field that a column or member sets, or `undefined` if it is only a variable. */
export function meaningOf(column: string): string | undefined {
  return KNOWN.get(column.trim().toLowerCase().replaceAll("_", ""));
}

/** The names of columns as templates write them, trimmed. */
export function variableNames(header: readonly string[]): string[] {
  return columnNames(header.map((name) => name.trim()));
}

/**
 * Reads the cells of a row by the meaning of their columns: `fields` for the task's schema to check,
 * `variables` for templates (every column, under its own name). An empty cell is a field left out.
 */
export function createRowReader(header: readonly string[]) {
  const names = variableNames(header);
  const known = header.flatMap((name, i) => (meaningOf(name) === undefined ? [] : [{ name, i }]));
  return (cells: readonly string[]) => {
    const fields: Record<string, unknown> = {};
    const issues: CellIssue[] = [];
    for (const { name, i } of known) {
      const issue = readField(fields, name, cells[i] ?? "");
      if (issue) issues.push(issue);
    }
    readLabels(fields);
    const variables = new Map(names.map((name, i) => [name, cells[i] ?? ""]));
    return { fields, variables, issues };
  };
}

/** Sets the task field that a column or member stands for, if any. Texts are parsed like cells of a CSV. */
export function readField(
  fields: Record<string, unknown>,
  name: string,
  value: Json,
): CellIssue | undefined {
  const meaning = meaningOf(name);
  if (meaning === undefined || (typeof value === "string" && value.trim() === "")) return undefined;
  const read = typeof value === "string" ? readCell(meaning, value) : value;
  if (read === undefined)
    return {
      field: name,
      message: NUMBERS.has(meaning) ? "must be a number" : whyNoJson(String(value)),
    };
  if (meaning in fields)
    return { field: name, message: `there is a ${meaning} in this row already` };
  fields[meaning] = read;
  return undefined;
}

/** Moves the labels of a row into its metadata. The row's own metadata has precedence. */
export function readLabels(fields: Record<string, unknown>): void {
  const labels: Record<string, unknown> = {};
  for (const label of LABELS) {
    if (label in fields) labels[label] = fields[label];
    delete fields[label];
  }
  const metadata = fields["metadata"] ?? {};
  if (Object.keys(labels).length > 0 && isJsonObject(metadata))
    fields["metadata"] = { ...labels, ...metadata };
}

function whyNoJson(cell: string): string {
  const checked = checkJson(cell);
  if (!("fault" in checked)) return "must be JSON";
  const { path, message } = checked.fault;
  return path === "" ? message : `${path} ${message}`;
}

function readCell(meaning: string, cell: string): Json | undefined {
  if (NUMBERS.has(meaning)) {
    const number = Number(cell);
    return Number.isFinite(number) ? number : undefined;
  }
  if (!JSON_CELLS.has(meaning)) return meaning === "prompt" ? cell : cell.trim();
  const checked = checkJson(cell);
  return "value" in checked ? checked.value : undefined;
}
