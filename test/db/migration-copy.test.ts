import { expect, test } from "bun:test";
import { readdirSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { createLocalClient } from "../../src/db/local-client.ts";
import { migrateDatabase, migrationsOf } from "../../src/db/migrate.ts";
import { copyBeforeMigration } from "../../src/db/migration-copy.ts";
import { createSystemClock } from "../../src/lib/clock.ts";
import { nextMigrations } from "../support/next-version.ts";
import { temporaryFolder } from "../support/process.ts";

/** A database of this version with a key in it, and the migrations of the next version. */
async function makeDatabase(folder: string) {
  const path = join(folder, "task-runner.db");
  const client = createLocalClient(path, 1000);
  const options = { client, slowClient: client, clock: createSystemClock(), holder: undefined };
  await migrateDatabase(options);
  await client.execute(
    `INSERT INTO api_keys (id, name, hash, prefix, scopes, origin, created_at)
     VALUES ('key-kept', 'Kept', 'hash', '', '["read"]', 'api', 1)`,
  );
  const next = nextMigrations(folder);
  return {
    path,
    client,
    newest: (await migrationsOf(client)).newest ?? "",
    copy: (keep: number) => copyBeforeMigration(path, client, keep, next),
    migrate: () => migrateDatabase({ ...options, folder: next }),
    [Symbol.dispose]: () => client.close(),
  };
}

const copiesIn = (folder: string) =>
  readdirSync(folder).filter((name) => name.includes(".before-"));

test("a database is copied before it is migrated, and the last two copies are kept", async () => {
  using folder = temporaryFolder();
  using database = await makeDatabase(folder.path);
  for (const [i, name] of ["0001_one", "0002_two", "0003_three"].entries()) {
    const path = `${database.path}.before-${name}`;
    writeFileSync(path, "");
    utimesSync(path, i + 1, i + 1);
  }
  writeFileSync(`${database.path}.before-0001_one.tmp`, "cut off");

  await database.copy(2);
  await database.migrate();

  const name = `task-runner.db.before-${database.newest}`;
  expect(copiesIn(folder.path).toSorted()).toEqual(
    [name, "task-runner.db.before-0003_three"].toSorted(),
  );
  const copy = join(folder.path, name);
  expect(statSync(copy).mode & 0o777).toBe(0o600);
  const client = createLocalClient(copy, 1000);
  const { rows } = await client.execute("SELECT id FROM api_keys");
  expect(rows.map(({ id }) => id)).toEqual(["key-kept"]);
  expect((await migrationsOf(client)).newest).toBe(database.newest);
  client.close();

  const before = statSync(copy).mtimeMs;
  await database.copy(2);
  expect(statSync(copy).mtimeMs).toBe(before);
  expect(copiesIn(folder.path)).toHaveLength(2);
});

test("if no copies are to be kept, none is made", async () => {
  using folder = temporaryFolder();
  using database = await makeDatabase(folder.path);
  await database.copy(0);
  expect(copiesIn(folder.path)).toEqual([]);
});
