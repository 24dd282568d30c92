/**
 * The most rows and columns of a sheet of a workbook, including the header. The limit of columns holds for other
 * tables, too.
 */
export const MOST_SHEET_ROWS = 1_048_576;
export const MOST_SHEET_COLUMNS = 16_384;

/** A cell of a table that has types. A date is a text in ISO 8601; an empty cell is an empty text. */
export type Cell = string | number | boolean;

/** How a workbook is to be read. */
export type WorkbookOptions = {
  /** By name, or by position from 1; the first visible one unless given. */
  sheet?: string | number | undefined;
  /** `formatted`: all cells as the texts that a spreadsheet program shows. */
  values?: "plain" | "formatted" | undefined;
};

export type TableFormat = "xlsx" | "parquet";

export type TableSource = { path: string; format: TableFormat; options: WorkbookOptions };

/** The facts about a table that are known once it has been read. */
export type TableFound = {
  /** The sheet of a workbook. */
  sheet: string | null;
  /** Positions of the columns that hold dates. */
  dates: number[];
};

/** A reader of a table gives rows, some at a time, and reports at the end what was found. */
export type TableRows = (onFound: (found: TableFound) => void) => AsyncGenerator<Cell[][]>;

/** A file is not a table that can be read; the message says what it is, and what to do. */
export class TableFileError extends Error {
  override readonly name = "TableFileError";
}

/** The most cells that are passed on together: some milliseconds of work for the receiver. */
const MOST_CELLS_AT_ONCE = 4000;
const MOST_CHARACTERS_AT_ONCE = 262_144;
/** The most rows × columns of a table, including empty cells: a small file can declare any number. */
const MOST_CELLS = 50_000_000;
/** The most characters of all cells: a small file can repeat a long text any number of times. */
const MOST_CHARACTERS = 2_147_483_648;

/** Collects rows until there are enough to be passed on, and enforces the limits of a table. */
export class RowCollector {
  rows: Cell[][] = [];
  #cells = 0;
  #characters = 0;
  #allCells = 0;
  #allCharacters = 0;

  /** `where` begins the sentence that refuses a table that is too large. */
  add(row: Cell[], where: string): void {
    let characters = 0;
    for (const cell of row) characters += typeof cell === "string" ? cell.length : 8;
    this.#cells += row.length + 1;
    this.#characters += characters;
    this.#allCells += row.length + 1;
    this.#allCharacters += characters;
    if (this.#allCells > MOST_CELLS)
      throw new TableFileError(`${where}: the table has more than ${MOST_CELLS} cells; divide it`);
    if (this.#allCharacters > MOST_CHARACTERS)
      throw new TableFileError(
        `${where}: the cells have more than ${MOST_CHARACTERS} characters; divide the table`,
      );
    this.rows.push(row);
  }

  get isFull(): boolean {
    return this.#cells >= MOST_CELLS_AT_ONCE || this.#characters >= MOST_CHARACTERS_AT_ONCE;
  }

  take(): Cell[][] {
    const { rows } = this;
    this.rows = [];
    this.#cells = 0;
    this.#characters = 0;
    return rows;
  }
}
