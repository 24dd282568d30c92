import type { Logger } from "@logtape/logtape";

import type { Clock } from "./clock.ts";
import { logError } from "./logged-error.ts";

/**
 * Runs work that nobody awaits. A failure is logged under `name`, a noun phrase that begins a sentence. `underWay`
 * holds the work until it has ended, for callers that must wait for it before they stop; it never rejects.
 */
export function background(
  log: Pick<Logger, "error" | "debug">,
  name: string,
  work: Promise<unknown>,
  underWay?: Set<Promise<void>>,
): void {
  const ended: Promise<void> = work
    .then(
      () => undefined,
      (error: unknown) => logError(log, "{name} failed: {error}", { name, error }),
    )
    .finally(() => underWay?.delete(ended));
  underWay?.add(ended);
}

/**
 * For work that fails only because of a bug after which the process must not go on: its error is thrown to the
 * runtime.
 */
export function orCrash(clock: Pick<Clock, "setImmediate">, work: Promise<unknown>): void {
  work.catch((error: unknown) =>
    clock.setImmediate(() => {
      throw error;
    }),
  );
}
