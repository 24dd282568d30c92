import type { Statement } from "../db/unit.ts";

/** The repair of counters that development versions before 0.2.0 damaged. */
export const COUNTERS_REPAIR = "counters-0.2.0";

/** The repair of this name, if it was recorded. */
export function findRepair(name: string): Statement<{ doneAt: number }> {
  return { sql: "SELECT done_at AS doneAt FROM repairs WHERE name = ?", args: [name] };
}

/** Records that a repair need not be done again. */
export function recordRepair(name: string, now: number): Statement {
  return {
    sql: "INSERT INTO repairs (name, done_at) VALUES (?, ?) ON CONFLICT (name) DO NOTHING",
    args: [name, now],
  };
}
