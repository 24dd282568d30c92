import type { Statement } from "../db/unit.ts";

export type StoredBytes = { all: number; ofKey: number };

/** The stored bytes in total, and those of one key. Triggers keep the counts. */
export function sumStored(key: number): Statement<StoredBytes> {
  return {
    sql: `SELECT total(files + requests) AS "all",
                 total(files + requests) FILTER (WHERE api_key = ?) AS ofKey FROM stored_bytes`,
    args: [key],
  };
}

/**
 * The last part of a unit; it makes the database refuse the unit if more is stored after it than a limit allows, for
 * a key or in total. 0 is no limit. `limitOf` returns which limit it was.
 */
export function limitStored(key: number, most: StoredBytes): Statement[] {
  return [
    ...(most.ofKey > 0 ? [nullUnless("files", "files + requests", key, most.ofKey)] : []),
    ...(most.all > 0
      ? [
          nullUnless(
            "requests",
            "(SELECT total(files + requests) FROM stored_bytes)",
            key,
            most.all,
          ),
        ]
      : []),
  ];
}

/** The column may not be null, so the database refuses the statement. */
function nullUnless(column: string, bytes: string, key: number, most: number): Statement {
  return {
    sql: `UPDATE stored_bytes SET ${column} = CASE WHEN ${bytes} <= ? THEN ${column} END WHERE api_key = ?`,
    args: [most, key],
  };
}

/** The limit that refused a unit, if one did. */
export function limitOf(error: unknown): keyof StoredBytes | undefined {
  const text = error instanceof Error ? error.message : "";
  const [, column] = /NOT NULL constraint failed: stored_bytes\.(files|requests)/.exec(text) ?? [];
  if (column === undefined) return undefined;
  return column === "files" ? "ofKey" : "all";
}
