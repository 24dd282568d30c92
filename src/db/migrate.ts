import type { Client, InStatement } from "@libsql/client";

import type { Clock } from "../lib/clock.ts";
import { StartError } from "../lib/start-error.ts";
import { FOLDER, type Migration, type Migrations, readMigrations } from "./migrations.ts";
import { DATABASE_NOW } from "./now.ts";
import { fateOf } from "./refusal.ts";
import { rowsOf } from "./unit.ts";
import { RESTORING, UNLESS_RESTORING } from "./unrestored.ts";

export type MigrateOptions = {
  client: Client;
  /**
   * A client with a longer timeout, because a migration may rewrite a large table. For a file it is the same client.
   */
  slowClient: Client;
  clock: Pick<Clock, "sleep">;
  /** The name of this process among those that start at the same time; `undefined` if there can be no others. */
  holder: string | undefined;
  folder?: string;
};

/** Longer than the migration of a killed process can still run in the server. */
const LEASE_MS = 120_000;
const LOOK_EVERY_MS = 200;

/** The tables that must exist before the first migration. The first one has the format of Drizzle's own tools. */
const TABLES: Record<string, string> = {
  __drizzle_migrations: "id SERIAL PRIMARY KEY, hash text NOT NULL, created_at numeric",
  __migrating:
    "id integer PRIMARY KEY CHECK (id = 1), holder text NOT NULL, expires_at integer NOT NULL",
  __beside: "id integer PRIMARY KEY CHECK (id = 1), since numeric NOT NULL",
};

/*
 * Brings the schema up to date. Of processes that start together on a shared database one migrates:
 *
 *   beginning   the tables for the following are made. Refused while a restore fills the database.
 *   looking     the missing migrations are read. Left for the end when there are none.
 *   waiting     another one holds the lease. Left when the schema has moved on, or the lease has lapsed,
 *               which it does if that process was killed before it began.
 *   migrating   all missing migrations are one transaction. It begins with a check that the schema is
 *               what was read, so that a process that comes late, whatever its lease says, changes nothing.
 *
 * A version may run on a database that the next release has migrated, so that a fleet can be renewed one
 * process at a time: each release names the migration from which on older versions can run beside it. Throws
 * `StartError` if the database was migrated by a version beside which this one cannot run.
 */
export async function migrateDatabase(options: MigrateOptions): Promise<void> {
  const migrations = readMigrations(options.folder ?? FOLDER);
  const known = migrations.all.at(-1)?.when ?? 0;
  const { client, clock, holder } = options;
  await makeTables(client);
  let newest = await findNewest(client);
  requireReleased(newest, migrations);
  while (newest < known) {
    if (holder !== undefined && !(await takeLease(client, holder)))
      await clock.sleep(LOOK_EVERY_MS);
    else await migrateFrom(options, newest, migrations);
    newest = await findNewest(client);
  }
  if (newest > known && (await besideSince(client)) > known)
    throw new StartError(
      "The database was made by a newer version of GPT Task Runner, beside which this one cannot run; start that one.",
    );
}

/**
 * Before the release of 0.2.0 the schema was made by many migrations, which are now a single one. It has the time of
 * the last of them, so a database with all of them is up to date. A database with only some of them cannot be
 * migrated.
 */
function requireReleased(newest: number, { all }: Migrations): void {
  const [first] = all;
  if (newest > 0 && first && newest < first.when)
    throw new StartError(
      "The database was made by a checkout from before 0.2.0 that was not the last one. Start the last commit before " +
        "`drizzle/0000_initial.sql` became the only migration once, which migrates it, and then this version.",
    );
}

/** The name of the newest migration that a database has, `undefined` in a new one, and how many it has missed. */
export async function migrationsOf(
  client: Client,
  folder = FOLDER,
): Promise<{ newest: string | undefined; missing: number }> {
  const { all } = readMigrations(folder);
  const { rows } = await client.execute(
    "SELECT 1 FROM sqlite_master WHERE name = '__drizzle_migrations'",
  );
  const newest = rows.length > 0 ? await findNewest(client) : 0;
  return {
    newest:
      newest === 0 ? undefined : (all.find(({ when }) => when === newest)?.name ?? String(newest)),
    missing: all.filter(({ when }) => when > newest).length,
  };
}

