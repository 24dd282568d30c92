import { getTableColumns, is, SQL, sql } from "drizzle-orm";
import type { SQLiteTable } from "drizzle-orm/sqlite-core";

import { build, toStatement } from "../db/build.ts";
import type { Statement } from "../db/unit.ts";

/** Adds a row if a condition holds. Columns that `row` lacks get their default, or null. */
export function insertWhere<Table extends SQLiteTable>(
  table: Table,
  row: { [Name in keyof Table["$inferInsert"]]: Table["$inferInsert"][Name] | SQL },
  condition: SQL,
): Statement {
  const given: Partial<Record<string, unknown>> = row;
  const values = Object.entries(getTableColumns(table)).map(([name, column]) => {
    const value = given[name] === undefined ? (column.default ?? null) : given[name];
    return is(value, SQL) ? value : sql.param(value, column);
  });
  return toStatement(
    build.insert(table).select(sql`select ${sql.join(values, sql`, `)} where ${condition}`),
  );
}
