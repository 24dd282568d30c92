import { DATABASE_NOW } from "../db/now.ts";
import type { Statement } from "../db/unit.ts";

/**
 * Takes or renews a lease, which one process of a fleet holds at a time. The result has a row if the process holds it
 * now; it must renew it within `leaseMs`.
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

/** The leases that processes hold now, and for how much longer. */
export const LEASES: Statement<{ name: string; holder: string; leftMs: number }> = {
  sql: `SELECT name, holder, expires_at - ${DATABASE_NOW} AS leftMs FROM leases ORDER BY name`,
  args: [],
};

/** Gives the lease up, so that another process need not wait until it lapses. */
export function giveUpLease(name: string, holder: string): Statement {
  return { sql: `DELETE FROM leases WHERE name = ? AND holder = ?`, args: [name, holder] };
}
