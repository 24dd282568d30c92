import { chmodSync, closeSync, existsSync, mkdirSync, openSync } from "node:fs";
import { dirname } from "node:path";

import { type Client, createClient } from "@libsql/client";

import { FILE_MODE, FOLDER_MODE } from "../lib/file-system.ts";
import { Refused, StartError } from "../lib/start-error.ts";

export type Unlock = () => void;

/**
 * Holds a write lock on an empty database beside the file. The kernel drops it with the process,
 * however that ends, so there is never a stale lock to clean up. `undefined` where another process has it,
 * and has kept it for `waitMs`.
 */
export async function tryLock(path: string, waitMs = 0): Promise<Unlock | undefined> {
  const folder = dirname(path);
  try {
    mkdirSync(folder, { recursive: true, mode: FOLDER_MODE });
  } catch (error) {
    throw new StartError(`Cannot create the folder ${folder}: ${reasonOf(error)}.`);
  }
  let client: Client | undefined;
  try {
    keepPrivate(`${path}.lock`);
    client = createClient({ url: `file:${path}.lock`, concurrency: 1, timeout: waitMs });
    const hold = await client.transaction("write");
    let isHeld = true;
    return () => {
      if (isHeld) hold.close();
      if (isHeld) client?.close();
      isHeld = false;
    };
  } catch (error) {
    client?.close();
    if (/SQLITE_BUSY|locked/i.test(String(error))) return undefined;
    throw new StartError(`Cannot write to the folder ${folder}: ${reasonOf(error)}.`);
  }
}

/** A command of the operator has the lock for a moment, to find out whether a server has it. */
const MOMENT_MS = 500;

/** Locks the file of a database for a server. Throws `StartError` where it is in use. */
export async function lockFile(path: string): Promise<Unlock> {
  const unlock = await tryLock(path, MOMENT_MS);
  if (unlock) return unlock;
  throw new Refused(
    `Another GPT Task Runner is using ${path}. Stop it, or set DATA_DIR to a folder of its own.`,
  );
}

/**
 * Makes the file of a database for its own user alone, also one that an earlier version made for all to
 * read, and what lies beside it. SQLite gives the files that it makes later the mode of the first.
 */
export function keepPrivate(path: string): void {
  closeSync(openSync(path, "a", FILE_MODE));
  for (const file of [path, `${path}-wal`, `${path}-shm`, `${path}-journal`])
    try {
      if (existsSync(file)) chmodSync(file, FILE_MODE);
    } catch (error) {
      // Another user's file, which this one may write: its owner decides who else may.
      if (!(error instanceof Error && "code" in error && error.code === "EPERM")) throw error;
    }
}

export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message.replace(/\.$/, "") : String(error);
}
