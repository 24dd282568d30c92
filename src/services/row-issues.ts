import { AppError, invalid } from "../errors.ts";

/** `code`: the code in OpenAI's Batch API. */
export type RowIssue = { row: number; field: string; message: string; code?: string | undefined };

const MAX_ISSUES = 100;

/** Nothing is wrong with an input but that ids or idempotency keys of its rows are taken. */
export class NamesTaken extends AppError {}

/** Rows of a file are reported by number, inline tasks by their path in the request. */
export type InputKind = "file" | "inline";

/** The first hundred issues of an input, and how many there are. */
export class IssueList {
  readonly #kind: InputKind;
  readonly #first: RowIssue[] = [];
  #total = 0;
  #taken = 0;

  constructor(kind: InputKind) {
    this.#kind = kind;
  }

  add(
    row: number,
    field: string,
    message: string,
    { isTaken = false, code }: { isTaken?: boolean; code?: string | undefined } = {},
  ): void {
    this.#total++;
    if (isTaken) this.#taken++;
    if (this.#first.length >= MAX_ISSUES) return;
    this.#first.push({ row, field, message, ...(code === undefined ? {} : { code }) });
  }

  isEmpty(): boolean {
    return this.#total === 0;
  }

  throwIfAny(): void {
    this.#first.sort((a, b) => a.row - b.row);
    const [first] = this.#first;
    if (!first) return;
    const isAllTaken = this.#taken === this.#total;
    if (this.#kind === "inline") {
      const error = invalid(
        this.#first.map(({ row, field, message }) => ({
          path: ["tasks", String(row - 1), field].filter(Boolean).join("."),
          message,
        })),
      );
      throw isAllTaken
        ? new NamesTaken("TASK_ALREADY_EXISTS", error.message, error.details)
        : error;
    }
    const where = `row ${first.row}${first.field ? `, ${first.field}` : ""}: ${first.message}`;
    const more = this.#total > 1 ? ` (and ${this.#total - 1} more)` : "";
    const details = { rows: this.#first, total: this.#total };
    const Refusal = isAllTaken ? NamesTaken : AppError;
    throw new Refusal("VALIDATION_ERROR", `${where}${more}`, details);
  }
}