/** How the schema of a database compares with that of this version. */
export type SchemaState = "none" | "older" | "same" | "newer";

/** Changes nothing. A newer database that this version can run on counts as the same. */
export async function schemaState(client: Client): Promise<SchemaState> {
  const { newest, missing } = await migrationsOf(client);
  if (newest === undefined) return "none";
  if (missing > 0) return "older";
  const known = readMigrations(FOLDER).all.at(-1)?.when ?? 0;
  if ((await findNewest(client)) <= known) return "same";
  return (await besideSince(client)) <= known ? "same" : "newer";
}

async function migrateFrom(
  { client, slowClient, holder }: MigrateOptions,
  newest: number,
  migrations: Migrations,
): Promise<void> {
  const missing = migrations.all.filter(({ when }) => when > newest);
  try {
    await slowClient.migrate([
      requireNewest(newest),
      ...missing.flatMap(statementsOf),
      keepBeside(migrations.besideSince),
    ]);
  } catch (error) {
    // Another process has migrated meanwhile, or this one has and the answer was lost.
    if ((await findNewest(client)) > newest || fateOf(error) === "unknown") return;
    throw error;
  } finally {
    if (holder !== undefined) await giveUpLease(client, holder);
  }
}

function statementsOf({ statements, hash, when }: Migration): InStatement[] {
  return [
    ...statements,
    {
      sql: "INSERT INTO __drizzle_migrations (hash, created_at) VALUES (?, ?)",
      args: [hash, when],
    },
  ];
}

/**
 * Fails, and with it the rest of the transaction, unless the newest migration is still this one: `json` refuses a
 * text that is not JSON.
 */
function requireNewest(newest: number): InStatement {
  return {
    sql: `SELECT json(iif(coalesce((SELECT max(created_at) FROM __drizzle_migrations), 0) = ?, '1',
            'the schema has changed meanwhile'))`,
    args: [newest],
  };
}

/**
 * The first change of a new database. Fails while a restore fills it; from then on it is not empty, and every restore
 * refuses it.
 */
async function makeTables(client: Client): Promise<void> {
  const { rows } = await client.execute("SELECT name FROM sqlite_master WHERE name GLOB '__*'");
  const there = new Set(rows.map((row) => row["name"]));
  const missing = Object.entries(TABLES).filter(([name]) => !there.has(name));
  if (missing.length === 0 && !there.has(RESTORING)) return;
  const create = missing.map(
    ([name, columns]) => `CREATE TABLE IF NOT EXISTS ${name} (${columns})`,
  );
  await client.batch([UNLESS_RESTORING, ...create], "write");
}

/** When the newest migration was written, which orders them; 0 in a new database. */
function findNewest(client: Client): Promise<number> {
  return readNumber(client, "SELECT max(created_at) AS value FROM __drizzle_migrations");
}

/** Infinity if no version has recorded it yet. */
async function besideSince(client: Client): Promise<number> {
  return (await readNumber(client, "SELECT since AS value FROM __beside")) || Infinity;
}

function keepBeside(since: number): InStatement {
  return {
    sql: `INSERT INTO __beside (id, since) VALUES (1, ?)
          ON CONFLICT (id) DO UPDATE SET since = excluded.since`,
    args: [since],
  };
}

async function takeLease(client: Client, holder: string): Promise<boolean> {
  const { rows } = await client.execute({
    sql: `INSERT INTO __migrating (id, holder, expires_at) VALUES (1, ?, ${DATABASE_NOW} + ?)
          ON CONFLICT (id) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at
          WHERE holder = excluded.holder OR expires_at < ${DATABASE_NOW}
          RETURNING 1`,
    args: [holder, LEASE_MS],
  });
  return rows.length > 0;
}

async function giveUpLease(client: Client, holder: string): Promise<void> {
  await client.execute({ sql: "DELETE FROM __migrating WHERE holder = ?", args: [holder] });
}

async function readNumber(client: Client, sql: string): Promise<number> {
  const [row] = rowsOf<{ value: number | null }>(await client.execute(sql));
  return Number(row?.value ?? 0);
}
