import type { Client, InValue, Transaction } from "@libsql/client";

import { StartError } from "../lib/start-error.ts";
import { keepPrivate } from "./file-lock.ts";
import { isAnswerTooLarge, troubleOf } from "./refusal.ts";
import { syncFile, withCopy } from "./snapshot.ts";

/** A part of a schema, in the order of creation. */
export type SchemaPart = { type: "table" | "index" | "trigger"; name: string; sql: string };

/** A table and its columns, quoted for SQL. */
export type TableShape = { name: string; columns: string[]; hasOwnRowid: boolean };

/** The most rows per request, and the size of an answer to aim for: a server sends 10 MB at most. */
const MOST_ROWS = 2000;
const TARGET_BYTES = 2_000_000;
/** The size of a number or null in JSON, assumed to be constant. */
const CELL_BYTES = 12;

type Reader = Pick<Client, "execute"> | Pick<Transaction, "execute">;

/**
 * Copies a database on a server into a new file, as of one moment: everything is read in one transaction, while other
 * processes go on writing. Throws `StartError` if the server ends the transaction.
 */
export async function dumpServer(client: Client, target: string): Promise<void> {
  const snapshot = await client.transaction("read");
  try {
    keepPrivate(target);
    await withCopy(target, async (copy) => {
      // The file is kept only if it was written completely, and is synced once at the end.
      for (const pragma of [
        "auto_vacuum = INCREMENTAL",
        "journal_mode = OFF",
        "synchronous = OFF",
        "foreign_keys = OFF",
      ])
        await copy.execute(`PRAGMA ${pragma}`);
      await copyAll(snapshot, copy);
    });
    syncFile(target);
  } catch (error) {
    if (troubleOf(error) === undefined && !/STREAM|TRANSACTION/.test(String(error))) throw error;
    throw new StartError(
      `The server ended the reading before its end (${String(error)}); try again, or copy the server's own files while it is stopped.`,
    );
  } finally {
    snapshot.close();
  }
}

async function copyAll(from: Reader, to: Client): Promise<void> {
  const schema = await readSchema(from);
  const tables = schema.filter(({ type }) => type === "table");
  for (const { sql } of tables) await to.execute(sql);
  for (const { name } of tables) {
    const table = await shapeOf(from, name);
    for await (const rows of rowsIn(from, table)) await to.batch(insertRows(table, rows), "write");
  }
  await to.batch(setSequences(await readSequences(from)), "write");
  // Last, so that indexes need not be kept up to date, and triggers do not count the copied rows.
  for (const { type, sql } of schema) if (type !== "table") await to.execute(sql);
}

/** The condition on `sqlite_master` that leaves out the internal tables of SQLite and the server. */
export const IS_SCHEMA =
  "sql IS NOT NULL AND name NOT GLOB 'sqlite_*' AND name NOT GLOB 'libsql_*' AND type <> 'view'";

/** The whole schema of a database. */
export async function readSchema(from: Reader): Promise<SchemaPart[]> {
  const { rows } = await from.execute(
    `SELECT type, name, sql FROM sqlite_master WHERE ${IS_SCHEMA} ORDER BY rowid`,
  );
  return rows.map((row) => ({
    type: String(row["type"]) as SchemaPart["type"],
    name: String(row["name"]),
    sql: String(row["sql"]),
  }));
}

export async function shapeOf(from: Reader, name: string): Promise<TableShape> {
  const { rows } = await from.execute({
    sql: "SELECT name, type, pk FROM pragma_table_info(?)",
    args: [name],
  });
  const keys = rows.filter((row) => Number(row["pk"]) > 0);
  const [key] = keys;
  const isRowid = keys.length === 1 && /^integer$/i.test(String(key?.["type"]));
  return { name, columns: rows.map((row) => String(row["name"])), hasOwnRowid: !isRowid };
}

/** The rows of a table by their number, a few megabytes at a time. The first cell of each is the number. */
export async function* rowsIn(from: Reader, table: TableShape): AsyncGenerator<InValue[][]> {
  const columns = table.columns.map(quote).join(", ");
  let after: InValue = Number.MIN_SAFE_INTEGER;
  let limit = 100;
  for (;;) {
    const page = await readPage(from, table, { columns, after, limit });
    if (page === undefined) {
      limit = Math.ceil(limit / 4);
      continue;
    }
    if (page.length === 0) return;
    yield page;
    after = page.at(-1)?.[0] ?? after;
    const bytes = page.reduce((sum, row) => sum + bytesOf(row), 0) / page.length;
    limit = Math.max(1, Math.min(MOST_ROWS, Math.floor(TARGET_BYTES / Math.max(1, bytes))));
  }
}

/** `undefined` if the answer would be too large and fewer rows can be requested. */
async function readPage(
  from: Reader,
  table: TableShape,
  { columns, after, limit }: { columns: string; after: InValue; limit: number },
): Promise<InValue[][] | undefined> {
  const sql = `SELECT rowid, ${columns} FROM ${quote(table.name)} WHERE rowid > ? ORDER BY rowid LIMIT ?`;
  try {
    const { rows } = await from.execute({ sql, args: [after, limit] });
    return rows.map((row) => Array.from(row as unknown as InValue[]));
  } catch (error) {
    if (!isAnswerTooLarge(error)) throw error;
    return limit > 1 ? undefined : [await readByCells(from, table, after)];
  }
}

/** A row whose cells are too large for one answer. */
async function readByCells(from: Reader, table: TableShape, after: InValue): Promise<InValue[]> {
  const row: InValue[] = [];
  for (const column of ["rowid", ...table.columns]) {
    const sql = `SELECT ${column === "rowid" ? column : quote(column)} FROM ${quote(table.name)}
                 WHERE rowid > ? ORDER BY rowid LIMIT 1`;
    const { rows } = await from.execute({ sql, args: [after] });
    row.push(rows[0]?.[0] ?? null);
  }
  return row;
}

export function insertRows(
  table: TableShape,
  rows: InValue[][],
): { sql: string; args: InValue[] }[] {
  const names = [...(table.hasOwnRowid ? ["rowid"] : []), ...table.columns.map(quote)];
  const sql = `INSERT INTO ${quote(table.name)} (${names.join(", ")}) VALUES (${names.map(() => "?").join(", ")})`;
  return rows.map((row) => ({ sql, args: table.hasOwnRowid ? row : row.slice(1) }));
}

/** The highest row numbers that were given, by table. */
export async function readSequences(from: Reader): Promise<[name: string, seq: InValue][]> {
  const { rows: there } = await from.execute(
    "SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'",
  );
  if (there.length === 0) return [];
  const { rows } = await from.execute("SELECT name, seq FROM sqlite_sequence");
  return rows.map((row) => [String(row["name"]), row["seq"] ?? 0]);
}

export function setSequences(
  sequences: [name: string, seq: InValue][],
): { sql: string; args: InValue[] }[] {
  return sequences.flatMap(([name, seq]) => [
    { sql: "DELETE FROM sqlite_sequence WHERE name = ?", args: [name] },
    { sql: "INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", args: [name, seq] },
  ]);
}

export function bytesOf(row: InValue[]): number {
  return row.reduce<number>((sum, cell) => {
    if (typeof cell === "string") return sum + cell.length * 2;
    // Bytes are sent in base 64.
    if (cell instanceof ArrayBuffer || ArrayBuffer.isView(cell)) return sum + cell.byteLength * 2;
    return sum + CELL_BYTES;
  }, 0);
}

export function quote(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
