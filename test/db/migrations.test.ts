import { expect, test } from "bun:test";

import { FOLDER, readMigrations, whyNotBeside } from "../../src/db/migrations.ts";

/** What the rule says of one statement after the migrations of the release before. */
const judge = (...statements: string[]) =>
  whyNotBeside({ all: [{ name: "next", when: 2, hash: "", statements }], besideSince: 1 });

test("the version before can run on a database that this one has migrated", () => {
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

test("a migration may forbid what it likes in a table of its own", () => {
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
