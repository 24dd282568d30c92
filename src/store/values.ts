import type { InValue } from "@libsql/client";

import type { Statement } from "../db/unit.ts";

/**
 * The numbers of rows in one statement. They are few, so that each SQL text is prepared once, and any number is a sum
 * of them.
 */
const ROWS_AT_ONCE = [128, 64, 32, 16, 8, 4, 2, 1];
const MOST_ROWS = 128;

/**
 * Statements that take rows as bound values: `sql` gets a `VALUES` list to select from, whose
 * columns are `column1`, `column2`, …; `before` and `after` are the arguments of the placeholders
 * that stand before and behind it. A libSQL server prepares each statement anew, so that where `isPreparedOnce`
 * is false there are as few statements as can be. Compared with one JSON array that SQLite takes apart (`json_each`),
 * which parses each row again for every field, this halves the time of an insert, and does not grow with the texts in it.
 * With `areAlike`, what is the same in all rows is bound once, which is worth it where most columns are: each set of
 * columns makes texts of its own.
 */
export function overValues<Row>(
  rows: readonly Row[],
  toValues: (row: Row) => InValue[],
  sql: (values: string) => string,
  {
    before = [],
    after = [],
    isPreparedOnce = true,
    areAlike = false,
  }: { before?: InValue[]; after?: InValue[]; isPreparedOnce?: boolean; areAlike?: boolean },
): Statement[] {
  const statements: Statement[] = [];
  const all = rows.map(toValues);
  const [first = []] = all;
  const isSame = first.map(
    (value, column) => areAlike && all.every((values) => values[column] === value),
  );
  // A list of values has one column at least.
  if (isSame.every(Boolean)) isSame[0] = false;
  const same = first.filter((_, column) => isSame[column]);
  for (let from = 0; from < rows.length;) {
    const left = rows.length - from;
    const size = isPreparedOnce
      ? (ROWS_AT_ONCE.find((number) => number <= left) ?? 1)
      : Math.min(left, MOST_ROWS);
    const args = [...before, ...same];
    for (let i = from; i < from + size; i++)
      for (let column = 0; column < isSame.length; column++)
        if (!isSame[column]) args.push(all[i]?.[column] ?? null);
    args.push(...after);
    statements.push({ sql: sql(valuesOf(size, isSame)), args });
    from += size;
  }
  return statements;
}

/** A list of `size` rows, of which those columns have one placeholder for all that are the same in all. */
function valuesOf(size: number, isSame: readonly boolean[]): string {
  const different = isSame.filter((same) => !same).length;
  const one = `(${Array.from({ length: different }, () => "?").join()})`;
  const values = `(VALUES ${Array.from({ length: size }, () => one).join()})`;
  if (different === isSame.length) return values;
  let place = 0;
  const columns = isSame.map((same, i) => `${same ? "?" : `column${++place}`} AS column${i + 1}`);
  return `(SELECT ${columns.join()} FROM ${values})`;
}
