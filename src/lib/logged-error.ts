/** An error that was logged where it was found. Its callers need not log it again. */
export class LoggedError extends Error {
  override readonly name: string = "LoggedError";
}

/**
 * The error codes of a database that this process has closed. It does so only when it ends, which the log says;
 * interrupted work is repeated by another process or at the next start.
 */
const CLOSED = new Set<unknown>(["CLIENT_CLOSED", "HRANA_CLOSED_ERROR"]);

/**
 * Whether an error, or a cause of it, needs no entry: it was logged where it was found, or comes from the end of the
 * process.
 */
export function isLoggedElsewhere(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause)
    if (cause instanceof LoggedError || ("code" in cause && CLOSED.has(cause.code))) return true;
  return false;
}

type Log = { error: Say; debug: Say };
type Say = (message: string, facts: Record<string, unknown>) => void;

/** Logs an error; at level `debug` if it is logged elsewhere. */
export function logError(
  log: Log,
  message: string,
  facts: Record<string, unknown> & { error: unknown },
): void {
  if (isLoggedElsewhere(facts.error)) log.debug(message, facts);
  else log.error(message, facts);
}
