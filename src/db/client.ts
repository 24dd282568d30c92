import { dirname } from "node:path";

import type { Client } from "@libsql/client";
import { getLogger } from "@logtape/logtape";
import { drizzle, type LibSQLDatabase } from "drizzle-orm/libsql";

import type { Clock } from "../lib/clock.ts";
import { StartError } from "../lib/start-error.ts";
import type { StartThread } from "../lib/thread.ts";
import { filePathOf, withoutSecrets } from "../lib/urls.ts";
import { ownerAdvice } from "../lib/writable.ts";
import { createCommitClient } from "./commit-client.ts";
import { checkForDamage, type Damage } from "./damage.ts";
import { filesOf, keepPrivate, lockFile, reasonOf as reason } from "./file-lock.ts";
import { createLocalClient, type LocalClient } from "./local-client.ts";
import { migrateDatabase } from "./migrate.ts";
import { copyBeforeMigration } from "./migration-copy.ts";
import { createOutage } from "./outage.ts";
import { type Patiently, whenReachable } from "./patience.ts";
import { BUSY_TIMEOUT_MS, READING_PRAGMAS, WRITING_PRAGMAS } from "./pragmas.ts";
import { type ReadPool, readsInPlace, readsInThreads } from "./reads.ts";
import { checkpointsInCommits, createServerClient, deadlineUnder } from "./server.ts";
import { requireRestored, requireRestoredServer } from "./unrestored.ts";
import { createWriter, type Writer } from "./writer.ts";

export type Db = LibSQLDatabase;

export type Database = Pick<ReadPool, "reads" | "longReads"> & {
  /** For reads of single rows. Changes go through `writer`. */
  db: Db;
  client: Client;
  writer: Writer;
  /** Only this process can have the database open, so everything that another process owned is orphaned. */
  isExclusive: boolean;
  /** Resolves when the whole file has been checked, with the damage, if there is any. */
  damage: Promise<Damage | undefined>;
  /** For work of the start that may be repeated. On a local file there is nothing to wait for. */
  patiently: Patiently;
  close(): Promise<void>;
};

/** A migration may rewrite a large table. */
const MIGRATION_MS = 600_000;

export type OpenOptions = {
  authToken?: string | undefined;
  startReader?: StartThread | undefined;
  startCommitter?: StartThread | undefined;
  /** Only with a server: the lease of a node, which limits the duration of requests. */
  leaseMs?: number;
  /** How long to wait for a server that cannot be reached. */
  waitMs?: number;
  /** The name of this process among those that start on a server at the same time. */
  holder?: string;
  /** Only with a local file: how many copies from before migrations are kept; none by default. */
  migrationCopies?: number | undefined;
};

/**
 * Opens and migrates the database. A local file is locked for as long as it is open. Throws `StartError` if the file
 * cannot be written, is not a database, or is in use by another process. `startReader` starts the threads that read a
 * local file, `startCommitter` the one that writes it; without them, the main thread does that.
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
  const explain = (error: unknown) => reasonFor(error, where, [url, authToken]);
  const patience = { clock, where, waitMs, explain };
  try {
    await whenReachable(patience, async () => {
      await requireRestoredServer(client, where);
      try {
        await migrateDatabase({ client, slowClient, clock, holder });
      } catch (error) {
        // A restore may have begun since the check above.
        await requireRestoredServer(client, where);
        throw error;
      }
    });
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
    patiently: (work) => whenReachable({ ...patience, isReported: true }, work),
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
  { startReader, startCommitter, migrationCopies = 0 }: OpenOptions,
): Promise<Database> {
  const unlock = await lockFile(path);
  let client: LocalClient | undefined;
  try {
    requireRestored(path);
    keepPrivate(path);
    client = createLocalClient(path, BUSY_TIMEOUT_MS);
    return await prepareFile(path, client, {
      clock,
      startReader,
      startCommitter,
      migrationCopies,
      unlock,
    });
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
    startCommitter: StartThread | undefined;
    migrationCopies: number;
    unlock: () => void;
  },
): Promise<Database> {
  const { clock, startReader, startCommitter, migrationCopies, unlock } = options;
  const check = await checkForDamage(client, path, clock);
  if (check.atStart) throw damaged(path, check.atStart);
  for (const pragma of WRITING_PRAGMAS) await client.execute(`PRAGMA ${pragma}`);
  const db = drizzle({ client, casing: "snake_case" });
  await copyBeforeMigration(path, client, migrationCopies);
  await migrateDatabase({ client, slowClient: client, clock, holder: undefined });
  const committer =
    startCommitter === undefined ? undefined : createCommitClient(path, startCommitter, clock);
  // The thread then writes alone, and needs most of the cache.
  if (committer) for (const pragma of READING_PRAGMAS) await client.execute(`PRAGMA ${pragma}`);
  const writer = createWriter(committer ?? client, clock);
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
    patiently: (work) => work(),
    async close() {
      if (client.closed) return;
      await writer.settled();
      await stop();
      await committer?.stop();
      await client.execute("PRAGMA wal_checkpoint(TRUNCATE)");
      client.close();
      unlock();
    },
  };
}

/** A sentence for the operator, if the error comes from the database or the disk. */
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

/** The message of an error, without the secrets of the URL that it may contain. */
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
