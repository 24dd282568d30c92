import { statSync } from "node:fs";

import type { Client } from "@libsql/client";

import { type Clock, endsWithin } from "../lib/clock.ts";
import { workerThreads } from "../lib/thread.ts";

/** A file up to this size is checked before the start: it takes some ten milliseconds. */
const SMALL_FILE_BYTES = 32 * 1024 * 1024;
/** How long the start waits for the check of a larger file, which then continues in the background. */
const WAIT_MS = 1000;
/** Lists at most three faults of a damaged file. */
export const QUICK_CHECK = "PRAGMA quick_check(3)";

/** What is wrong with a database file. */
export type Damage = { found: string };

export type DamageCheck = {
  /** The damage that was found while the start waited. */
  atStart: Damage | undefined;
  /** Resolves when the whole file has been read; never rejects. */
  whole: Promise<Damage | undefined>;
};

export type FromCheck = { found: string[] };

/** Looks for damage in the file that a client has open. */
export async function checkForDamage(
  client: Client,
  path: string,
  clock: Pick<Clock, "setTimeout">,
): Promise<DamageCheck> {
  if (sizeOf(path) <= SMALL_FILE_BYTES) {
    const { rows } = await client.execute(QUICK_CHECK);
    const damage = toDamage(rows.map((row) => String(row[0])));
    return { atStart: damage, whole: Promise.resolve(damage) };
  }
  const whole = checkInThread(path);
  const isChecked = await endsWithin(clock, whole, WAIT_MS);
  return { atStart: isChecked ? await whole : undefined, whole };
}

function checkInThread(path: string): Promise<Damage | undefined> {
  return new Promise((resolve) => {
    const start = workerThreads("src/db/damage-worker.ts");
    const thread = start<{ path: string }, FromCheck>({
      onMessage({ found }) {
        thread.end();
        resolve(toDamage(found));
      },
      onDeath: (why) => resolve({ found: `the check ended early: ${why}` }),
    });
    thread.post({ path });
  });
}

function toDamage(lines: string[]): Damage | undefined {
  return lines.length === 1 && lines[0] === "ok"
    ? undefined
    : { found: lines.join("; ").replaceAll("\n", "; ") };
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}
