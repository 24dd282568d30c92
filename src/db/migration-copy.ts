import { readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";

import type { Client } from "@libsql/client";
import { getLogger } from "@logtape/logtape";

import { migrationsOf } from "./migrate.ts";
import { copyDatabase, missingSpace, sizeOfDatabase, syncFile } from "./snapshot.ts";

const UNFINISHED = ".tmp";

/**
 * Copies the database file before further migrations; the copy lies beside it and is named after its newest
 * migration. With it an operator can return to the previous version. Only the last `keep` copies are kept. If the
 * disk has no room for a copy, the migration continues without one.
 */
export async function copyBeforeMigration(
  path: string,
  client: Client,
  keep: number,
  folder?: string,
): Promise<void> {
  const { newest, missing } = await migrationsOf(client, folder);
  removeAll(copiesOf(path).filter((copy) => copy.endsWith(UNFINISHED)));
  if (keep === 0 || newest === undefined || missing === 0) return;
  const log = getLogger(["gptrunner", "database"]);
  const lacking = missingSpace(dirname(path), await sizeOfDatabase(client));
  if (lacking > 0) {
    log.warning(
      "The database is migrated without a copy of it before: {megabytes} MB more of free disk would be needed",
      { megabytes: Math.ceil(lacking / 1_000_000) },
    );
    return;
  }
  const copy = `${path}.before-${newest}`;
  const unfinished = copy + UNFINISHED;
  await copyDatabase(client, unfinished);
  renameSync(unfinished, copy);
  syncFile(dirname(path));
  // Removes the oldest copies beyond `keep`.
  removeAll(copiesOf(path).toSorted(byAge).slice(keep));
  log.info("The database was copied to {copy} before its migration; it has missed {missing}", {
    copy,
    missing,
  });
}

function copiesOf(path: string): string[] {
  const folder = dirname(path);
  const start = `${basename(path)}.before-`;
  return readdirSync(folder)
    .filter((name) => name.startsWith(start))
    .map((name) => join(folder, name));
}

/** The youngest first. */
function byAge(one: string, other: string): number {
  return statSync(other).mtimeMs - statSync(one).mtimeMs;
}

function removeAll(paths: string[]): void {
  for (const path of paths) rmSync(path, { force: true });
}
