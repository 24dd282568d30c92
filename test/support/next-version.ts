import { cpSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import manifest from "../../package.json";
import { FOLDER } from "../../src/db/migrations.ts";

/** The migrations of a next version, in a new folder: those of this one, and one that adds a column. */
export function nextMigrations(folder: string): string {
  const migrations = join(folder, "drizzle");
  cpSync(FOLDER, migrations, { recursive: true });
  const path = join(migrations, "meta/_journal.json");
  const journal = JSON.parse(readFileSync(path, "utf8"));
  const last = journal.entries.at(-1);
  journal.entries.push({ ...last, tag: "9999_next", when: last.when + 1 });
  writeFileSync(path, JSON.stringify(journal));
  writeFileSync(join(migrations, "9999_next.sql"), "ALTER TABLE `tasks` ADD `note` text;");
  return migrations;
}

/** The program of a next version in a folder, with another number and a further migration. Returns its command. */
export function nextProgram(folder: string): string[] {
  nextMigrations(folder);
  cpSync("src", join(folder, "src"), { recursive: true });
  symlinkSync(join(process.cwd(), "node_modules"), join(folder, "node_modules"));
  writeFileSync(join(folder, "package.json"), JSON.stringify({ ...manifest, version: "99.0.0" }));
  return [process.execPath, join(folder, "src", "cli", "main.ts")];
}
