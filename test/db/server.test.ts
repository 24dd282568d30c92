import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";

import type { Row } from "@libsql/client";

import type { StreamRequest, StreamResult } from "../../src/db/hrana.ts";
import { fateOf } from "../../src/db/refusal.ts";
import { checkpointsInCommits, createServerClient, deadlineUnder } from "../../src/db/server.ts";
import { createSystemClock } from "../../src/lib/clock.ts";
import { temporaryFolder } from "../support/process.ts";
import { startSqld } from "../support/sqld.ts";
import { sqld } from "../support/tools.ts";

const connect = (url: string, authToken?: string) =>
  createServerClient({ url, authToken, clock: createSystemClock(), deadlineMs: 5000 });

const cellsOf = (rows: Row[] = []) => rows.flatMap((row) => Array.from(row));

test.if(sqld !== undefined)("values come back as they were stored", async () => {
  using folder = temporaryFolder();
  await using server = await startSqld(folder.path);
  const client = connect(server.url);
  const { rows, columns } = await client.execute("SELECT 1 AS a, 'ä\n' AS b, NULL AS c, 1.5 AS d");
  expect([columns, cellsOf(rows)]).toEqual([
    ["a", "b", "c", "d"],
    [1, "ä\n", null, 1.5],
  ]);
  expect(rows[0]?.["b"]).toBe("ä\n");
  const args = ["x", 2, 9_007_199_254_740_993n, true, null, new Uint8Array([1, 255])];
  const [stored] = await client.batch(
    [{ sql: "SELECT ?, ?, typeof(?), ?, ?, hex(?)", args }, "SELECT 1"],
    "read",
  );
  expect(cellsOf(stored?.rows)).toEqual(["x", 2, "integer", 1, null, "01FF"]);
  expect(client.execute("SELECT 9007199254740993")).rejects.toThrow(RangeError);
});

test.if(sqld !== undefined)(
  "a server that was started anew does not know its connections any more, and nothing is lost or done twice",
  async () => {
    using folder = temporaryFolder();
    const first = await startSqld(folder.path);
    const client = connect(first.url);
    await client.execute("CREATE TABLE t (n)");
    const insert = () => client.batch(["INSERT INTO t VALUES (1)"], "write");
    const count = async () => (await client.execute("SELECT count(*) AS n FROM t")).rows[0]?.["n"];
    // Two connections are kept open, and each has stored what it reported as stored.
    for (let i = 0; i < 3; i++) await Promise.all([insert(), insert(), count(), count()]);
    await first[Symbol.asyncDispose]();
    await using second = await startSqld(folder.path, Number(new URL(first.url).port));
    expect([second.url, await count()]).toEqual([first.url, 6]);
    await insert();
    expect(await count()).toBe(7);
  },
);

test.if(sqld !== undefined)(
  "more texts are said again and again than a server stores",
  async () => {
    using folder = temporaryFolder();
    await using server = await startSqld(folder.path);
    const client = connect(server.url);
    const texts = Array.from({ length: 120 }, (_, i) => `SELECT ${i} AS n`);
    const long = `SELECT ${JSON.stringify("x".repeat(6000)).replaceAll('"', "'")} AS n`;
    for (let i = 0; i < 4; i++) {
      const results = await client.batch(
        [...texts.slice(i * 20), long, ...texts.slice(0, 60)],
        "read",
      );
      const said = results.map(({ rows }) => rows[0]?.["n"]);
      const numbers = texts.map((_, n) => n);
      expect(said).toEqual([...numbers.slice(i * 20), "x".repeat(6000), ...numbers.slice(0, 60)]);
    }
  },
);

/** A server whose answers the test chooses. */
function fakeServer(
  answer: (requests: StreamRequest[], headers: Headers) => StreamResult[] | number,
) {
  const asked: StreamRequest[][] = [];
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      const { requests } = (await request.json()) as { requests: StreamRequest[] };
      asked.push(requests);
      const results = answer(requests, request.headers);
      if (typeof results === "number") return new Response("no", { status: results });
      return Response.json({ baton: `b${asked.length}`, base_url: null, results });
    },
  });
  return {
    url: `http://127.0.0.1:${server.port}`,
    asked,
    [Symbol.dispose]: () => void server.stop(true),
  };
}

