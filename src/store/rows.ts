import type { Client } from "@libsql/client";

import { isAnswerTooLarge } from "../db/refusal.ts";
import { rowsOf, type Statement } from "../db/unit.ts";

/**
 * Reads up to `limit` rows, in halves if the answer would be larger than a libSQL server sends. Rejects if a single
 * row is too large.
 */
export async function readInHalves<Row>(
  limit: number,
  read: (limit: number, skip: number) => Promise<Row[]>,
  skip = 0,
): Promise<Row[]> {
  try {
    return await read(limit, skip);
  } catch (error) {
    if (limit <= 1 || !isAnswerTooLarge(error)) throw error;
    const half = Math.ceil(limit / 2);
    const first = await readInHalves(half, read, skip);
    if (first.length < half) return first;
    return [...first, ...(await readInHalves(limit - half, read, skip + half))];
  }
}

/** An SQL expression with the rows of `from` as a JSON array of objects: text, which is cheaper than thousands of rows. */
export function jsonRows(columns: Record<string, string>, from: string): string {
  return `(SELECT json_group_array(${jsonObject(columns)}) FROM ${from})`;
}

/** An SQL expression with the one row of `from` as a JSON object. */
export function jsonRow(columns: Record<string, string>, from: string): string {
  return `(SELECT ${jsonObject(columns)} FROM ${from})`;
}

function jsonObject(columns: Record<string, string>): string {
  const pairs = Object.entries(columns).map(([name, sql]) => `'${name}', ${sql}`);
  return `json_object(${pairs.join(", ")})`;
}

/** Columns that have the same names in the result. */
export function same(...names: string[]): Record<string, string> {
  return Object.fromEntries(names.map((name) => [name, name]));
}

/** The rows that a statement reads. */
export async function readRows<Row>(
  client: Pick<Client, "execute">,
  statement: Statement<Row>,
): Promise<Row[]> {
  return rowsOf(await client.execute(statement));
}
