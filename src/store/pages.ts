import { asc, desc, type SQL, sql } from "drizzle-orm";
import type { SQLiteColumn } from "drizzle-orm/sqlite-core";

/** Which page of a list to read. */
export type Page<Sort extends string = string> = {
  sort: Sort;
  order: "asc" | "desc";
  limit: number;
  /** Rows to skip, which are read one by one; a page by `after` costs no more than the first. */
  offset: number;
  /** Sort value and row number of the row after which the page begins. */
  after?: [value: number | string, seq: number] | undefined;
};

/** The condition and the order of a page that is sorted by `column`, and by row number among equals. */
export function keyset(
  { order, after }: Pick<Page, "order" | "after">,
  column: SQLiteColumn,
  seq: SQLiteColumn,
): { isAfter: SQL | undefined; inOrder: SQL[] } {
  const direction = order === "asc" ? asc : desc;
  const beyond = sql.raw(order === "asc" ? ">" : "<");
  if (column === seq)
    return {
      isAfter: after && sql`${seq} ${beyond} ${after[1]}`,
      inOrder: [direction(seq)],
    };
  return {
    isAfter: after && sql`(${column}, ${seq}) ${beyond} (${after[0]}, ${after[1]})`,
    inOrder: [direction(column), direction(seq)],
  };
}
