import type { InValue } from "@libsql/client";

import { NotStorable } from "./refusal.ts";
import type { Statement } from "./unit.ts";

/**
 * Makes sure that every database accepts a statement's values. A lone surrogate is replaced, as SQLite's driver does,
 * because a libSQL server would refuse the whole request. Throws `NotStorable` for values that cannot be stored, such
 * as NaN.
 */
export function toStorable(statement: Statement<unknown>): Statement<unknown> {
  const { sql, args } = statement;
  for (const value of args)
    if (typeof value === "number" ? !Number.isFinite(value) : !isPlain(value))
      throw new NotStorable(`${String(value)} cannot be stored`);
  if (args.every((value) => typeof value !== "string" || value.isWellFormed())) return statement;
  return {
    sql,
    args: args.map((value) => (typeof value === "string" ? value.toWellFormed() : value)),
  };
}

/** Roughly the size of a statement in a request to the database. */
export function sizeOf({ sql, args }: Statement<unknown>): number {
  let size = sql.length;
  for (const value of args) size += typeof value === "string" ? value.length : 8;
  return size;
}

function isPlain(value: InValue | undefined): boolean {
  return (
    value === null ||
    typeof value === "string" ||
    typeof value === "boolean" ||
    typeof value === "bigint" ||
    value instanceof Uint8Array
  );
}
