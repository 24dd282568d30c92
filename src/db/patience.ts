import { getLogger } from "@logtape/logtape";

import type { Clock } from "../lib/clock.ts";
import { StartError } from "../lib/start-error.ts";
import { isRefusedEntry, troubleOf } from "./refusal.ts";

const RETRY_MS = 500;

export type PatienceOptions = {
  clock: Pick<Clock, "monotonic" | "sleep">;
  /** The name of the database for messages. */
  where: string;
  waitMs: number;
  /** Explains an error in words, without secrets. */
  explain: (error: unknown) => string;
  /** The outage is logged elsewhere. */
  isReported?: boolean;
};

/** Does work of a start, and repeats it while the database cannot be reached. */
export type Patiently = <T>(work: () => Promise<T>) => Promise<T>;

/**
 * Does work of the start that needs the database, and retries while the database cannot be reached, for example
 * because its server is still starting. Logs that once. Errors that waiting does not solve are thrown at once.
 */
export async function whenReachable<T>(
  options: PatienceOptions,
  work: () => Promise<T>,
): Promise<T> {
  const { clock, where, waitMs, explain, isReported = false } = options;
  const since = clock.monotonic();
  for (let isTold = isReported; ; isTold = true)
    try {
      return await work();
    } catch (error) {
      if (troubleOf(error) === undefined || isRefusedEntry(error)) throw error;
      const why = explain(error);
      if (clock.monotonic() - since >= waitMs)
        throw new StartError(
          `The database ${where} could not be reached within ${waitMs / 1000} s (DATABASE_WAIT_SECONDS): ${why}. Does the server run, and is DATABASE_URL right?`,
        );
      if (!isTold)
        getLogger(["gptrunner", "database"]).warning(
          "The database {where} cannot be reached: {why}; waiting for it for up to {seconds} s",
          { where, why, seconds: waitMs / 1000 },
        );
      await clock.sleep(RETRY_MS);
    }
}
