import type { Statement } from "../db/unit.ts";

export type StoredBytes = { all: number; ofKey: number };

/** Bytes that are kept in all, and for one key; they are counted as they come and go. */
export function sumStored(key: number): Statement<StoredBytes> {
  return {
    sql: `SELECT total(files + requests) AS "all",
                 total(files + requests) FILTER (WHERE api_key = ?) AS ofKey FROM stored_bytes`,
    args: [key],
  };
}

/**
 * Refuses the unit that it is the last part of where more is kept after it than may be, of a key or
 * in all; 0 is no limit. `limitOf` returns which limit it was.
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

/** No column of the table may be null, so that the database refuses it. */
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
