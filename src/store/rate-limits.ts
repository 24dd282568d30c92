import type { Statement } from "../db/unit.ts";

/**
 * Takes up to `wanted` requests of what is left of a key's limit in one minute (`window`: minutes since 1970), for
 * this process. `lease` has a row: what is granted, and what all processes have used.
 */
export function leaseRequests(
  apiKey: number,
  window: number,
  wanted: number,
  limit: number,
): { old: Statement; lease: Statement<{ granted: number; used: number }> } {
  return {
    old: { sql: "DELETE FROM rate_windows WHERE minute < ?", args: [window - 1] },
    lease: {
      sql: `INSERT INTO rate_windows (api_key, minute, used, granted) VALUES (?, ?, ?, ?)
            ON CONFLICT (api_key, minute) DO UPDATE
              SET granted = max(0, min(excluded.granted, ? - used)),
                  used = used + max(0, min(excluded.granted, ? - used))
            RETURNING granted, used`,
      args: [apiKey, window, Math.min(wanted, limit), Math.min(wanted, limit), limit, limit],
    },
  };
}
