import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import {
  type Client,
  type InArgs,
  type InValue,
  type InStatement,
  LibsqlError,
  type ResultSet,
} from "@libsql/client";

import { openDatabase } from "../../src/db/client.ts";
import { createLocalClient } from "../../src/db/local-client.ts";
import { DATABASE_NOW } from "../../src/db/now.ts";
import { createSystemClock } from "../../src/lib/clock.ts";
import type { NodeClock } from "./node-clock.ts";
import type { Luck } from "./random.ts";
import type { DatabaseThread } from "./threads.ts";
import type { Timeline } from "./timeline.ts";

/** The forms in which a client may pass a statement. */
type Given = InStatement | [string, InArgs?];

/** How likely each of these is to happen to a call to the database, 0 to 1. */
export type DatabaseFaults = {
  /** The call fails before it takes effect: the database is busy or full, or the disk has an error. */
  refuse: number;
  /** Over a network: the request is lost; the answer is lost; it takes effect after the caller's timeout; it is slow. */
  loseRequest: number;
  loseReply: number;
  late: number;
  slow: number;
};

export const NO_DATABASE_FAULTS: DatabaseFaults = {
  refuse: 0,
  loseRequest: 0,
  loseReply: 0,
  late: 0,
  slow: 0,
};

/** The size limit of the simulated libSQL server: a hundredth of the real one, so that worlds need not write megabytes. */
const LARGEST_VALUE = 40_000;
const LARGEST_ANSWER = 100_000;
const LATEST_MS = 4000;

/** The owner of a connection. Over a network, calls time out. A local file may be read or written in a thread. */
type NodeOfConnection = {
  clock: NodeClock;
  luck: Luck;
  giveUpMs: number;
  thread?: DatabaseThread | undefined;
};

export type Database = {
  /** A client without delays or faults, for checks. */
  truth: Client;
  /** The result of a query that does not depend on the time. It is cached until a commit changes something. */
  read(sql: string, args?: InValue[]): Promise<ResultSet>;
  /** A node's connection. Unless it is shared, it is a local file, where a call without a thread ends in the same round. */
  connect(node: NodeOfConnection, isShared: boolean): Connection;
  faults: DatabaseFaults;
  /** Called at once after each commit that changed something, with the tables that its statements name. */
  onCommit: (touched: Touched) => void;
};

/** The kinds of tables that are named by the statements of a commit that changed rows. */
type Touched = {
  events: boolean;
  money: boolean;
  nodes: boolean;
  claims: boolean;
  /** A node has begun to make the rows of a batch that waited for another. */
  chains: boolean;
  /** A task was queued, or a batch was deleted. */
  queue: boolean;
};

type Known = Touched & { sql: string; asksTime: boolean; isRead: boolean; isHeartbeat: boolean };

export type Connection = Client & {
  /** All calls fail for `ms`. Calls in flight report a failure too, even if they take effect. */
  cut(ms: number): void;
};