const OK: StreamResult = {
  type: "ok",
  response: { result: { cols: [], rows: [], affected_row_count: 0 } },
};
const error = (code: string): StreamResult => ({ type: "error", error: { message: code, code } });

test("a statement that the server cannot store is sent in full", async () => {
  using server = fakeServer((requests) =>
    requests.map(({ type }) => (requests.length > 1 && type !== "close" ? error("NO") : OK)),
  );
  const client = connect(server.url);
  for (let i = 0; i < 4; i++) await client.execute("SELECT 1");
  const said = server.asked.map((requests) => requests.map(({ type }) => type).join());
  expect(said.filter((one) => one !== "close")).toEqual([
    "execute",
    "store_sql,execute",
    "execute",
    "execute",
    "execute",
  ]);
});

test("a request to a server that falls silent ends at its deadline, which is half of the lease at most", async () => {
  for (const leaseMs of [1000, 2000, 15_000, 3_600_000])
    expect(deadlineUnder(leaseMs)).toBeLessThanOrEqual(leaseMs / 2);
  const { promise: never } = Promise.withResolvers<Response>();
  const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => never });
  const url = `http://127.0.0.1:${server.port}`;
  const clock = createSystemClock();
  const client = createServerClient({ url, authToken: undefined, clock, deadlineMs: 50 });
  const fates = [
    client.execute("SELECT 1"),
    client.batch(["SELECT 1"], "write"),
    client.migrate(["SELECT 1"]),
  ].map((work) => (work as Promise<unknown>).then(() => "answered", fateOf));
  expect(await Promise.all(fates)).toEqual(["unknown", "unknown", "unknown"]);
  await server.stop(true);
});

test("a transaction on a busy server is retried", async () => {
  let left = 3;
  using server = fakeServer((requests) =>
    requests.map(({ type }): StreamResult => {
      if (type !== "batch") return OK;
      const { rows } = { rows: { cols: [], rows: [], affected_row_count: 1 } };
      const busy = { message: "database is locked", code: "SQLITE_BUSY" };
      const result =
        left-- > 0
          ? { step_results: [null, null, null, null], step_errors: [busy, null, null, null] }
          : { step_results: [rows, rows, rows, null], step_errors: [null, null, null, null] };
      return { type: "ok", response: { result } };
    }),
  );
  const [inserted] = await connect(server.url).batch(["INSERT INTO t VALUES (1)"], "write");
  expect([inserted?.rowsAffected, left]).toEqual([1, -1]);
});

test("the token of a server may be in its URL", async () => {
  const keys: (string | null)[] = [];
  using server = fakeServer((requests, headers) => {
    keys.push(headers.get("authorization"));
    return requests.map(() => OK);
  });
  await connect(`${server.url}?authToken=of-the-url`, "given").execute("SELECT 1");
  await connect(server.url.replace("http:", "libsql:") + "?tls=0", "given").execute("SELECT 1");
  await connect(server.url.replace("http:", "ws:")).execute("SELECT 1");
  expect(keys).toEqual(["Bearer of-the-url", "Bearer given", null]);
});

test.if(sqld !== undefined)(
  "a server syncs its disk in checkpoints, and not in each commit, as docs/operations.md says of power cuts",
  async () => {
    using folder = temporaryFolder();
    await using server = await startSqld(folder.path);
    const { rows } = await connect(server.url).execute("PRAGMA synchronous");
    // 1 is NORMAL.
    expect(cellsOf(rows)).toEqual([1]);
    const [, power = ""] = readFileSync("docs/operations.md", "utf8").split("## Power cut");
    expect(power).toContain("`synchronous=NORMAL`");
  },
);

test.if(sqld !== undefined)(
  "a server that makes checkpoints in commits is distinguished from one that does not",
  async () => {
    using folder = temporaryFolder();
    await using server = await startSqld(folder.path);
    expect(await checkpointsInCommits(connect(server.url))).toBe(false);
    const rows = [[{ type: "integer", value: "1000" }]];
    const result = { cols: [{ name: "wal_autocheckpoint" }], rows, affected_row_count: 0 };
    using other = fakeServer((requests) =>
      requests.map(() => ({ type: "ok", response: { result } })),
    );
    expect(await checkpointsInCommits(connect(other.url))).toBe(true);
    using failing = fakeServer(() => 500);
    expect(await checkpointsInCommits(connect(failing.url))).toBe(false);
  },
);
