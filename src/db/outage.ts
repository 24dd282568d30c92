import { getLogger } from "@logtape/logtape";

import type { Clock } from "../lib/clock.ts";

const SAY_EVERY_MS = 60_000;
/** An outage that begins sooner after the last line is logged only if it lasts. */
const SAY_AGAIN_MS = 10_000;
const LASTS_MS = 1000;

export type Outage = {
  /** Starts logging. Before, while a start waits for the database, the start logs that itself. */
  begin(): void;
  /** A request failed. */
  failed(why: string): void;
  /** A request was answered. */
  answered(): void;
};

type Log = { error: Say; warning: Say };
type Say = (message: string, facts: Record<string, unknown>) => void;

/**
 * Logs when a server cannot be reached, and when it can again: a line for each change, and one a minute during the
 * outage. Otherwise every part of the process would log the same outage repeatedly. If only some requests fail, it does not
 * log each change.
 */
export function createOutage(
  where: string,
  clock: Pick<Clock, "monotonic">,
  log: Log = getLogger(["gptrunner", "database"]),
): Outage {
  let isBegun = false;
  let since: number | undefined;
  /** Whether the present outage was logged. */
  let isSaid = false;
  let saidAt = -Infinity;
  let requests = 0;

  const seconds = () => Math.round((clock.monotonic() - (since ?? 0)) / 1000);

  return {
    begin() {
      isBegun = true;
    },
    failed(why) {
      if (!isBegun) return;
      requests++;
      const now = clock.monotonic();
      since ??= now;
      const isDue = isSaid
        ? now - saidAt >= SAY_EVERY_MS
        : now - saidAt >= SAY_AGAIN_MS || now - since >= LASTS_MS;
      if (!isDue) return;
      saidAt = now;
      if (!isSaid) log.error("The database {where} cannot be reached: {why}", { where, why });
      else
        log.error(
          "The database {where} has not been reached for {seconds} s: {why}; {requests} requests failed",
          { where, why, seconds: seconds(), requests },
        );
      isSaid = true;
    },
    answered() {
      if (since === undefined) return;
      if (isSaid) {
        saidAt = clock.monotonic();
        log.warning(
          "The database {where} answers again after {seconds} s, in which {requests} requests failed",
          { where, seconds: seconds(), requests },
        );
      }
      isSaid = false;
      since = undefined;
      requests = 0;
    },
  };
}
