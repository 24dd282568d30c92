import type { InValue } from "@libsql/client";
import { drizzle } from "drizzle-orm/libsql";

import type { Statement } from "./unit.ts";

/**
 * Builds statements off the hot path, because building one takes some ten microseconds. It has no connection: the
 * statements go through the writer.
 */
export const build = drizzle.mock({ casing: "snake_case" });

/** Makes a statement of a built query. `Row` is the type of its rows, by the names of the columns in SQL. */
export function toStatement<Row = never>(query: {
  toSQL(): { sql: string; params: unknown[] };
}): Statement<Row> {
  const { sql, params } = query.toSQL();
  // The table's columns have mapped the parameters to values that SQLite stores.
  return { sql, args: params as InValue[] };
}
