import { fileURLToPath } from "node:url";

import { sql } from "drizzle-orm";
import { migrate } from "drizzle-orm/libsql/migrator";
import { readMigrationFiles } from "drizzle-orm/migrator";

import { StartError } from "../lib/start-error.ts";
import type { Db } from "./client.ts";

const MIGRATIONS = { migrationsFolder: fileURLToPath(new URL("../../drizzle", import.meta.url)) };

/** Brings the schema up to date. Refuses a database that a newer version has already changed. */
export async function migrateDatabase(db: Db): Promise<void> {
  const known = Math.max(...readMigrationFiles(MIGRATIONS).map(({ folderMillis }) => folderMillis));
  await migrate(db, MIGRATIONS);
  const [newest] = await db.values<[number]>(sql`select max(created_at) from __drizzle_migrations`);
  if (Number(newest?.[0]) > known)
    throw new StartError(
      "The database was made by a newer version of GPT Task Runner; start that one.",
    );
}
