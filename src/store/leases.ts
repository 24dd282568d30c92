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

/** Gives the right back, so that another process need not wait for it. */
export function giveUpLease(name: string, holder: string): Statement {
  return { sql: `DELETE FROM leases WHERE name = ? AND holder = ?`, args: [name, holder] };
}
