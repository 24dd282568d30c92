import { DATABASE_NOW } from "../db/now.ts";
import type { Statement } from "../db/unit.ts";

/**
 * Takes or renews a right that one process of a fleet has at a time. The result has a row if the
 * process has it now; it has to renew it before `leaseMs` have passed.
 */
export function takeLease(
  name: string,
  holder: string,
  leaseMs: number,
): Statement<{ holder: string }> {
  return {
    sql: `INSERT INTO leases (name, holder, expires_at) VALUES (?, ?, ${DATABASE_NOW} + ?)
          ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at
          WHERE leases.holder = excluded.holder OR leases.expires_at < ${DATABASE_NOW}
          RETURNING holder`,
    args: [name, holder, leaseMs],
  };
}

/** The rights that processes have at present, and for how much longer. */
export const LEASES: Statement<{ name: string; holder: string; leftMs: number }> = {
  sql: `SELECT name, holder, expires_at - ${DATABASE_NOW} AS leftMs FROM leases ORDER BY name`,
  args: [],
};

/** Gives the right back, so that another process need not wait for it. */
export function giveUpLease(name: string, holder: string): Statement {
  return { sql: `DELETE FROM leases WHERE name = ? AND holder = ?`, args: [name, holder] };
}
