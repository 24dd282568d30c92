import { expect, test } from "bun:test";
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { createLocalClient } from "../../src/db/local-client.ts";
import { migrateDatabase, schemaState } from "../../src/db/migrate.ts";
import { FOLDER, readMigrations, whyNotBeside } from "../../src/db/migrations.ts";
import { createSystemClock } from "../../src/lib/clock.ts";
import { temporaryFolder } from "../support/process.ts";

/** The rule's verdict on one statement after the migrations of the previous release. */
const judge = (...statements: string[]) =>
  whyNotBeside({ all: [{ name: "next", when: 2, hash: "", statements }], besideSince: 1 });

test("the previous version can run on a database that this one has migrated", () => {
  expect(whyNotBeside(readMigrations(FOLDER))).toBeUndefined();
});

test.each([
  ["CREATE TABLE `new` (`id` integer PRIMARY KEY NOT NULL);"],
  ["CREATE INDEX `by_time` ON `tasks` (`created_at`);"],
  ["ALTER TABLE `tasks` ADD `note` text;"],
  ["ALTER TABLE `queue` ADD `is_first` integer DEFAULT false NOT NULL;"],
  ["INSERT INTO `new` VALUES (1)"],
  [
    "CREATE TRIGGER `kept` BEFORE INSERT ON `log` WHEN EXISTS (SELECT 1 FROM `log` WHERE `id` = new.`id`) BEGIN SELECT raise(ABORT, 'no'); END;",
  ],
])("a migration may add: %s", (sql) => {
  expect(judge(sql)).toBeUndefined();
});

test("a migration may forbid anything in its own table", () => {
  const index = "CREATE UNIQUE INDEX `new_by_name` ON `new` (`name`);";
  expect(judge("CREATE TABLE `new` (`name` text);", index)).toBeUndefined();
  expect(judge(index)).toContain("next does more than add");
});

test.each([
  ["DROP TABLE `tasks`"],
  ["DROP INDEX `by_time`"],
  ["ALTER TABLE `tasks` DROP COLUMN `prompt`"],
  ["ALTER TABLE `tasks` RENAME COLUMN `prompt` TO `text`"],
  ["ALTER TABLE `tasks` ADD `note` text NOT NULL"],
  ["CREATE TRIGGER t BEFORE INSERT ON `tasks` BEGIN SELECT raise(ABORT, 'no'); END"],
  [
    "CREATE TRIGGER t BEFORE INSERT ON `tasks` WHEN EXISTS (SELECT 1 FROM `tasks` WHERE `name` = new.`id`) BEGIN SELECT raise(ABORT, 'no'); END",
  ],
  ["DELETE FROM `tasks`"],
])("a migration may not take away or forbid: %s", (sql) => {
  expect(judge(sql)).toContain("The version before could not run beside this one");
});

/** A database with the schema of the first migration, whose history lists other migrations with these times. */
async function withHistory(folder: string, times: number[]) {
  const client = createLocalClient(join(folder, "task-runner.db"), 1000);
  const options = { client, slowClient: client, clock: createSystemClock(), holder: undefined };
  await migrateDatabase({ ...options, folder: onlyFirst(folder) });
  await client.execute("DELETE FROM __drizzle_migrations");
  for (const [i, time] of times.entries())
    await client.execute({
      sql: "INSERT INTO __drizzle_migrations (hash, created_at) VALUES (?, ?)",
      args: [`hash ${i}`, time],
    });
  return { client, migrate: () => migrateDatabase(options) };
}

function onlyFirst(folder: string): string {
  const migrations = join(folder, "drizzle");
  cpSync(FOLDER, migrations, { recursive: true });
  const path = join(migrations, "meta/_journal.json");
  const journal = JSON.parse(readFileSync(path, "utf8"));
  writeFileSync(path, JSON.stringify({ ...journal, entries: journal.entries.slice(0, 1) }));
  return migrations;
}

/** The last of the migrations that were merged into one. */
const [{ when: LAST } = { when: 0 }] = readMigrations(FOLDER).all;

test("a database with all migrations from before they became one gets only later ones", async () => {
  using folder = temporaryFolder();
  const { client, migrate } = await withHistory(folder.path, [LAST - 1, LAST]);
  await migrate();
  expect(await schemaState(client)).toBe("same");
  const { rows } = await client.execute("SELECT hash FROM __drizzle_migrations");
  const later = readMigrations(FOLDER).all.slice(1);
  expect(rows.map(({ hash }) => hash)).toEqual([
    "hash 0",
    "hash 1",
    ...later.map(({ hash }) => hash),
  ]);
  client.close();
});

test("a database with only some of them is refused, and left as it is", async () => {
  using folder = temporaryFolder();
  const { client, migrate } = await withHistory(folder.path, [LAST - 1]);
  await expect(migrate()).rejects.toThrow("made by a checkout from before 0.2.0");
  const { rows } = await client.execute("SELECT hash FROM __drizzle_migrations");
  expect(rows.map(({ hash }) => hash)).toEqual(["hash 0"]);
  client.close();
});
