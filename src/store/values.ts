import type { InValue } from "@libsql/client";

import type { Statement } from "../db/unit.ts";

/**
 * The numbers of rows in one statement. They are few, so that each SQL text is prepared once, and any number is a sum
 * of them.
 */
const ROWS_AT_ONCE = [128, 64, 32, 16, 8, 4, 2, 1];
const MOST_ROWS = 128;

/**
 * Statements that take rows as bound values. `sql` gets a `VALUES` list to select from, whose columns are `column1`,
 * `column2`, …; `before` and `after` are the arguments of the placeholders before and behind it. A libSQL server
 * prepares each statement anew, so that with `isPreparedOnce: false` there are as few statements as possible. Compared
 * with one JSON array (`json_each`), which SQLite parses again for every field of a row, this halves the time of an
 * insert, and the time does not grow with the texts. With `areAlike`, a value that is equal in all rows is bound once.
 * That pays off only if most columns are equal, because each set of columns needs SQL texts of its own.
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
  // A `VALUES` list needs at least one column.
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

/** A `VALUES` list of `size` rows, in which columns that are equal in all rows share one placeholder. */
function valuesOf(size: number, isSame: readonly boolean[]): string {
  const different = isSame.filter((same) => !same).length;
  const one = `(${Array.from({ length: different }, () => "?").join()})`;
  const values = `(VALUES ${Array.from({ length: size }, () => one).join()})`;
  if (different === isSame.length) return values;
  let place = 0;
  const columns = isSame.map((same, i) => `${same ? "?" : `column${++place}`} AS column${i + 1}`);
  return `(SELECT ${columns.join()} FROM ${values})`;
}
