import { makeBackup } from "../../src/backup/backup.ts";
import { restoreBackup } from "../../src/backup/restore.ts";
import { readConfig } from "../../src/config.ts";
import { openOutside } from "../../src/db/outside.ts";
import { createSystemClock } from "../../src/lib/clock.ts";
import { createSystemRandom } from "../../src/lib/random.ts";
import { Refused } from "../../src/lib/start-error.ts";

const clock = createSystemClock();

/**
 * Backs up the installation that an environment describes, in this process. `onceFilesCopied` is called after the files
 * were copied for the first time, and before the database is.
 */
export async function backup(
  env: Record<string, string>,
  folder: string,
  onceFilesCopied: () => void = () => undefined,
) {
  const config = readConfig(env);
  const { databaseUrl: url } = config;
  const database = await openOutside({ url, authToken: undefined, clock, isLocking: false });
  try {
    const now = () => {
      onceFilesCopied();
      return clock.now();
    };
    return await makeBackup({ config, database, folder, clock: { now } });
  } finally {
    database.close();
  }
}

export function restore(env: Record<string, string>, folder: string, isPaused = false) {
  const random = createSystemRandom();
  return restoreBackup({ config: readConfig(env), folder, isPaused, clock, random });
}

/** The error with which work failed, marked if it was a deliberate refusal (`Refused`). */
export async function saidOf(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => "it was done",
    (error: unknown) => error,
  );
  return error instanceof Refused ? `refused: ${error.message}` : String(error);
}
