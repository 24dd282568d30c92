import { getLogger } from "@logtape/logtape";

import type { Clock } from "../lib/clock.ts";

const SAY_EVERY_MS = 60_000;

export type Outage = {
  /** Starts logging. Before, while a start waits for the database, the start logs that itself. */
  begin(): void;
  /** A request failed. */
  failed(why: string): void;
  /** A request was answered. */
  answered(): void;
};

/**
 * Logs when a server cannot be reached, and when it can again: a line for each change, and one a minute during the
 * outage. Otherwise every part of the process would log the same outage repeatedly.
 */
export function createOutage(where: string, clock: Pick<Clock, "monotonic">): Outage {
  const log = getLogger(["gptrunner", "database"]);
  let isBegun = false;
  let since: number | undefined;
  let saidAt = 0;
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
      if (since === undefined) {
        since = saidAt = now;
        log.error("The database {where} cannot be reached: {why}", { where, why });
      } else if (now - saidAt >= SAY_EVERY_MS) {
        saidAt = now;
        log.error(
          "The database {where} has not been reached for {seconds} s: {why}; {requests} requests failed",
          { where, why, seconds: seconds(), requests },
        );
      }
    },
    answered() {
      if (since === undefined) return;
      log.warning(
        "The database {where} answers again after {seconds} s, in which {requests} requests failed",
        { where, seconds: seconds(), requests },
      );
      since = undefined;
      requests = 0;
    },
  };
}
