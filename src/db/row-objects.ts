type ToObject = (row: ArrayLike<unknown>) => object;

/** More than the program has statements with rows. */
const MOST_KNOWN = 500;
const known = new Map<string, ToObject>();

/**
 * A function that makes an object of a row, given the names of its columns. It is compiled once for each list of names,
 * because an object that gets its members one by one takes eight times as long: 1.2 µs for forty columns.
 */
export function objectsWith(columns: readonly string[]): ToObject {
  const key = columns.join();
  let toObject = known.get(key);
  if (!toObject) {
    if (known.size >= MOST_KNOWN) known.clear();
    const members = columns.map((name, i) => `${JSON.stringify(name)}: row[${i}]`);
    // oxlint-disable-next-line typescript/no-implied-eval -- Its text has only the names in the program's own SQL.
    toObject = new Function("row", `return { ${members.join()} }`) as ToObject;
    known.set(key, toObject);
  }
  return toObject;
}
