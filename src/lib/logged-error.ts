/** An error that is logged where it is found, once for all whom it meets; they need not log it again. */
export class LoggedError extends Error {
  override readonly name: string = "LoggedError";
}

/**
 * What a database says that this process itself has closed. It does so when it ends, which the log says; what
 * is cut short then is done again by another process or the next start.
 */
const CLOSED = new Set<unknown>(["CLIENT_CLOSED", "HRANA_CLOSED_ERROR"]);

/** Whether an error, or what it wraps, is no news: it is logged where it was found, or comes of the end of the process. */
export function isLoggedElsewhere(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause)
    if (cause instanceof LoggedError || ("code" in cause && CLOSED.has(cause.code))) return true;
  return false;
}

type Log = { error: Say; debug: Say };
type Say = (message: string, facts: Record<string, unknown>) => void;

/** Logs an error, as a detail where it is logged elsewhere. */
export function logError(
  log: Log,
  message: string,
  facts: Record<string, unknown> & { error: unknown },
): void {
  if (isLoggedElsewhere(facts.error)) log.debug(message, facts);
  else log.error(message, facts);
}
