import { furtherIssues } from "../lib/further-issues.ts";

/** The exit codes of commands; docs/command-line.md has the table. */
export const EXIT = {
  done: 0,
  failed: 1,
  usage: 2,
  rowsFailed: 3,
  unfinished: 4,
  notAllowed: 5,
  unavailable: 6,
  refused: 7,
  interrupted: 130,
  terminated: 143,
} as const;
export type Exit = (typeof EXIT)[keyof typeof EXIT];

/** Why a command ends before its work is done, in a sentence that says what to do. */
export class CliError extends Error {
  override readonly name = "CliError";
  readonly exit: Exit;
  /** The error code for programs: that of the API, if there is one. */
  readonly code: string;
  /** The API's `details`: which row, which field. */
  readonly details: Record<string, unknown>;

  constructor(
    exit: Exit,
    message: string,
    { code, details = {} }: { code?: string; details?: Record<string, unknown> } = {},
  ) {
    super(message);
    this.exit = exit;
    this.code = code ?? CODES[exit];
    this.details = details;
  }
}

const CODES: Record<Exit, string> = {
  [EXIT.done]: "DONE",
  [EXIT.failed]: "FAILED",
  [EXIT.usage]: "USAGE",
  [EXIT.rowsFailed]: "ROWS_FAILED",
  [EXIT.unfinished]: "UNFINISHED",
  [EXIT.notAllowed]: "NOT_ALLOWED",
  [EXIT.unavailable]: "UNAVAILABLE",
  [EXIT.refused]: "REFUSED",
  [EXIT.interrupted]: "INTERRUPTED",
  [EXIT.terminated]: "INTERRUPTED",
};

export function usageError(message: string): CliError {
  return new CliError(EXIT.usage, message);
}

/** The text of an error: its message, and further issues. */
export function describeError({ message, details }: CliError): string {
  return [message, ...furtherIssues(details)].join("\n");
}
