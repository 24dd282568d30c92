import { describe, expect, test } from "bun:test";

import { type Client, type InStatement, LibsqlError } from "@libsql/client";

import { createLocalClient } from "../../src/db/local-client.ts";
import {
  culpritOf,
  fateOf,
  isAnswerTooLarge,
  NotStorable,
  troubleOf,
  Unreachable,
} from "../../src/db/refusal.ts";
import { createServerClient } from "../../src/db/server.ts";
import { createSystemClock } from "../../src/lib/clock.ts";
import { temporaryFolder } from "../support/process.ts";
import { startSqld } from "../support/sqld.ts";
import { sqld } from "../support/tools.ts";

const ROW = "INSERT INTO t (v) VALUES ('x')";
const insert = (value: string): InStatement => ({
  sql: "INSERT INTO t (v) VALUES (?)",
  args: [value],
});

const errorOf = (work: () => Promise<unknown>): Promise<unknown> =>
  work().then(
    () => undefined,
    (error: unknown) => error,
  );

const connect = (url: string) =>
  createServerClient({ url, authToken: undefined, clock: createSystemClock(), deadlineMs: 20_000 });

async function rowsIn(client: Client): Promise<number> {
  return Number((await client.execute("SELECT count(*) AS n FROM t")).rows[0]?.["n"]);
}

const REFUSED: [string, InStatement[]][] = [
  ["malformed SQL", [ROW, "SELEC 1"]],
  ["an unknown table", [ROW, "INSERT INTO nowhere VALUES (1)"]],
  ["a constraint", [ROW, "INSERT INTO t (id) VALUES (1), (1)"]],
  ["a sum beyond what a number holds", [ROW, "SELECT abs(-9223372036854775808)"]],
  ["malformed JSON", [ROW, "SELECT * FROM json_each('{')"]],
];

/** Statements that only a server refuses. */
const REFUSED_BY_SERVER: [string, InStatement[]][] = [
  ["a value of 5 MB", [ROW, insert("x".repeat(5_000_000))]],
  ["a value of 12 MB", [ROW, insert("x".repeat(12_000_000))]],
  ["a row of two values of 3 MB", [ROW, twoOf("x".repeat(3_000_000))]],
  ["an answer of 12 MB", [ROW, ...Array.from({ length: 4 }, () => bigAnswer(3_000_000))]],
  ["half a character", [ROW, insert("\ud800")]],
  [
    "more values than a statement takes",
    [
      ROW,
      {
        sql: `SELECT ${Array.from({ length: 33_000 }, () => "?").join()}`,
        args: Array.from({ length: 33_000 }, () => 1),
      },
    ],
  ],
];

function twoOf(value: string): InStatement {
  return { sql: "INSERT INTO t (v, w) VALUES (?, ?)", args: [value, value] };
}

function bigAnswer(bytes: number): InStatement {
  return `SELECT hex(zeroblob(${bytes / 2})) AS text`;
}

describe("a refused statement has not taken effect, and its error is a refusal", () => {
  test.each(REFUSED)("%s, in a file", async (_, statements) => {
    using folder = temporaryFolder();
    const client = createLocalClient(`${folder.path}/t.db`, 1000);
    await client.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT, w TEXT)");
    const error = await errorOf(() => client.batch(statements, "write"));
    expect([fateOf(error), culpritOf(error)]).toEqual(["refused", 1]);
    expect(await rowsIn(client)).toBe(0);
    client.close();
  });

  test.if(sqld !== undefined)("each of them, at a libSQL server", async () => {
    using folder = temporaryFolder();
    await using server = await startSqld(folder.path);
    const client = connect(server.url);
    await client.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT, w TEXT)");
    const fates: [string, string, number][] = [];
    const expected: typeof fates = [];
    for (const [name, statements] of [...REFUSED, ...REFUSED_BY_SERVER]) {
      const error = await errorOf(() => client.batch(statements, "write"));
      fates.push([name, fateOf(error), await rowsIn(client)]);
      expected.push([name, "refused", 0]);
    }
    expect(fates).toEqual(expected);
  });
});

