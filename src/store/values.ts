import type { InValue } from "@libsql/client";

import type { Statement } from "../db/unit.ts";

/**
 * The numbers of rows in one statement. They are few, so that each SQL text is prepared once, and any number is a sum
 * of them.
 */
const ROWS_AT_ONCE = [128, 64, 32, 16, 8, 4, 2, 1];
const MOST_ROWS = 128;

/**
 * Statements that take rows as bound values: `sql` gets a `VALUES` list to select from, whose columns are `column1`,
 * `column2`, …; `before` and `after` are the arguments of the placeholders that stand before and behind it. A libSQL
 * server prepares each statement anew, so if `isPreparedOnce` is false there are as few statements as possible.
 * Compared with one JSON array (`json_each`), of which SQLite parses each row again for every field, this halves the
 * time of an insert, and the time does not grow with the length of the texts.
 */
export function overValues<Row>(
  rows: readonly Row[],
  toValues: (row: Row) => InValue[],
  sql: (values: string) => string,
  {
    before = [],
    after = [],
    isPreparedOnce = true,
  }: { before?: InValue[]; after?: InValue[]; isPreparedOnce?: boolean },
): Statement[] {
  const statements: Statement[] = [];
  for (let from = 0; from < rows.length;) {
    const left = rows.length - from;
    const size = isPreparedOnce
      ? (ROWS_AT_ONCE.find((number) => number <= left) ?? 1)
      : Math.min(left, MOST_ROWS);
    const args = rows.slice(from, from + size).flatMap(toValues);
    const one = `(${Array.from({ length: args.length / size }, () => "?").join()})`;
    const values = `(VALUES ${Array.from({ length: size }, () => one).join()})`;
    statements.push({ sql: sql(values), args: [...before, ...args, ...after] });
    from += size;
  }
  return statements;
}
