import type { InValue } from "@libsql/client";
import { drizzle } from "drizzle-orm/libsql";

import type { Statement } from "./unit.ts";

/**
 * Builds what changes rows where it does not matter that building takes some ten microseconds. It
 * has no connection: what it builds becomes a statement and goes through the writer.
 */
export const build = drizzle.mock({ casing: "snake_case" });

/** What was built, as a statement. `Row` is what it returns, by the names of the columns in SQL. */
export function toStatement<Row = never>(query: {
  toSQL(): { sql: string; params: unknown[] };
}): Statement<Row> {
  const { sql, params } = query.toSQL();
  // The table's columns have mapped them to what SQLite stores.
  return { sql, args: params as InValue[] };
}