test("a closed file is an error for its users, and does not end the process", async () => {
  using folder = temporaryFolder();
  const client = createLocalClient(`${folder.path}/t.db`, 1000);
  client.close();
  client.close();
  expect(client.closed).toBe(true);
  expect(client.execute("SELECT 1")).rejects.toThrow("closed");
  expect(client.batch(["SELECT 1"], "write")).rejects.toThrow("closed");
  expect(client.executeMultiple("SELECT 1")).rejects.toThrow("closed");
});

test("after an error of a server, or without an answer, it is unknown whether a statement took effect", async () => {
  let status = 0;
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: () => new Response("no", { status }),
  });
  const client = connect(`http://127.0.0.1:${server.port}`);
  const fates: Record<number, string> = {};
  for (status of [400, 401, 413, 429, 500, 502, 503, 504])
    fates[status] = fateOf(await errorOf(() => client.batch([ROW], "write")));
  await server.stop(true);
  expect(fates).toEqual({
    400: "refused",
    401: "unable",
    413: "refused",
    429: "unable",
    500: "unknown",
    502: "unknown",
    503: "unknown",
    504: "unknown",
  });
  const nobody = connect("http://127.0.0.1:1");
  expect(fateOf(await errorOf(() => nobody.batch([ROW], "write")))).toBe("unknown");
});

test("a database that is busy or full refuses every statement", () => {
  const fateOfCode = (code: string) => fateOf(new LibsqlError("no", code));
  for (const code of ["SQLITE_BUSY", "SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_READONLY"])
    expect(fateOfCode(code)).toBe("unable");
  for (const code of ["SQLITE_TOOBIG", "SQLITE_CONSTRAINT_UNIQUE", "ARGS_INVALID"])
    expect(fateOfCode(code)).toBe("refused");
  expect(fateOf(new NotStorable("Infinity cannot be stored"))).toBe("refused");
  // By then the statements were committed.
  expect(fateOf(new RangeError("Received integer which is too large"))).toBe("unknown");
});

test("a trouble of the database is said in words, and neither a refused statement nor a bug is one", () => {
  const said = (code: string) =>
    troubleOf(new Error("Failed query", { cause: new LibsqlError("no", code) }));
  expect(
    ["SQLITE_FULL", "SQLITE_BUSY_SNAPSHOT", "SQLITE_LOCKED", "SQLITE_READONLY_DIRECTORY"].map(said),
  ).toEqual([
    "The disk of the database is full",
    "The database is busy",
    "The database is busy",
    "The database cannot be written",
  ]);
  expect(
    ["SQLITE_CORRUPT", "SQLITE_IOERR_READ", "SQLITE_CANTOPEN", "SERVER_ERROR"].map(said),
  ).toEqual([
    "The database is damaged",
    "The database cannot be read or written",
    "The database cannot be read or written",
    "The database cannot be reached",
  ]);
  expect(troubleOf(new Unreachable("no answer in time"))).toBe("The database cannot be reached");
  for (const code of ["SQLITE_CONSTRAINT_UNIQUE", "SQLITE_TOOBIG", "ARGS_INVALID", "UNKNOWN"])
    expect([code, said(code)]).toEqual([code, undefined]);
  expect(troubleOf(new TypeError("undefined is not a function"))).toBeUndefined();
});

test("the error of a too large answer is recognised inside other errors", () => {
  const error = new LibsqlError("Response is too large", "RESPONSE_TOO_LARGE");
  expect(isAnswerTooLarge(new Error("Failed query", { cause: error }))).toBe(true);
  expect(isAnswerTooLarge(new LibsqlError("too big", "SQLITE_TOOBIG"))).toBe(false);
});
