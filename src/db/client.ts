import { dirname } from "node:path";

import type { Client } from "@libsql/client";
import { getLogger } from "@logtape/logtape";
import { drizzle, type LibSQLDatabase } from "drizzle-orm/libsql";

import type { Clock } from "../lib/clock.ts";
import { StartError } from "../lib/start-error.ts";
import type { StartThread } from "../lib/thread.ts";
import { filePathOf, withoutSecrets } from "../lib/urls.ts";
import { ownerAdvice } from "../lib/writable.ts";
import { checkForDamage, type Damage } from "./damage.ts";
import { filesOf, keepPrivate, lockFile, reasonOf as reason } from "./file-lock.ts";
import { createLocalClient, type LocalClient } from "./local-client.ts";
import { migrateDatabase } from "./migrate.ts";
import { copyBeforeMigration } from "./migration-copy.ts";
import { createOutage } from "./outage.ts";
import { whenReachable } from "./patience.ts";
import { type ReadPool, readsInPlace, readsInThreads } from "./reads.ts";
import { checkpointsInCommits, createServerClient, deadlineUnder } from "./server.ts";
import { requireRestored, requireRestoredServer } from "./unrestored.ts";
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

/** A migration may rewrite a large table. */
const MIGRATION_MS = 600_000;

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
  /** Only with a server: the lease of a node, which a request may not outlast. */
  leaseMs?: number;
  /** How long a server that cannot be reached is waited for. */
  waitMs?: number;
  /** What this process is called among those that start on a server at the same time. */
  holder?: string;
  /** Only with a local file: how many copies from before its last migrations are kept; none unless set. */
  migrationCopies?: number | undefined;
};

/**
 * Opens and migrates the database. A local file is locked for as long as it is open. Throws
 * `StartError` where the file cannot be written, is no database, or is in use by another process.
 * `startReader` starts the threads that read a local file; without it, it is read in place.
 */
export async function openDatabase(
  url: string,
  clock: Clock,
  options: OpenOptions = {},
): Promise<Database> {
  const path = filePathOf(url);
  try {
    return path === undefined
      ? await openServer(url, clock, options)
      : await openFile(path, clock, options);
  } catch (error) {
    throw explainOpening(error, path ?? withoutSecrets(url), [url, options.authToken]);
  }
}

async function openServer(
  url: string,
  clock: Clock,
  { authToken, leaseMs = 15_000, waitMs = 0, holder = "" }: OpenOptions,
): Promise<Database> {
  const server = { url, authToken, clock };
  const where = withoutSecrets(url);
  const outage = createOutage(where, clock);
  const client = createServerClient({ ...server, deadlineMs: deadlineUnder(leaseMs), outage });
  const slowClient = createServerClient({ ...server, deadlineMs: MIGRATION_MS });
  try {
    await whenReachable(
      { clock, where, waitMs, explain: (error) => reasonFor(error, where, [url, authToken]) },
      async () => {
        await requireRestoredServer(client, where);
        await migrateDatabase({ client, slowClient, clock, holder });
      },
    );
  } catch (error) {
    client.close();
    throw error;
  } finally {
    slowClient.close();
  }
  outage.begin();
  if (await checkpointsInCommits(client))
    getLogger(["gptrunner", "database"]).warning(
      "The libSQL server {where} makes checkpoints in commits, because of which processes that share it can stand still for seconds: start it with SQLD_CHECKPOINT_INTERVAL_S=10",
      { where },
    );
  const db = drizzle({ client, casing: "snake_case" });
  const { stop, ...pool } = readsInPlace({ client, db });
  const writer = createWriter(client, clock);
  return {
    ...pool,
    db,
    client,
    writer,
    isExclusive: false,
    damage: Promise.resolve(undefined),
    async close() {
      if (client.closed) return;
      await writer.settled();
      await stop();
      client.close();
    },
  };
}

async function openFile(
  path: string,
  clock: Clock,
  { startReader, migrationCopies = 0 }: OpenOptions,
): Promise<Database> {
  const unlock = await lockFile(path);
  let client: LocalClient | undefined;
  try {
    requireRestored(path);
    keepPrivate(path);
    client = createLocalClient(path, BUSY_TIMEOUT_MS);
    return await prepareFile(path, client, { clock, startReader, migrationCopies, unlock });
  } catch (error) {
    client?.close();
    unlock();
    throw error;
  }
}

async function prepareFile(
  path: string,
  client: LocalClient,
  options: {
    clock: Clock;
    startReader: StartThread | undefined;
    migrationCopies: number;
    unlock: () => void;
  },
): Promise<Database> {
  const { clock, startReader, migrationCopies, unlock } = options;
  const check = await checkForDamage(client, path, clock);
  if (check.atStart) throw damaged(path, check.atStart);
  for (const pragma of PRAGMAS) await client.execute(`PRAGMA ${pragma}`);
  const db = drizzle({ client, casing: "snake_case" });
  await copyBeforeMigration(path, client, migrationCopies);
  await migrateDatabase({ client, slowClient: client, clock, holder: undefined });
  const writer = createWriter(client, clock);
  const { stop, ...pool } =
    startReader === undefined
      ? readsInPlace({ client, db })
      : readsInThreads(path, startReader, clock);
  return {
    ...pool,
    db,
    client,
    writer,
    isExclusive: true,
    damage: check.whole,
    async close() {
      if (client.closed) return;
      await writer.settled();
      await stop();
      await client.execute("PRAGMA wal_checkpoint(TRUNCATE)");
      client.close();
      unlock();
    },
  };
}

/** A sentence for whoever started the program, where the error is of the database or the disk. */
export function explainOpening(
  error: unknown,
  where: string,
  secrets: (string | undefined)[],
): unknown {
  if (error instanceof StartError) return error;
  const text = String(error);
  const why = reasonFor(error, where, secrets);
  if (/SQLITE_NOTADB|file is not a database/i.test(text))
    return new StartError(
      `${where} is not a database. Move it away, or set DATABASE_URL to another file.`,
    );
  if (/SQLITE_CORRUPT|malformed/i.test(text)) return damaged(where, { found: why });
  if (/SQLITE_(READONLY|CANTOPEN|IOERR|FULL|PERM)|\bE(ACCES|ROFS|PERM)\b/.test(text))
    return new StartError(
      `Cannot write the database ${where}: ${why}${ownerAdvice(dirname(where), filesOf(where))}.`,
    );
  return new StartError(`Cannot open the database ${where}: ${why}.`);
}

/** What an error says, which may name the URL with what it has of secrets. */
function reasonFor(error: unknown, where: string, secrets: (string | undefined)[]): string {
  return secrets.reduce<string>(
    (said, secret) => (secret ? said.replaceAll(secret, where) : said),
    reason(error),
  );
}

function damaged(path: string, { found }: Damage): StartError {
  return new StartError(
    `The database ${path} is damaged: ${found}. Restore a backup, or save what can be read with ` +
      "`sqlite3 FILE .recover`; keep the damaged file until then.",
  );
}
