import { LibsqlError } from "@libsql/client";

import { LoggedError } from "../lib/logged-error.ts";

/**
 * What happened to statements that failed with an error of the database.
 *
 *   refused   none took effect, because of their content: a value, a row or an answer that is too
 *             large, a constraint, malformed SQL. A retry is refused again, and so is whatever
 *             is committed together with it.
 *   unable    none took effect, whatever their content: the database is busy, full, read-only, or refuses
 *             the credentials. A retry may succeed.
 *   unknown   they may have taken effect, or may still do so: a connection broke, a server failed.
 */
export type Fate = "refused" | "unable" | "unknown";

/** A value that cannot be stored, detected before anything was sent. */
export class NotStorable extends TypeError {
  override readonly name = "NotStorable";
}

/** A server could not be reached, or did not answer in time. */
export class Unreachable extends LoggedError {
  override readonly name = "Unreachable";
}

/**
 * Classifies errors of the local driver, whose codes are SQLite's, and of a libSQL server, which has these and some
 * of its own, and answers 4xx to requests that it cannot read. An error in parsing an answer, such as a RangeError
 * for a large integer, means `unknown`: the statements were already committed.
 */
export function fateOf(error: unknown): Fate {
  if (error instanceof NotStorable) return "refused";
  const { code = "" } = driverError(error) ?? {};
  if (UNABLE.test(code)) return "unable";
  if (code.startsWith("SQLITE_") || REFUSED.has(code)) return "refused";
  const status = httpStatusOf(error);
  if (status === undefined) return "unknown";
  if (UNREADABLE.has(status)) return "refused";
  return CLOSED_DOORS.has(status) ? "unable" : "unknown";
}

/** Whether a row was refused because a value that must be unique is in another row already. */
export function isDuplicate(error: unknown): boolean {
  return String(error).includes("UNIQUE constraint failed");
}

/**
 * Why the database does not work now, in words. `undefined` if the error is not a trouble of the database, but of the
 * statement, or a bug. The trouble may be over in a moment.
 */
export function troubleOf(error: unknown): string | undefined {
  if (causesOf(error).some((cause) => cause instanceof Unreachable))
    return "The database cannot be reached";
  const { code } = driverError(error) ?? {};
  if (code === undefined || code === "UNKNOWN" || fateOf(error) === "refused") return undefined;
  return TROUBLES.find(([pattern]) => pattern.test(code))?.[1] ?? "The database cannot be reached";
}

const TROUBLES: [RegExp, string][] = [
  [/FULL/, "The disk of the database is full"],
  [/BUSY|LOCKED|BLOCKED/, "The database is busy"],
  [/READONLY|PERM|AUTH/, "The database cannot be written"],
  [/CORRUPT|NOTADB/, "The database is damaged"],
  [/^SQLITE_/, "The database cannot be read or written"],
];

/**
 * Another process wrote, or the database made a checkpoint: nothing took effect, and a retry in a moment succeeds.
 */
export function isBusy(error: unknown): boolean {
  return /^SQLITE_(BUSY|LOCKED)/.test(driverError(error)?.code ?? "");
}

/** A server refuses the credentials. */
export function isRefusedEntry(error: unknown): boolean {
  const status = httpStatusOf(error);
  return status === 401 || status === 403;
}

/** The answer would be larger than a server sends; nothing took effect. */
export function isAnswerTooLarge(error: unknown): boolean {
  return driverError(error)?.code === "RESPONSE_TOO_LARGE";
}

/** A value or a row is larger than the database stores; nothing took effect. */
export function isTooLarge(error: unknown): boolean {
  const { code, message = "" } = driverError(error) ?? {};
  return code === "SQLITE_TOOBIG" || (code === "ARGS_INVALID" && message.includes("too big"));
}

/** The index of the statement that was refused, if the database names it. */
export function culpritOf(error: unknown): number | undefined {
  return error instanceof LibsqlError && "statementIndex" in error
    ? Number(error.statementIndex)
    : undefined;
}

/** The driver's error, which Drizzle wraps. */
function driverError(error: unknown): LibsqlError | undefined {
  return causesOf(error).find((cause) => cause instanceof LibsqlError);
}

/** An error and its causes. */
function causesOf(error: unknown): Error[] {
  const causes: Error[] = [];
  for (let cause = error; cause instanceof Error; cause = cause.cause) causes.push(cause);
  return causes;
}

const UNABLE =
  /^(SQLITE_(BUSY|LOCKED|FULL|IOERR|READONLY|CANTOPEN|NOMEM|INTERRUPT|PROTOCOL|CORRUPT|NOTADB|PERM|AUTH|NOLFS|SCHEMA)|TRANSACTION_|BLOCKED)/;

/** Codes of a libSQL server for requests that it has not carried out. */
const REFUSED: ReadonlySet<string> = new Set([
  "ARGS_INVALID",
  "ARGS_BOTH_POSITIONAL_AND_NAMED",
  "RESPONSE_TOO_LARGE",
  "SQL_INPUT_ERROR",
  "SQL_MANY_STATEMENTS",
  "SQL_NO_STATEMENT",
  "SQL_PARSE_ERROR",
]);

const UNREADABLE: ReadonlySet<number> = new Set([400, 413, 414, 422, 431]);
const CLOSED_DOORS: ReadonlySet<number> = new Set([401, 403, 404, 429]);

function httpStatusOf(error: unknown): number | undefined {
  for (let cause = error; cause instanceof Error; cause = cause.cause)
    if ("status" in cause && typeof cause.status === "number") return cause.status;
  return undefined;
}
