import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { createClient } from "@libsql/client";

import { openDatabase } from "../../src/db/client.ts";
import { schemaState } from "../../src/db/migrate.ts";
import { createSystemClock } from "../../src/lib/clock.ts";
import { backup, restore, saidOf } from "../support/backup.ts";
import { temporaryFolder } from "../support/process.ts";
import { startServer } from "../support/server.ts";
import { startSqld } from "../support/sqld.ts";
import { sqld } from "../support/tools.ts";

setDefaultTimeout(60_000);

/** A way to a libSQL server on which something is done once, before the first request with this text goes on. */
function wayTo(url: string, text: string, act: () => Promise<unknown>) {
  let isDone = false;
  const server = Bun.serve({
    port: 0,
    idleTimeout: 60,
    async fetch(request) {
      const body = await request.text();
      if (!isDone && body.includes(text)) {
        isDone = true;
        await act();
      }
      const path = new URL(request.url).pathname;
      const { method, headers } = request;
      headers.delete("accept-encoding");
      const answer = await fetch(url + path, {
        method,
        headers,
        ...(method === "POST" ? { body } : {}),
      });
      return new Response(await answer.arrayBuffer(), { status: answer.status });
    },
  });
  return {
    url: `http://127.0.0.1:${server.port}`,
    [Symbol.asyncDispose]: () => server.stop(true),
  };
}

/** A restore that is held before its first request with this text. */
function heldRestore(
  { url, DATA_DIR, from }: { url: string; DATA_DIR: string; from: string },
  text: string,
) {
  const [held, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const way = wayTo(url, text, () => {
    held.resolve();
    return released.promise;
  });
  const said = saidOf(restore({ DATABASE_URL: way.url, DATA_DIR }, from));
  return {
    held: Promise.race([held.promise, said]),
    async finish(): Promise<string> {
      released.resolve();
      const result = await said;
      await way[Symbol.asyncDispose]();
      return result;
    },
  };
}

const BEGINNING = "CREATE TABLE IF NOT EXISTS __restoring";
const FIRST_TABLE = "CREATE TABLE __drizzle_migrations";
const LOOK_AT_TABLES = "name GLOB '__*'";
const OWN_TABLES = "CREATE TABLE IF NOT EXISTS __drizzle_migrations";
const END = "DROP TABLE __restoring";

describe.if(sqld !== undefined)("a restore to a libSQL server", () => {
  let folder: ReturnType<typeof temporaryFolder>;
  const at = (name: string) => join(folder.path, name);
  const filesOf = (name: string) => existsSync(join(at(name), "files", "in.csv"));
  const start = (url: string) => openDatabase(url, createSystemClock(), { holder: "node" });

  beforeAll(async () => {
    folder = temporaryFolder();
    await using app = await startServer({ DATA_DIR: at("source") });
    mkdirSync(join(at("source"), "files"), { recursive: true });
    writeFileSync(join(at("source"), "files", "in.csv"), "prompt\nx\n");
    await app.post("/tasks", { id: "t", prompt: "x" });
    await backup({ DATA_DIR: at("source") }, at("backup"));
  });
  afterAll(() => folder[Symbol.dispose]());

  test("refuses a database in which a server has begun since the check, and leaves everything", async () => {
    await using database = await startSqld(at("first"));
    const begin = async () => {
      const node = await start(database.url);
      await node.close();
    };
    await using way = wayTo(database.url, BEGINNING, begin);
    const env = { DATABASE_URL: way.url, DATA_DIR: at("refused") };
    expect(await saidOf(restore(env, at("backup")))).toMatch(/^refused: .* holds tables already/);
    const client = createClient({ url: database.url });
    expect([await schemaState(client), filesOf("refused")]).toEqual(["same", false]);
    client.close();
    // No marker is left with which no server starts.
    await (await start(database.url)).close();
  });

  test.each([
    [LOOK_AT_TABLES, FIRST_TABLE],
    [LOOK_AT_TABLES, END],
    [OWN_TABLES, FIRST_TABLE],
    [OWN_TABLES, END],
  ])(
    "lets no server start that has looked before: it goes on at %s, the restore waits at %s",
    async (reached, text) => {
      const name = `${reached} ${text}`;
      await using database = await startSqld(at(name));
      const { url } = database;
      let running: ReturnType<typeof heldRestore> | undefined;
      const begin = () => {
        running = heldRestore({ url, DATA_DIR: at(`to ${name}`), from: at("backup") }, text);
        return running.held;
      };
      await using way = wayTo(url, reached, begin);
      expect(await saidOf(start(way.url))).toMatch(/A restore of .* is in progress/);
      expect(await running?.finish()).toBe("it was done");
      expect(filesOf(`to ${name}`)).toBe(true);
      const node = await start(url);
      const { rows } = await node.client.execute("SELECT id FROM tasks");
      expect(rows.map(({ id }) => id)).toEqual(["t"]);
      await node.close();
    },
  );

  test("refuses another one that has looked before, which restores no file", async () => {
    await using database = await startSqld(at("third"));
    const { url } = database;
    let running: ReturnType<typeof heldRestore> | undefined;
    const begin = () => {
      running = heldRestore({ url, DATA_DIR: at("winner"), from: at("backup") }, END);
      return running.held;
    };
    await using way = wayTo(url, BEGINNING, begin);
    const env = { DATABASE_URL: way.url, DATA_DIR: at("loser") };
    expect(await saidOf(restore(env, at("backup")))).toMatch(/^refused: Another restore of/);
    expect(await running?.finish()).toBe("it was done");
    expect([filesOf("winner"), filesOf("loser")]).toEqual([true, false]);
  });

  test("that cannot put its files in place leaves the database empty", async () => {
    await using database = await startSqld(at("fifth"));
    const { url } = database;
    const env = { DATABASE_URL: url, DATA_DIR: at("broken") };
    const obstruct = async () => {
      rmSync(join(at("broken"), "files"), { recursive: true, force: true });
      writeFileSync(join(at("broken"), "files"), "");
    };
    await using way = wayTo(url, BEGINNING, obstruct);
    expect(await saidOf(restore({ ...env, DATABASE_URL: way.url }, at("backup")))).toMatch(
      /EEXIST|ENOTDIR/,
    );
    rmSync(join(at("broken"), "files"));
    expect(await saidOf(restore(env, at("backup")))).toBe("it was done");
  });

  test("that was silent for too long gives way to another one", async () => {
    await using database = await startSqld(at("fourth"));
    const { url } = database;
    const running = heldRestore({ url, DATA_DIR: at("silent"), from: at("backup") }, FIRST_TABLE);
    await running.held;
    const client = createClient({ url });
    await client.execute("UPDATE __restoring SET at = 0");
    const env = { DATABASE_URL: url, DATA_DIR: at("other") };
    expect(await saidOf(restore(env, at("backup")))).toBe("it was done");
    expect(await running.finish()).toMatch(
      /Another restore of .* has begun, and replaces this one/,
    );
    expect(await schemaState(client)).toBe("same");
    client.close();
  });
});
