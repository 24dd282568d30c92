import { expect, test } from "bun:test";
import { cpSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { createLocalClient } from "../../src/db/local-client.ts";
import { migrateDatabase } from "../../src/db/migrate.ts";
import { FOLDER } from "../../src/db/migrations.ts";
import { createSystemClock } from "../../src/lib/clock.ts";
import { startProcess, temporaryFolder } from "../support/process.ts";

/** A database of the version before the newest migration, with a key in it. Returns that version's newest one. */
async function makeOlder(folder: string): Promise<string> {
  const migrations = join(folder, "drizzle");
  cpSync(FOLDER, migrations, { recursive: true });
  const path = join(migrations, "meta/_journal.json");
  const journal = JSON.parse(readFileSync(path, "utf8"));
  journal.entries.pop();
  writeFileSync(path, JSON.stringify(journal));
  const client = createLocalClient(join(folder, "task-runner.db"), 1000);
  const clock = createSystemClock();
  const options = { client, slowClient: client, clock, holder: undefined, folder: migrations };
  await migrateDatabase(options);
  await client.execute(
    `INSERT INTO api_keys (id, name, hash, prefix, scopes, origin, created_at)
     VALUES ('key-kept', 'Kept', 'hash', '', '["read"]', 'api', 1)`,
  );
  client.close();
  return journal.entries.at(-1).tag;
}

test("a database is copied before it is migrated, and of such copies the last two stay", async () => {
  using folder = temporaryFolder();
  const before = await makeOlder(folder.path);
  const old = ["0001_one", "0002_two", "0003_three"].map((name, i) => {
    const path = join(folder.path, `task-runner.db.before-${name}`);
    writeFileSync(path, "");
    utimesSync(path, i + 1, i + 1);
    return path;
  });
  writeFileSync(join(folder.path, "task-runner.db.before-0001_one.tmp"), "cut off");

  await using app = await startProcess({ DATA_DIR: folder.path, LOG_LEVEL: "info" });
  const copies = () => readdirSync(folder.path).filter((name) => name.includes(".before-"));
  expect(copies().toSorted()).toEqual([
    "task-runner.db.before-0003_three",
    `task-runner.db.before-${before}`,
  ]);
  expect(old).toHaveLength(3);
  const copy = join(folder.path, `task-runner.db.before-${before}`);
  expect(statSync(copy).mode & 0o777).toBe(0o600);
  const lines = app.output.stdout.split("\n").filter((line) => line.includes("was copied to"));
  expect(lines).toHaveLength(1);
  const client = createLocalClient(copy, 1000);
  const { rows } = await client.execute("SELECT id FROM api_keys");
  expect(rows.map(({ id }) => id)).toEqual(["key-kept"]);
  expect(
    (await client.execute("SELECT count(*) AS n FROM __drizzle_migrations")).rows[0]?.["n"],
  ).toBe(Number(before.slice(0, 4)) + 1);
  client.close();

  expect(await app.kill("SIGTERM")).toBe(0);
  await using again = await startProcess({ DATA_DIR: folder.path });
  expect(again.url).toBeDefined();
  expect(copies()).toHaveLength(2);
});

test("MIGRATION_COPIES=0 makes none", async () => {
  using folder = temporaryFolder();
  await makeOlder(folder.path);
  await using app = await startProcess({ DATA_DIR: folder.path, MIGRATION_COPIES: "0" });
  expect(app.url).toBeDefined();
  expect(readdirSync(folder.path).filter((name) => name.includes(".before-"))).toEqual([]);
});
