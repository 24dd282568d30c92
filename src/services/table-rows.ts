import { columnNames, createRowReader, headerIssues, variableNames } from "../domain/columns.ts";
import { unknownVariables } from "../domain/compose.ts";
import { parseCondition } from "../domain/condition.ts";
import type { BatchConfig } from "../domain/task-input.ts";
import { parseTemplate } from "../domain/template.ts";
import { invalid } from "../errors.ts";
import { plainNumber } from "../lib/plain-number.ts";
import { type Cell, MOST_SHEET_COLUMNS } from "../lib/tables/table.ts";
import {
  prepareFields,
  type PreparedRow,
  type RowContext,
  type RowPortion,
} from "./prepare-row.ts";

/** The table of a file: rows of cells, including the header and blank rows. */
export type Table = {
  name: string;
  hasHeader: boolean;
  /** The number of the header row, from 1; `undefined`: the first row that is not blank. */
  headerRow: number | undefined;
  /** Empty cells at the end of a row may be missing. */
  isRagged: boolean;
  /** How to correct a row with too many or too few cells. */
  advice: string;
  /** The records in portions. */
  records: () => AsyncIterable<Cell[][]>;
};

/** The columns of a table. */
type Layout = {
  /** The header of the file, with names for unnamed columns. */
  header: string[];
  /** The number of columns up to the last one with a name. */
  named: number;
  /** The number of columns up to the last one with a name or, as far as rows were read, a cell that is not blank. */
  width: number;
};

/**
 * Opens a table as the input of a batch. Throws `VALIDATION_ERROR` if its header or a template is
 * wrong.
 */
export async function openTable(table: Table, context: RowContext) {
  const layout = await readLayout(table);
  const seen = { skipped: 0 };
  requireKnownVariables(context.config, variableNames(layout.header));
  const columns = () => layout.header.slice(0, layout.width);
  return {
    columns,
    source: () => readRows(table, layout, context, seen),
    found: () => ({ columns: columnNames(columns()), skipped: seen.skipped }),
  };
}

async function readLayout({ name, hasHeader, headerRow, records }: Table): Promise<Layout> {
  const first = await firstFilled(records(), headerRow);
  if (!first) {
    const which =
      headerRow === undefined
        ? "no header row"
        : `nothing in row ${headerRow}, which headerRow says is the header`;
    throw invalid([{ path: "inputFile", message: `${name} has ${which}` }]);
  }
  const header = hasHeader ? first.map(textOf) : columnNames(first.map(() => ""));
  const named = header.findLastIndex((cell) => cell.trim() !== "") + 1;
  const issues = headerIssues(header);
  if (named > MOST_SHEET_COLUMNS)
    issues.push(`it has ${named} columns; ${MOST_SHEET_COLUMNS} is the most`);
  if (issues.length > 0)
    throw invalid(
      issues.map((issue) => ({ path: "inputFile", message: `header of ${name}: ${issue}` })),
    );
  return { header: header.slice(0, MOST_SHEET_COLUMNS), named, width: named };
}

/** The first row that is not blank, or the row with a given number unless that is blank. */
async function firstFilled(
  records: AsyncIterable<Cell[][]>,
  only: number | undefined,
): Promise<Cell[] | undefined> {
  let row = 0;
  for await (const portion of records)
    for (const record of portion) {
      row++;
      if (only === undefined ? !isBlank(record) : row === only)
        return isBlank(record) ? undefined : record;
    }
  return undefined;
}

function isBlank(cells: readonly Cell[]): boolean {
  return cells.every(isEmpty);
}

function textOf(cell: Cell): string {
  if (typeof cell === "string") return cell;
  return typeof cell === "number" ? plainNumber(cell) : String(cell);
}

function isEmpty(cell: Cell): boolean {
  return typeof cell === "string" && cell.trim() === "";
}

/** Throws `VALIDATION_ERROR` if a template or a condition has an unknown variable. */
export function requireKnownVariables(config: BatchConfig, columns: string[]): void {
  const known = new Set(columns);
  const issues = unknownIn(config, columns, (variable) => known.has(variable));
  for (const [i, { column }] of (config.attachments ?? []).entries())
    if (!columns.includes(column))
      issues.push({
        path: `config.attachments.${i}.column`,
        message: `there is no column ${column}; there are ${columns.join(", ")}`,
      });
  if (issues.length > 0) throw invalid(issues);
}

/** The names that templates and the condition ask for, by the field of the configuration. */
export function placeholdersIn(config: BatchConfig): [field: string, names: readonly string[]][] {
  const { promptTemplate = "", systemPrompt = "", onlyIf } = config;
  return [
    ["promptTemplate", parseTemplate(promptTemplate).names],
    ["systemPrompt", parseTemplate(systemPrompt).names],
    ["onlyIf", onlyIf === undefined ? [] : parseCondition(onlyIf).names],
  ];
}

/** What is wrong with the placeholders of a configuration. */
export function unknownIn(
  config: BatchConfig,
  columns: string[],
  isKnown: (variable: string) => boolean,
): { path: string; message: string }[] {
  return placeholdersIn(config).flatMap(([field, asked]) => {
    const missing = asked.filter((variable) => !isKnown(variable));
    return missing.length > 0
      ? [{ path: `config.${field}`, message: unknownVariables(missing, columns) }]
      : [];
  });
}

/** The rows that are not blank. They are numbered from the row below the header, and blank rows count. */
async function* readRows(
  { hasHeader, headerRow = 1, isRagged, advice, records }: Table,
  layout: Layout,
  context: RowContext,
  seen: { skipped: number },
): AsyncGenerator<RowPortion> {
  const readRow = createRowReader(layout.header);
  let isHeader = hasHeader;
  let [above, row, skipped] = [headerRow - 1, 0, 0];
  function prepare(record: Cell[]): PreparedRow {
    const cells = fit(record, layout, isRagged);
    if (!cells) {
      const message = `the row has ${record.length} cells, the header ${layout.header.length}; ${advice}`;
      return { row, value: null, issues: [{ field: "", message }] };
    }
    const { fields, variables, issues } = readRow(cells.map(textOf));
    return issues.length > 0
      ? { row, value: null, issues }
      : prepareFields(context, row, fields, variables, JSON.stringify(cells));
  }
  function* prepareAll(portion: Cell[][]): Generator<PreparedRow> {
    for (const record of portion) {
      if (above-- > 0) continue;
      const isEmpty = isBlank(record);
      if (isHeader) {
        isHeader = isEmpty;
        continue;
      }
      row++;
      if (isEmpty) skipped++;
      else yield prepare(record);
    }
  }
  for await (const portion of records()) yield prepareAll(portion);
  seen.skipped = skipped;
}

/**
 * The cells of a row, as many as there are columns as far as rows were read, or `undefined` if their number does not
 * fit. Programs write empty cells at the end of some rows and omit them in others.
 */
function fit(record: Cell[], layout: Layout, isRagged: boolean): Cell[] | undefined {
  const { header, named, width } = layout;
  if (record.length === width) return record;
  if (record.length < named && !isRagged) return undefined;
  const filled = record.findLastIndex((cell) => !isEmpty(cell)) + 1;
  if (filled > header.length) return undefined;
  layout.width = Math.max(width, filled);
  const cells = record.slice(0, layout.width);
  while (cells.length < layout.width) cells.push("");
  return cells;
}
