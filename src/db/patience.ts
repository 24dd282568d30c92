import { getLogger } from "@logtape/logtape";

import type { Clock } from "../lib/clock.ts";
import { StartError } from "../lib/start-error.ts";
import { isRefusedEntry, troubleOf } from "./refusal.ts";

const RETRY_MS = 500;

export type PatienceOptions = {
  clock: Pick<Clock, "monotonic" | "sleep">;
  /** What the database is called for a person. */
  where: string;
  waitMs: number;
  /** What went wrong, for a person, without secrets. */
  explain: (error: unknown) => string;
};

/**
 * Does what a start needs a database for, again and again while that cannot be reached, as where a
 * server starts at the same time. Says so once. What waiting does not cure is thrown at once.
 */
export async function whenReachable<T>(
  options: PatienceOptions,
  work: () => Promise<T>,
): Promise<T> {
  const { clock, where, waitMs, explain } = options;
  const since = clock.monotonic();
  for (let isTold = false; ; isTold = true)
    try {
      return await work();
    } catch (error) {
      if (troubleOf(error) === undefined || isRefusedEntry(error)) throw error;
      const why = explain(error);
      if (clock.monotonic() - since >= waitMs)
        throw new StartError(
          `The database ${where} could not be reached within ${waitMs / 1000} s (DATABASE_WAIT_SECONDS): ${why}.`,
        );
      if (!isTold)
        getLogger(["gptrunner", "database"]).warning(
          "The database {where} cannot be reached: {why}; waiting for it for up to {seconds} s",
          { where, why, seconds: waitMs / 1000 },
        );
      await clock.sleep(RETRY_MS);
    }
}
