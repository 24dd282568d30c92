import { chmodSync, closeSync, existsSync, fstatSync, openSync, rmSync, statSync } from "node:fs";
import { dirname } from "node:path";

import { type Client, createClient } from "@libsql/client";

import { FILE_MODE } from "../lib/file-system.ts";
import { Refused, StartError } from "../lib/start-error.ts";
import { ensureWritable, ownerAdvice } from "../lib/writable.ts";

export type Unlock = () => void;

/**
 * Holds a write lock on an empty database beside the file. The kernel releases it when the process ends, however that
 * happens, so there is never a stale lock. `undefined` if another process has held it for `waitMs`. Throws
 * `StartError` if the folder, which messages call `name`, cannot be written to.
 */
export async function tryLock(
  path: string,
  waitMs = 0,
  name = "folder",
): Promise<Unlock | undefined> {
  ensureWritable(dirname(path), name);
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
    throw unwritable(path, name, error);
  }
}

/**
 * The same, with a lock file that is removed at the end, so that nothing is left beside `path`. Another process that has
 * opened the file before that could still lock it, and does so in vain: it then tries again with a new file.
 */
export async function tryPassingLock(path: string, name: string): Promise<Unlock | undefined> {
  for (;;) {
    ensureWritable(dirname(path), name);
    const file = openLockFile(path, name);
    const unlock = await tryLock(path, 0, name).catch((error: unknown) => {
      closeSync(file);
      throw error;
    });
    const isThere =
      statSync(`${path}.lock`, { throwIfNoEntry: false })?.ino === fstatSync(file).ino;
    if (unlock && isThere)
      return () => {
        rmSync(`${path}.lock`, { force: true });
        unlock();
        closeSync(file);
      };
    unlock?.();
    closeSync(file);
    if (isThere) return undefined;
  }
}

/** As long as the file is open, no other one gets its number. Closing it ends the locks of this process on it. */
function openLockFile(path: string, name: string): number {
  try {
    return openSync(`${path}.lock`, "a", FILE_MODE);
  } catch (error) {
    throw unwritable(path, name, error);
  }
}

function unwritable(path: string, name: string, error: unknown): StartError {
  const folder = dirname(path);
  const advice = ownerAdvice(folder, [`${path}.lock`]);
  return new StartError(`Cannot write to the ${name} ${folder}: ${reasonOf(error)}${advice}.`);
}

/** How long to wait: a command of the operator holds the lock for a moment, to find out whether a server has it. */
const MOMENT_MS = 500;

/** Locks the file of a database for a server. Throws `StartError` if it is in use. */
export async function lockFile(path: string): Promise<Unlock> {
  const unlock = await tryLock(path, MOMENT_MS, "data folder");
  if (unlock) return unlock;
  throw new Refused(
    `Another GPT Task Runner is using ${path}. Stop it, or set DATA_DIR to a separate folder.`,
  );
}

/**
 * Makes the database file and the files beside it private to the user, also if an earlier version made them readable
 * for all. SQLite gives the files that it creates later the mode of the first one.
 */
export function keepPrivate(path: string): void {
  closeSync(openSync(path, "a", FILE_MODE));
  for (const file of filesOf(path))
    try {
      if (existsSync(file)) chmodSync(file, FILE_MODE);
    } catch (error) {
      // Another user owns the file, and decides who may read it.
      if (!(error instanceof Error && "code" in error && error.code === "EPERM")) throw error;
    }
}

/** The file of a database and those that SQLite keeps beside it. */
export function filesOf(path: string): string[] {
  return [path, `${path}-wal`, `${path}-shm`, `${path}-journal`];
}

export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message.replace(/\.$/, "") : String(error);
}
