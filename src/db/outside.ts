import { existsSync } from "node:fs";

import type { Client } from "@libsql/client";

import type { Clock } from "../lib/clock.ts";
import { StartError } from "../lib/start-error.ts";
import { filePathOf, withoutSecrets } from "../lib/urls.ts";
import { explainOpening } from "./client.ts";
import { tryLock } from "./file-lock.ts";
import { createLocalClient } from "./local-client.ts";
import { schemaState } from "./migrate.ts";
import { createServerClient } from "./server.ts";
import { requireRestored, requireRestoredServer } from "./unrestored.ts";

/** The database for a command of the operator, while servers may be running. */
export type OutsideDatabase = {
  client: Client;
  /** The same, for statements that may take minutes. */
  slowClient: Client;
  /** The name of the database for messages, without secrets. */
  where: string;
  /** Only with a local file. */
  path: string | undefined;
  /** A server has the file open. A shared database lists its servers in `nodes`. */
  isInUse: boolean;
  close(): void;
};

/** A server commits in milliseconds, or takes longer for something large. */
const BUSY_TIMEOUT_MS = 10_000;
const DEADLINE_MS = 30_000;
const SLOW_MS = 600_000;

export type OutsideOptions = {
  url: string;
  authToken: string | undefined;
  clock: Clock;
  /** Whether to keep servers from starting on a local file that is not in use, while it is open. */
  isLocking: boolean;
};

/** Opens an existing database as it is: nothing is created, locked for others, or migrated. Throws `StartError`. */
export async function openOutside(options: OutsideOptions): Promise<OutsideDatabase> {
  const { url, authToken } = options;
  const path = filePathOf(url);
  try {
    return path === undefined ? await openServer(options) : await openFile(path, options);
  } catch (error) {
    throw explainOpening(error, path ?? withoutSecrets(url), [url, authToken]);
  }
}

async function openServer({ url, authToken, clock }: OutsideOptions): Promise<OutsideDatabase> {
  const client = createServerClient({ url, authToken, clock, deadlineMs: DEADLINE_MS });
  const slowClient = createServerClient({ url, authToken, clock, deadlineMs: SLOW_MS });
  const close = () => {
    client.close();
    slowClient.close();
  };
  const where = withoutSecrets(url);
  try {
    await requireRestoredServer(client, where);
  } catch (error) {
    close();
    throw error;
  }
  return { client, slowClient, where, path: undefined, isInUse: false, close };
}

async function openFile(path: string, { isLocking }: OutsideOptions): Promise<OutsideDatabase> {
  requireRestored(path);
  if (!existsSync(path))
    throw new StartError(
      `There is no database at ${path}. Set DATA_DIR or DATABASE_URL to that of the server.`,
    );
  const unlock = await tryLock(path);
  if (!isLocking) unlock?.();
  let client: Client | undefined;
  try {
    client = createLocalClient(path, BUSY_TIMEOUT_MS);
    await client.execute("PRAGMA foreign_keys = ON");
    await client.execute("PRAGMA synchronous = FULL");
    // Fails if the file is not a database.
    await client.execute("SELECT 1 FROM sqlite_master LIMIT 1");
  } catch (error) {
    client?.close();
    if (isLocking) unlock?.();
    throw error;
  }
  const open = client;
  return {
    client: open,
    slowClient: open,
    where: path,
    path,
    isInUse: unlock === undefined,
    close() {
      open.close();
      if (isLocking) unlock?.();
    },
  };
}

/** Throws `StartError` unless this version knows the schema of the database. */
export async function requireOwnSchema({
  client,
  where,
}: Pick<OutsideDatabase, "client" | "where">): Promise<void> {
  const state = await schemaState(client);
  if (state === "none")
    throw new StartError(
      `${where} holds no tables of GPT Task Runner: no server was started on it.`,
    );
  if (state === "older")
    throw new StartError(
      `${where} is of an older version. Start this version once, which brings it up to date, or use the older one.`,
    );
  if (state === "newer")
    throw new StartError(`${where} was made by a newer version of GPT Task Runner; use that one.`);
}