/** A real libSQL database in memory, in virtual time. */
export function createDatabase(timeline: Timeline, epoch: number, store: Store): Database {
  const { truth } = store;
  atOnce(store.empty());
  const database: Database = {
    truth,
    read,
    faults: NO_DATABASE_FAULTS,
    onCommit: () => {},
    connect,
  };
  /** The number of commits that changed more than heartbeats. */
  let changes = 0;
  const answers = new Map<string, { changes: number; result: Promise<ResultSet> }>();

  function read(sql: string, args: InValue[] = []): Promise<ResultSet> {
    const key = JSON.stringify([sql, args]);
    let answer = answers.get(key);
    if (answer?.changes !== changes) {
      answer = { changes, result: truth.execute({ sql, args }) };
      answers.set(key, answer);
    }
    return answer.result;
  }

  let clockSays = -1;
  function setClock(): void {
    const ms = Math.floor(epoch + timeline.now());
    if (ms !== clockSays) atOnce(truth.execute({ sql: "UPDATE sim_clock SET ms = ?", args: [ms] }));
    clockSays = ms;
  }

  type Call = { given: Given[]; mode: "write" | "read" | undefined };

  async function take({ given, mode }: Call): Promise<ResultSet[]> {
    const texts: Known[] = [];
    const all = given.map((one): InStatement => {
      const [sql, args] = toPair(one);
      const known = know(sql);
      if (known.asksTime) setClock();
      texts.push(known);
      return args === undefined ? known.sql : { sql: known.sql, args };
    });
    const [only] = all;
    const results =
      mode === undefined && only !== undefined
        ? [await truth.execute(only)]
        : await truth.batch(all, mode);
    const touched = {
      events: false,
      money: false,
      nodes: false,
      claims: false,
      chains: false,
      queue: false,
    };
    let hasChanged = false;
    for (const [i, known] of texts.entries()) {
      const result = results[i];
      // A statement that returns rows has no count of changes. If it changed nothing, it returns no rows.
      if (known.isRead || !result || result.rowsAffected + result.rows.length === 0) continue;
      hasChanged = true;
      if (!known.isHeartbeat) changes++;
      touched.events ||= known.events;
      touched.money ||= known.money;
      touched.nodes ||= known.nodes;
      touched.claims ||= known.claims;
      touched.chains ||= known.chains;
      touched.queue ||= known.queue;
    }
    if (hasChanged) database.onCommit(touched);
    return results;
  }

  function connect(node: NodeOfConnection, isShared: boolean): Connection {
    const { clock, luck, giveUpMs, thread } = node;
    let cutUntil = -1;
    let cuts = 0;

    async function local(call: Call): Promise<ResultSet[]> {
      if (luck.chance(database.faults.refuse)) throw refusal(luck);
      return thread ? thread(() => take(call)) : take(call);
    }

    function remote(call: Call): Promise<ResultSet[]> {
      const { faults } = database;
      const fault = luck.weighted({ ...faults, none: 1 - sumOf(faults) });
      const wayMs = fault === "slow" ? luck.about(800) : 0.2 + luck.about(1);
      const backMs = 0.2 + luck.about(1);
      const cutsThen = cuts;
      return new Promise((resolve, reject) => {
        const fail = (ms: number, error: Error) => clock.arrive(ms, () => reject(error));
        if (timeline.now() < cutUntil) return fail(luck.about(20), lost());
        if (fault === "refuse") return fail(wayMs + backMs, refusal(luck));
        if (fault === "loseRequest")
          return fail(Math.min(giveUpMs, luck.about(giveUpMs / 2)), lost());
        if (fault === "late") fail(luck.about(100), lost());
        const arrivalMs = fault === "late" ? luck.next() * LATEST_MS : wayMs;
        timeline.at(timeline.now() + arrivalMs, () => {
          // A request in flight arrives even if its sender has died. A paused sender gets the answer later.
          const answered = isTooLarge(call.given)
            ? Promise.reject(new LibsqlError("string or blob too big", "SQLITE_TOOBIG"))
            : take(call).then(refuseLargeAnswers);
          const isLost = () => fault === "loseReply" || cuts > cutsThen;
          answered.then(
            (results) => clock.arrive(backMs, () => (isLost() ? reject(lost()) : resolve(results))),
            (error: unknown) => clock.arrive(backMs, () => reject(isLost() ? lost() : error)),
          );
        });
      });
    }

    const call = isShared ? remote : local;
    return {
      protocol: isShared ? "http" : "file",
      closed: false,
      async execute(statement: InStatement, args?: InArgs) {
        const given = args === undefined ? statement : { sql: toPair(statement)[0], args };
        const [result] = await call({ given: [given], mode: undefined });
        if (!result) throw new Error("a statement has a result");
        return result;
      },
      batch: (given, mode) => call({ given, mode: mode === "read" ? "read" : "write" }),
      migrate: notHere,
      executeMultiple: notHere,
      transaction: notHere,
      sync: notHere,
      reconnect: () => {},
      close: () => {},
      cut(ms) {
        cutUntil = Math.max(cutUntil, timeline.now() + ms);
        cuts++;
      },
    };
  }

  return database;
}

/** The local client is synchronous: the work is done when it returns, and its promise only reports errors. */
function atOnce(work: Promise<unknown>): void {
  work.catch((error: unknown) =>
    queueMicrotask(() => {
      throw error;
    }),
  );
}

const statements = new Map<string, Known>();

