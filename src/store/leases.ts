import { DATABASE_NOW } from "../db/now.ts";
import type { Statement } from "../db/unit.ts";
import { hasRow, type Which } from "./which.ts";

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

/** Renews a lease, unless another process has held it since. */
export function renewLease(name: string, holder: string, leaseMs: number): Statement {
  return {
    sql: `UPDATE leases SET expires_at = ${DATABASE_NOW} + ? WHERE name = ? AND holder = ?`,
    args: [leaseMs, name, holder],
  };
}

/** True if no other process has held the lease since this one took it, even if it has lapsed. */
export function holdsLease(name: string, holder: string): Which {
  return hasRow("leases", { where: "name = ? AND holder = ?", args: [name, holder] });
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
