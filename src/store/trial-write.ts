import type { Statement } from "../db/unit.ts";

/** Writes a row and removes it again, to find out whether the database can be written. */
export const TRIAL_WRITE: { there: Statement; gone: Statement } = {
  there: {
    sql: `INSERT INTO stream_tokens (hash, api_key, expires_at, filter)
          SELECT 'trial', seq, 0, '{}' FROM api_keys LIMIT 1`,
    args: [],
  },
  gone: { sql: "DELETE FROM stream_tokens WHERE hash = 'trial'", args: [] },
};