function know(sql: string): Known {
  let known = statements.get(sql);
  if (!known) {
    // The database uses the world's clock.
    const inVirtualTime = sql.replaceAll(DATABASE_NOW, "(SELECT ms FROM sim_clock)");
    known = {
      sql: inVirtualTime,
      asksTime: inVirtualTime !== sql,
      isRead: IS_READ.test(sql),
      isHeartbeat: IS_HEARTBEAT.test(sql),
      events: sql.includes("INTO events"),
      money: /cost_usd|reserved|api_keys/.test(sql),
      nodes: /\bnodes\b/.test(sql),
      claims: sql.includes("SET owner = ?") || sql.includes("max_concurrency"),
      chains: sql.includes("SET chain_owner = ?"),
      queue: sql.includes("INTO queue") || sql.includes("SET id = ?, status = 'ingesting'"),
    };
    statements.set(sql, known);
  }
  return known;
}

const IS_HEARTBEAT = /^\s*(insert into|delete from) nodes\b/i;
const IS_READ = /^\s*(select|with|pragma)\b/i;

async function notHere(): Promise<never> {
  throw new Error("nothing in the engine does this");
}

function sumOf(faults: DatabaseFaults): number {
  return Object.values(faults).reduce((sum, one) => sum + one, 0);
}

function refusal(luck: Luck): LibsqlError {
  const code = luck.pick(["SQLITE_BUSY", "SQLITE_FULL", "SQLITE_IOERR"]);
  return new LibsqlError(`simulated: ${code}`, code);
}

function lost(): LibsqlError {
  return new LibsqlError("simulated: the connection was lost", "HRANA_CLOSED_ERROR");
}

function toPair(given: Given): [string, InArgs | undefined] {
  if (typeof given === "string") return [given, undefined];
  return Array.isArray(given) ? [given[0], given[1]] : [given.sql, given.args];
}

function isTooLarge(given: Given[]): boolean {
  return given.some((one) => {
    const args = toPair(one)[1];
    return (
      Array.isArray(args) &&
      args.some((value) => typeof value === "string" && value.length > LARGEST_VALUE)
    );
  });
}

function refuseLargeAnswers(results: ResultSet[]): ResultSet[] {
  let bytes = 0;
  for (const { rows } of results)
    for (const row of rows)
      for (let i = 0; i < row.length; i++) {
        const value = row[i];
        bytes += typeof value === "string" ? value.length : 8;
      }
  if (bytes > LARGEST_ANSWER)
    throw new LibsqlError("The response is too large", "RESPONSE_TOO_LARGE");
  return results;
}

/** One libSQL database for all worlds of a process in turn, so that statements are prepared only once. */
export type Store = {
  truth: Client;
  /** Resets it to an empty, migrated database. */
  empty(): Promise<unknown>;
};

/** Makes a migrated database in memory, with the world's clock beside it. */
export async function createStore(): Promise<Store> {
  const { schema, kept } = await readSchema();
  const truth = createLocalClient(":memory:", 0);
  await truth.executeMultiple(`${schema}; CREATE TEMP TABLE sim_clock (ms INTEGER)`);
  const { rows } = await truth.execute(
    "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_stat%'",
  );
  const emptying = [
    "PRAGMA foreign_keys = OFF",
    ...rows.map((row) => `DELETE FROM ${String(row["name"])}`),
    "DELETE FROM sim_clock",
    "INSERT INTO sim_clock VALUES (0)",
    ...kept,
    "PRAGMA foreign_keys = ON",
  ].join(";\n");
  return { truth, empty: () => truth.executeMultiple(emptying) };
}

/** The statements that make an empty, migrated database, and those that insert its initial rows. */
async function readSchema(): Promise<{ schema: string; kept: string[] }> {
  const folder = mkdtempSync(join(tmpdir(), "simulation-"));
  const database = await openDatabase(`file:${join(folder, "template.db")}`, createSystemClock());
  const { rows } = await database.client.execute(
    `SELECT sql FROM sqlite_master
     WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY rootpage = 0, rowid`,
  );
  const kept: string[] = [];
  for (const table of ["batches", "audit_floor"]) {
    const made = await database.client.execute(`SELECT * FROM ${table}`);
    for (const row of made.rows) {
      const values = made.columns.map((_, i) => quote(row[i]));
      kept.push(`INSERT INTO ${table} (${made.columns.join()}) VALUES (${values.join()})`);
    }
  }
  await database.close();
  rmSync(folder, { recursive: true });
  return { schema: rows.map((row) => String(row["sql"])).join(";\n"), kept };
}

function quote(value: unknown): string {
  if (value === null || value === undefined) return "NULL";
  return typeof value === "number" ? String(value) : `'${String(value).replaceAll("'", "''")}'`;
}
