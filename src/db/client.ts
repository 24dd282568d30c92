import { chmodSync, closeSync, existsSync, mkdirSync, openSync } from "node:fs";
import { dirname, resolve } from "node:path";

import { type Client, createClient } from "@libsql/client";
import { drizzle, type LibSQLDatabase } from "drizzle-orm/libsql";

import type { Clock } from "../lib/clock.ts";
import { FILE_MODE, FOLDER_MODE } from "../lib/file-system.ts";
import { StartError } from "../lib/start-error.ts";
import type { StartThread } from "../lib/thread.ts";
import { withoutSecrets } from "../lib/urls.ts";
import { checkForDamage, type Damage } from "./damage.ts";
import { createLocalClient } from "./local-client.ts";
import { migrateDatabase } from "./migrate.ts";
import { patientFetch } from "./patient-fetch.ts";
import { type ReadPool, readsInPlace, readsInThreads } from "./reads.ts";
import { createWriter, type Writer } from "./writer.ts";

export type Db = LibSQLDatabase;

export type Database = Pick<ReadPool, "reads" | "longReads"> & {
  /** For reads of single rows. Whatever changes one goes through `writer`. */
  db: Db;
  client: Client;
  writer: Writer;
  /** Only this process can have the database open, so that whatever another one owned is orphaned. */
  isExclusive: boolean;
  /** Resolves when the file has been read whole, with what is wrong with it, if anything is. */
  damage: Promise<Damage | undefined>;
  close(): Promise<void>;
};

/** Only a person with another tool can hold the file, and not for long. */
const BUSY_TIMEOUT_MS = 2000;

/** A server that has not answered by then is taken for unreachable. */
const SERVER_TIMEOUT_MS = 30_000;

const PRAGMAS = [
  // Takes effect in a file that is made by this; others cannot shrink.
  "auto_vacuum = INCREMENTAL",
  "journal_mode = WAL",
  "synchronous = FULL",
  "foreign_keys = ON",
  "temp_store = MEMORY",
  "cache_size = -16384",
];

export type OpenOptions = {
  authToken?: string | undefined;
  startReader?: StartThread | undefined;
};

/**
 * Opens and migrates the database. A local file is locked for as long as it is open. Throws
 * `StartError` where the file cannot be written, is no database, or is in use by another process.
 * `startReader` starts the threads that read a local file; without it, it is read in place.
 */
export async function openDatabase(
  url: string,
  clock: Clock,
  { authToken, startReader }: OpenOptions = {},
): Promise<Database> {
  const path = url.startsWith("file:") ? resolve(url.slice("file:".length)) : undefined;
  const unlock = path === undefined ? undefined : await lockFile(path);
  try {
    if (path !== undefined) keepPrivate(path);
    const client =
      path === undefined
        ? createClient({
            url,
            fetch: patientFetch(clock, SERVER_TIMEOUT_MS),
            ...(authToken === undefined ? {} : { authToken }),
          })
        : createLocalClient(path, BUSY_TIMEOUT_MS);
    try {
      const check = path === undefined ? undefined : await checkForDamage(client, path, clock);
      if (check?.atStart) throw damaged(path ?? "", check.atStart);
      if (path !== undefined)
        for (const pragma of PRAGMAS) await client.execute(`PRAGMA ${pragma}`);
      const db = drizzle({ client, casing: "snake_case" });
      await migrateDatabase(db);
      const writer = createWriter(client, clock);
      const { stop, ...pool } =
        path === undefined || startReader === undefined
          ? readsInPlace({ client, db })
          : readsInThreads(path, startReader, clock);
      return {
        ...pool,
        db,
        client,
        writer,
        isExclusive: path !== undefined,
        damage: check?.whole ?? Promise.resolve(undefined),
        async close() {
          if (client.closed) return;
          await writer.settled();
          await stop();
          if (path !== undefined) await client.execute("PRAGMA wal_checkpoint(TRUNCATE)");
          client.close();
          unlock?.();
        },
      };
    } catch (error) {
      client.close();
      throw error;
    }
  } catch (error) {
    unlock?.();
    throw explainOpening(error, path ?? withoutSecrets(url), [url, authToken]);
  }
}

/**
 * Holds a write lock on an empty database beside the file. The kernel drops it with the process,
 * however that ends, so there is never a stale lock to clean up.
 */
async function lockFile(path: string): Promise<() => void> {
  const folder = dirname(path);
  try {
    mkdirSync(folder, { recursive: true, mode: FOLDER_MODE });
  } catch (error) {
    throw new StartError(`Cannot create the data folder ${folder}: ${reason(error)}.`);
  }
  let client: Client | undefined;
  try {
    keepPrivate(`${path}.lock`);
    client = createClient({ url: `file:${path}.lock`, concurrency: 1, timeout: 0 });
    const hold = await client.transaction("write");
    return () => {
      hold.close();
      client?.close();
    };
  } catch (error) {
    client?.close();
    if (/SQLITE_BUSY|locked/i.test(String(error)))
      throw new StartError(
        `Another GPT Task Runner is using ${path}. Stop it, or set DATA_DIR to a folder of its own.`,
      );
    throw new StartError(`Cannot write to the data folder ${folder}: ${reason(error)}.`);
  }
}

/**
 * Makes the file of a database for its own user alone, also one that an earlier version made for all to
 * read, and what lies beside it. SQLite gives the files that it makes later the mode of the first.
 */
function keepPrivate(path: string): void {
  closeSync(openSync(path, "a", FILE_MODE));
  for (const file of [path, `${path}-wal`, `${path}-shm`, `${path}-journal`])
    try {
      if (existsSync(file)) chmodSync(file, FILE_MODE);
    } catch (error) {
      // Another user's file, which this one may write: its owner decides who else may.
      if (!(error instanceof Error && "code" in error && error.code === "EPERM")) throw error;
    }
}

function explainOpening(error: unknown, where: string, secrets: (string | undefined)[]): unknown {
  if (error instanceof StartError) return error;
  const text = String(error);
  const why = secrets.reduce<string>(
    (said, secret) => (secret ? said.replaceAll(secret, where) : said),
    reason(error),
  );
  if (/SQLITE_NOTADB|file is not a database/i.test(text))
    return new StartError(
      `${where} is not a database. Move it away, or set DATABASE_URL to another file.`,
    );
  if (/SQLITE_CORRUPT|malformed/i.test(text)) return damaged(where, { found: why });
  if (/SQLITE_(READONLY|CANTOPEN|IOERR|FULL|PERM)|\bE(ACCES|ROFS|PERM)\b/.test(text))
    return new StartError(`Cannot write the database ${where}: ${why}.`);
  return new StartError(`Cannot open the database ${where}: ${why}.`);
}

function damaged(path: string, { found }: Damage): StartError {
  return new StartError(
    `The database ${path} is damaged: ${found}. Restore a backup, or save what can be read with ` +
      "`sqlite3 FILE .recover`; keep the damaged file until then.",
  );
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message.replace(/\.$/, "") : String(error);
}
