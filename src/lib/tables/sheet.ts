import { unescaped } from "./cell-text.ts";
import type { NumberFormats } from "./number-formats.ts";
import type { PackedTexts } from "./packed-texts.ts";
import {
  type Cell,
  MOST_SHEET_COLUMNS,
  MOST_SHEET_ROWS,
  RowCollector,
  TableFileError,
} from "./table.ts";
import { type Attributes, XmlReader } from "./xml.ts";

export type SheetContext = {
  /** The name of the sheet in error messages. */
  name: string;
  texts: PackedTexts;
  formats: NumberFormats;
  isShown: boolean;
  /** Positions of columns with dates; filled while reading. */
  dates: Set<number>;
};

/*
 * The rows of a sheet's XML, cell by cell. Rows and cells that the file leaves out are blank; below the
 * last row that has something there is nothing. Of merged cells the first has the value. A formula
 * counts by the value that the program stored with it. Errors (`#N/A`) are texts, as they are shown.
 */
export class SheetReader {
  readonly collector = new RowCollector();
  readonly #context: SheetContext;
  readonly #xml: XmlReader;
  #row = 0;
  /** The last row that was passed on. */
  #given = 0;
  #cells: Cell[] = [];
  #column = 0;
  #type = "";
  #style = 0;
  #value = "";
  #hasValue = false;
  #hasFormula = false;
  #isOpen = false;
  #isText = false;
  #isReading = false;
  #hasData = false;
  #isOver = false;

  constructor(context: SheetContext) {
    this.#context = context;
    this.#xml = new XmlReader({
      open: (tag, attributes) => this.#open(tag, attributes),
      text: (piece) => {
        if (this.#isText) this.#value += piece;
      },
      close: (tag) => this.#close(tag),
    });
  }

  write(piece: string): void {
    this.#xml.write(piece);
  }

  end(): void {
    this.#xml.end();
    if (this.#hasData && !this.#isOver)
      throw this.#refuse("the rest of the sheet is missing; the file is damaged");
  }

  #open(tag: string, attributes: Attributes): void {
    if (this.#isOver) return;
    if (tag === "c") this.#openCell(attributes);
    else if (tag === "v") [this.#isText, this.#hasValue] = [true, true];
    else if (tag === "row") this.#openRow(attributes["r"]);
    else if (tag === "f") this.#hasFormula = true;
    else if (tag === "t") this.#isText = !this.#isReading;
    else if (tag === "is") this.#hasValue = true;
    else if (tag === "rPh") this.#isReading = true;
    else if (tag === "sheetData") this.#hasData = true;
  }

  #close(tag: string): void {
    if (tag === "v" || tag === "t") this.#isText = false;
    else if (tag === "c") this.#closeCell();
    else if (tag === "row") this.#closeRow();
    else if (tag === "rPh") this.#isReading = false;
    else if (tag === "sheetData") this.#isOver = true;
  }

  #openRow(number: string | undefined): void {
    const row = number === undefined ? this.#row + 1 : Number(number);
    if (!Number.isInteger(row) || row <= this.#row)
      throw this.#refuse(
        `row ${String(number).slice(0, 20)} follows row ${this.#row}; the file is damaged`,
      );
    if (row > MOST_SHEET_ROWS) throw this.#refuse(`has more than ${MOST_SHEET_ROWS} rows`);
    this.#row = row;
    this.#cells = [];
    this.#column = 0;
  }

  #closeRow(): void {
    const cells = this.#cells;
    this.#cells = [];
    if (cells.length === 0) return;
    const where = `sheet ${JSON.stringify(this.#context.name)}, row ${this.#row}`;
    for (let row = this.#given + 1; row < this.#row; row++) this.collector.add([], where);
    this.#given = this.#row;
    this.collector.add(cells, where);
  }

  #openCell({ r: reference, t: type = "n", s: style }: Attributes): void {
    this.#column = reference === undefined ? this.#column + 1 : columnOf(reference);
    if (!(this.#column >= 1 && this.#column <= MOST_SHEET_COLUMNS))
      throw this.#refuse(
        `row ${this.#row} has a cell that no sheet has room for (${String(reference).slice(0, 20)}); ` +
          `${MOST_SHEET_COLUMNS} columns are the most`,
      );
    this.#isOpen = true;
    this.#type = type;
    this.#style = style === undefined ? 0 : Number(style);
    this.#value = "";
    this.#hasValue = false;
    this.#hasFormula = false;
  }

  #closeCell(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    // An empty text is a value. An empty number means that the writing program did not calculate the formula.
    if (this.#hasFormula && this.#value === "" && !(this.#hasValue && this.#type === "str"))
      throw this.#refuse(
        `cell ${columnName(this.#column)}${this.#row} has a formula whose value is not stored; open the file ` +
          "in a spreadsheet program and save it, or replace formulas by values",
      );
    const value = this.#hasValue ? this.#valueOf() : "";
    if (value === "") return;
    while (this.#cells.length < this.#column) this.#cells.push("");
    this.#cells[this.#column - 1] = value;
  }

  #valueOf(): Cell {
    const { texts, formats, isShown } = this.#context;
    const raw = this.#value;
    switch (this.#type) {
      case "s": {
        const text = texts.at(Number(raw));
        if (text === undefined)
          throw this.#refuse(
            `cell ${columnName(this.#column)}${this.#row} names a text that the file does not have`,
          );
        return isShown ? formats.shown(text, this.#style) : text;
      }
      case "str":
      case "inlineStr":
        return unescaped(raw);
      case "b":
        return isShown ? formats.shown(raw === "1", 0) : raw === "1" || raw === "true";
      case "e":
        return raw;
      case "d":
        this.#context.dates.add(this.#column - 1);
        return raw.trim();
      default:
        return this.#number(raw.trim());
    }
  }

  #number(raw: string): Cell {
    const { formats, isShown, dates } = this.#context;
    const number = Number(raw);
    // A number cannot hold this many digits, so the file's own text is kept.
    if (raw === "" || Number.isNaN(number) || (/^-?\d{16,}$/.test(raw) && String(number) !== raw))
      return raw;
    if (isShown) return formats.shown(number, this.#style);
    if (formats.isDate(this.#style)) dates.add(this.#column - 1);
    return formats.plain(number, this.#style);
  }

  #refuse(message: string): TableFileError {
    return new TableFileError(`sheet ${JSON.stringify(this.#context.name)}: ${message}`);
  }
}

/** The number of a column from 1, given by `AB` in `AB12`; NaN if there is no column. */
function columnOf(reference: string): number {
  let column = 0;
  for (let i = 0; i < reference.length; i++) {
    const code = reference.charCodeAt(i) & ~32;
    if (code < 65 || code > 90) return i > 0 ? column : Number.NaN;
    column = column * 26 + code - 64;
    if (column > MOST_SHEET_COLUMNS) return Number.NaN;
  }
  return Number.NaN;
}

export function columnName(column: number): string {
  let name = "";
  for (let rest = column; rest > 0; rest = Math.floor((rest - 1) / 26))
    name = String.fromCharCode(65 + ((rest - 1) % 26)) + name;
  return name;
}
