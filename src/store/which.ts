import type { InValue } from "@libsql/client";
import { type SQL, sql } from "drizzle-orm";

/** A condition in SQL, with the arguments of its placeholders. */
export type Which = { where: string; args: InValue[] };

/** True if a table has a row that meets the condition. */
export function hasRow(table: string, { where, args }: Which): Which {
  return { where: `EXISTS (SELECT 1 FROM ${table} WHERE ${where})`, args };
}

export function not({ where, args }: Which): Which {
  return { where: `NOT (${where})`, args };
}

export function both(one: Which, other: Which): Which {
  return { where: `(${one.where}) AND (${other.where})`, args: [...one.args, ...other.args] };
}

export const ALWAYS: Which = { where: "TRUE", args: [] };

/** The condition for a statement that Drizzle builds. */
export function toSql({ where, args }: Which): SQL {
  const [first = "", ...others] = where.split("?");
  return sql.join([
    sql.raw(`(${first}`),
    ...others.flatMap((text, i) => [sql.param(args[i] ?? null), sql.raw(text)]),
    sql.raw(")"),
  ]);
}
