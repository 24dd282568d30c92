import type { Client, InStatement, InValue } from "@libsql/client";

import { Refused } from "../lib/start-error.ts";
import {
  bytesOf,
  insertRows,
  quote,
  readSchema,
  readSequences,
  rowsIn,
  setSequences,
  shapeOf,
} from "./dump.ts";
import { DATABASE_NOW } from "./now.ts";
import { rowsOf } from "./unit.ts";
import { RESTORING } from "./unrestored.ts";

/** A restore that was silent for this long is assumed to be killed. */
const SILENT_MS = 30_000;
const MOST_BYTES = 1_000_000;
const MOST_ROWS = 500;

export type LoadOptions = {
  /** An open copy of the database. */
  from: Client;
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
 *            removed first.
 *   loading  tables, rows, then indexes and triggers, each commit with a proof that the restore is still
 *            this one's, so that two never mix.
 *   done     `__restoring` is dropped, in one commit with what `finish` adds.
 */
export async function loadServer(options: LoadOptions, finish: InStatement[]): Promise<void> {
  const { from, client, holder } = options;
  await begin(options);
  // Like `batch`, except that foreign keys may refer to rows that come later.
  const commit = (statements: InStatement[]) => client.migrate([proof(holder), ...statements]);
  const schema = await readSchema(from);
  const tables = schema.filter(({ type }) => type === "table");
  for (const { sql } of tables) await commit([sql]);
  for (const { name } of tables) {
    const table = await shapeOf(from, name);
    for await (const page of rowsIn(from, table))
      for (const rows of inChunks(page)) await commit(insertRows(table, rows));
  }
  await commit(setSequences(await readSequences(from)));
  for (const { type, sql } of schema) if (type !== "table") await commit([sql]);
  await commit([...finish, `DROP TABLE ${RESTORING}`]);
}

/**
 * Throws `StartError` unless a database on a server may be filled: it is empty, or has only the remains of a killed
 * restore.
 */
export async function requireEmptyServer({
  client,
  where,
}: Pick<LoadOptions, "client" | "where">): Promise<void> {
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

async function begin(options: LoadOptions): Promise<void> {
  const { client, holder } = options;
  await requireEmptyServer(options);
  await client.batch(
    [
      `CREATE TABLE IF NOT EXISTS ${RESTORING} (id integer PRIMARY KEY CHECK (id = 1), holder text NOT NULL, at integer NOT NULL)`,
      {
        sql: `INSERT INTO ${RESTORING} (id, holder, at) VALUES (1, ?, ${DATABASE_NOW})
              ON CONFLICT (id) DO UPDATE SET holder = excluded.holder, at = excluded.at
              WHERE at < ${DATABASE_NOW} - ?`,
        args: [holder, SILENT_MS],
      },
      proof(holder),
    ],
    "write",
  );
  // Triggers and indexes are dropped with their tables.
  const left = (await readSchema(client)).filter(
    ({ type, name }) => type === "table" && name !== RESTORING,
  );
  await client.migrate([proof(holder), ...left.map(({ name }) => `DROP TABLE ${quote(name)}`)]);
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
