import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { createClient } from "@libsql/client";

import { migrateDatabase } from "../../src/db/migrate.ts";
import { FOLDER, readMigrations } from "../../src/db/migrations.ts";
import { createSystemClock } from "../../src/lib/clock.ts";
import { freePort, startProcess, temporaryFolder } from "../support/process.ts";
import { until } from "../support/server.ts";
import { startSqld } from "../support/sqld.ts";
import { sqld } from "../support/tools.ts";

setDefaultTimeout(60_000);

describe.if(sqld !== undefined)("starting on a libSQL server", () => {
  let folder: ReturnType<typeof temporaryFolder>;
  let database: Awaited<ReturnType<typeof startSqld>>;
  let port: number;
  const env = () => ({ DATABASE_URL: `http://127.0.0.1:${port}`, DATA_DIR: folder.path });

  beforeAll(async () => {
    folder = temporaryFolder();
    port = await freePort();
  });
  afterAll(async () => {
    await database?.[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  });

  test("ends with one sentence if the server does not start in time", async () => {
    await using app = await startProcess({ ...env(), DATABASE_WAIT_SECONDS: "0" });
    expect(await app.exited()).toBe(1);
    expect(app.output.stderr.trim().split("\n")).toEqual([
      expect.stringMatching(
        /could not be reached within 0 s .*: no connection \(\w+\)\. Does the server run, and is DATABASE_URL right\?$/,
      ),
    ]);
  });

  test("lets four processes wait for the server, and all start on the new database", async () => {
    const starting = Array.from({ length: 4 }, () => startProcess(env()));
    await Bun.sleep(500);
    database = await startSqld(folder.path, port);
    await using apps = disposeAll(await Promise.all(starting));
    for (const app of apps.all) {
      expect((await app.get(`${app.url}/readyz`)).status).toBe(200);
      const reported = app.output.stderr
        .split("\n")
        .filter((line) => line.includes("waiting for it"));
      expect(reported.length).toBeLessThanOrEqual(1);
      for (const line of reported) expect(line).toContain("no connection");
    }
    const { rows } = await createClient({ url: database.url }).execute(
      "SELECT count(*), count(DISTINCT hash) FROM __drizzle_migrations",
    );
    expect(Number(rows[0]?.[0])).toBe(Number(rows[0]?.[1]));
  });

  test("an older database is migrated once by processes that start together", async () => {
    const path = join(folder.path, "older");
    await using older = await startSqld(path);
    await migrateTo(FOLDER, older.url);
    const next = releaseAfterThis(path);
    const together = ["a", "b", "c", "d"].map((holder) =>
      migrateTo(next.folder, older.url, holder),
    );
    await Promise.all(together);
    const { rows } = await createClient({ url: older.url }).execute(
      "SELECT (SELECT count(note) FROM tasks) AS notes, count(*) AS n FROM __drizzle_migrations",
    );
    expect([rows[0]?.["notes"], rows[0]?.["n"]]).toEqual([
      0,
      readMigrations(FOLDER).all.length + 1,
    ]);
  });

  test("processes that start together correct damaged counters once", async () => {
    await using app = await startProcess(env());
    await app.post("/batches", { id: "damaged", tasks: [{ prompt: "p" }] });
    await app.post("/batches/damaged/execute");
    await app.finished("damaged");
    await app.kill("SIGTERM");
    const client = createClient({ url: database.url });
    await client.execute("DELETE FROM repairs");
    await client.execute(
      "UPDATE batches SET running = -3, completed = completed + 3 WHERE id = 'damaged'",
    );
    await using apps = disposeAll(
      await Promise.all(Array.from({ length: 3 }, () => startProcess(env()))),
    );
    await until(async () => (await client.execute("SELECT 1 FROM repairs")).rows[0]);
    // Each has ended its check before it ends.
    await Promise.all(apps.all.map((each) => each.kill("SIGTERM")));
    const { rows } = await client.execute(
      "SELECT running, completed FROM batches WHERE id = 'damaged'",
    );
    expect([rows[0]?.["running"], rows[0]?.["completed"]]).toEqual([0, 1]);
    const corrected = apps.all.filter(({ output }) => output.stderr.includes("were corrected"));
    expect(corrected).toHaveLength(1);
  });

  test("a version works on, and starts, beside the next release, and not beside one that forbids it", async () => {
    await using before = await startProcess(env());
    const next = releaseAfterThis(folder.path);
    await migrateTo(next.folder, database.url);
    const { body } = await before.post(
      "/tasks?execute=true",
      { prompt: "x" },
      { prefer: "wait=20" },
    );
    expect(body.data.status).toBe("completed");
    await using beside = await startProcess(env());
    expect(await beside.get("/tasks")).toMatchObject({ status: 200 });

    next.bearsNoOlder();
    await migrateTo(next.folder, database.url);
    await using refused = await startProcess(env());
    expect(await refused.exited()).toBe(1);
    expect(refused.output.stderr).toContain("newer version");
  });
});

function migrateTo(folder: string, url: string, holder = "next"): Promise<void> {
  const client = createClient({ url });
  const clock = createSystemClock();
  return migrateDatabase({ client, slowClient: client, clock, holder, folder });
}

/** The migrations of this version and one more. */
function releaseAfterThis(path: string) {
  const folder = join(path, "drizzle");
  cpSync(FOLDER, folder, { recursive: true });
  const file = join(folder, "meta/_journal.json");
  const journal = JSON.parse(readFileSync(file, "utf8"));
  const add = (tag: string, sql: string) => {
    const { when } = journal.entries.at(-1);
    journal.entries.push({ ...journal.entries.at(-1), tag, when: when + 1 });
    writeFileSync(file, JSON.stringify(journal));
    writeFileSync(join(folder, `${tag}.sql`), sql);
  };
  const bearSince = (since: string) =>
    writeFileSync(join(folder, "beside.json"), JSON.stringify({ since }));
  bearSince(journal.entries.at(-1).tag);
  add("9998_next", "ALTER TABLE `tasks` ADD `note` text;");
  return {
    folder,
    bearsNoOlder() {
      add("9999_after-next", "CREATE TABLE `notes` (`id` integer);");
      bearSince("9998_next");
    },
  };
}

function disposeAll<One extends AsyncDisposable>(all: One[]) {
  return {
    all,
    async [Symbol.asyncDispose]() {
      await Promise.all(all.map((one) => one[Symbol.asyncDispose]()));
    },
  };
}
