import { LibsqlError } from "@libsql/client";

import { LoggedError } from "../lib/logged-error.ts";

/**
 * What became of statements that met an error of the database.
 *
 *   refused   none took effect, and it is for what they say: a value, a row or an answer that is too
 *             large, a constraint, malformed SQL. The same again is refused again, and so is whatever
 *             is committed together with it.
 *   unable    none took effect, whatever they say: the database is busy, full, read-only, or lets
 *             nobody in. The same again may succeed.
 *   unknown   they may have taken effect, or may still do so: a connection broke, a server failed.
 */
export type Fate = "refused" | "unable" | "unknown";

/** A value that no database takes, found before anything was sent. */
export class NotStorable extends TypeError {
  override readonly name = "NotStorable";
}

/** A server could not be reached, or did not answer in time. */
export class Unreachable extends LoggedError {
  override readonly name = "Unreachable";
}

/**
 * Decides it for the local driver, whose codes are SQLite's, and for a libSQL server, which has these
 * and some of its own, and answers 4xx to what it cannot read. An error in reading an answer, such as
 * a RangeError over a large integer, says nothing: the statements were committed by then.
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

/**
 * Why the database cannot do its work at present, for a person: `undefined` where the error is no trouble
 * of the database, but of what was said to it, or a bug. What is in trouble may be well again in a moment.
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

/** Another one wrote, or the database tidied up: nothing took effect, and the same is taken in a moment. */
export function isBusy(error: unknown): boolean {
  return /^SQLITE_(BUSY|LOCKED)/.test(driverError(error)?.code ?? "");
}

/** A server lets nobody in with what it was given. */
export function isRefusedEntry(error: unknown): boolean {
  const status = httpStatusOf(error);
  return status === 401 || status === 403;
}

/** Its answer was more than a server sends at a time; nothing took effect. */
export function isAnswerTooLarge(error: unknown): boolean {
  return driverError(error)?.code === "RESPONSE_TOO_LARGE";
}

/** The statement that was refused, by its place in what was sent, where the database says so. */
export function culpritOf(error: unknown): number | undefined {
  return error instanceof LibsqlError && "statementIndex" in error
    ? Number(error.statementIndex)
    : undefined;
}

/** What the driver said, which drizzle wraps. */
function driverError(error: unknown): LibsqlError | undefined {
  return causesOf(error).find((cause) => cause instanceof LibsqlError);
}

/** An error and what it wraps. */
function causesOf(error: unknown): Error[] {
  const causes: Error[] = [];
  for (let cause = error; cause instanceof Error; cause = cause.cause) causes.push(cause);
  return causes;
}

const UNABLE =
  /^(SQLITE_(BUSY|LOCKED|FULL|IOERR|READONLY|CANTOPEN|NOMEM|INTERRUPT|PROTOCOL|CORRUPT|NOTADB|PERM|AUTH|NOLFS|SCHEMA)|TRANSACTION_|BLOCKED)/;

/** What a libSQL server says of requests that it has not carried out. */
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
