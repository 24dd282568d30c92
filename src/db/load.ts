import type { Client, InStatement, InValue } from "@libsql/client";
import { getLogger } from "@logtape/logtape";

import { background } from "../lib/background.ts";
import type { Clock } from "../lib/clock.ts";
import { Refused, StartError } from "../lib/start-error.ts";
import {
  bytesOf,
  insertRows,
  IS_SCHEMA,
  quote,
  readSchema,
  readSequences,
  rowsIn,
  setSequences,
  shapeOf,
} from "./dump.ts";
import { DATABASE_NOW } from "./now.ts";
import { fateOf } from "./refusal.ts";
import { rowsOf } from "./unit.ts";
import { RESTORING } from "./unrestored.ts";

/** A restore that was silent for this long is assumed to be killed. */
const SILENT_MS = 30_000;
const MOST_BYTES = 1_000_000;
const MOST_ROWS = 500;

/** The database on a server that is being restored. */
export type LoadTarget = {
  client: Client;
  /** The name of this process among those that might restore at the same time. */
  holder: string;
  where: string;
};

/*
 * Fills an empty database on a server from a file:
 *
 *   begun    the table `__restoring` is made, with which no server starts on the database. Refused where
 *            there are tables already, unless they are those of a restore that was killed: these are
 *            removed. A check in the same transaction finds what a server that starts at the same time
 *            has made; a server that comes later finds `__restoring` before it makes its first table.
 *   files    other things are restored, while `__restoring` is renewed.
 *   loading  tables, rows, then indexes and triggers, each commit with a proof that the restore is still
 *            this one's, so that two never mix.
 *   done     `__restoring` is dropped, in one commit with what `finish` adds.
 */
export async function beginLoading(target: LoadTarget): Promise<void> {
  const { client, holder } = target;
  try {
    await client.batch([REQUIRE_EMPTY, ...claim(holder), proof(holder)], "write");
  } catch (error) {
    if (fateOf(error) === "refused") await requireEmptyServer(target);
    throw error;
  }
  // Triggers and indexes are dropped with their tables.
  const left = (await readSchema(client)).filter(
    ({ type, name }) => type === "table" && name !== RESTORING,
  );
  await commit(
    target,
    left.map(({ name }) => `DROP TABLE ${quote(name)}`),
  );
}

/**
 * Does something between the beginning and the loading that may take longer than a killed restore is silent. If it fails,
 * the database is empty again.
 */
export async function beforeLoading<T>(
  { client, holder }: LoadTarget,
  clock: Pick<Clock, "setInterval">,
  work: () => Promise<T>,
): Promise<T> {
  const log = getLogger(["gptrunner", "database"]);
  const renew = () =>
    background(log, "Renewing the mark of a restore", client.batch([proof(holder)], "write"));
  const stop = clock.setInterval(renew, SILENT_MS / 3);
  try {
    return await work();
  } catch (error) {
    stop();
    const clean = client.batch([proof(holder), `DROP TABLE ${RESTORING}`], "write");
    await clean.catch((left: unknown) =>
      log.warning("The mark of a failed restore is left: {left}", { left }),
    );
    throw error;
  } finally {
    stop();
  }
}

/** Fills the database from an open copy. Throws `StartError` if another restore has taken it over. */
export async function loadServer(
  target: LoadTarget,
  from: Client,
  finish: InStatement[],
): Promise<void> {
  const schema = await readSchema(from);
  const tables = schema.filter(({ type }) => type === "table");
  for (const { sql } of tables) await commit(target, [sql]);
  for (const { name } of tables) {
    const table = await shapeOf(from, name);
    for await (const page of rowsIn(from, table))
      for (const rows of inChunks(page)) await commit(target, insertRows(table, rows));
  }
  await commit(target, setSequences(await readSequences(from)));
  for (const { type, sql } of schema) if (type !== "table") await commit(target, [sql]);
  await commit(target, [...finish, `DROP TABLE ${RESTORING}`]);
}

/**
 * Throws `StartError` unless a database on a server may be filled: it is empty, or has only the remains of a killed
 * restore.
 */
export async function requireEmptyServer({
  client,
  where,
}: Pick<LoadTarget, "client" | "where">): Promise<void> {
  const names = (await readSchema(client)).map(({ name }) => name);
  if (names.length === 0) return;
  if (!names.includes(RESTORING))
    throw new Refused(
      `${where} holds tables already. Restore into a new database, and point DATABASE_URL at that.`,
    );
  const [found] = rowsOf<{ silentMs: number }>(
    await client.execute(`SELECT ${DATABASE_NOW} - at AS silentMs FROM ${RESTORING}`),
  );
  if (found && found.silentMs < SILENT_MS)
    throw new Refused(
      `Another restore of ${where} is in progress, or was killed less than ${SILENT_MS / 1000} s ago. Wait for it, or try again then.`,
    );
}

/** Fails, and with it the rest of the transaction, where `requireEmptyServer` would find tables. */
const REQUIRE_EMPTY = `SELECT json(iif(EXISTS (SELECT 1 FROM sqlite_master WHERE name = '${RESTORING}')
  OR NOT EXISTS (SELECT 1 FROM sqlite_master WHERE ${IS_SCHEMA}), '1', 'there are tables'))`;

function claim(holder: string): InStatement[] {
  return [
    `CREATE TABLE IF NOT EXISTS ${RESTORING} (id integer PRIMARY KEY CHECK (id = 1), holder text NOT NULL, at integer NOT NULL)`,
    {
      sql: `INSERT INTO ${RESTORING} (id, holder, at) VALUES (1, ?, ${DATABASE_NOW})
            ON CONFLICT (id) DO UPDATE SET holder = excluded.holder, at = excluded.at
            WHERE at < ${DATABASE_NOW} - ?`,
      args: [holder, SILENT_MS],
    },
  ];
}

/** Like `batch`, except that foreign keys may refer to rows that come later. */
async function commit(target: LoadTarget, statements: InStatement[]): Promise<void> {
  const { client, holder, where } = target;
  try {
    await client.migrate([proof(holder), ...statements]);
  } catch (error) {
    if (fateOf(error) === "refused" && !(await isStillOurs(target)))
      throw new StartError(`Another restore of ${where} has begun, and replaces this one.`);
    throw error;
  }
}

async function isStillOurs({ client, holder }: LoadTarget): Promise<boolean> {
  const schema = await readSchema(client);
  if (!schema.some(({ name }) => name === RESTORING)) return false;
  const sql = `SELECT 1 FROM ${RESTORING} WHERE holder = ?`;
  return (await client.execute({ sql, args: [holder] })).rows.length > 0;
}

/**
 * Fails, and with it the rest of the transaction, unless the restore belongs to this process: `json` refuses a text
 * that is not JSON.
 */
function proof(holder: string): InStatement {
  return {
    sql: `UPDATE ${RESTORING} SET at = json(iif(holder = ?, ${DATABASE_NOW}, 'another restore has begun'))`,
    args: [holder],
  };
}

function* inChunks(rows: InValue[][]): Generator<InValue[][]> {
  let chunk: InValue[][] = [];
  let bytes = 0;
  for (const row of rows) {
    const size = bytesOf(row);
    if (chunk.length > 0 && (bytes + size > MOST_BYTES || chunk.length >= MOST_ROWS)) {
      yield chunk;
      [chunk, bytes] = [[], 0];
    }
    chunk.push(row);
    bytes += size;
  }
  if (chunk.length > 0) yield chunk;
}
