import { and, eq, gt } from "drizzle-orm";

import type { Db } from "../db/client.ts";
import { apiKeys, streamTokens } from "../db/schema.ts";
import type { Statement } from "../db/unit.ts";
import { isValid } from "./api-keys.ts";

export type TokenFilter = (typeof streamTokens.$inferSelect)["filter"];

export function insertToken(token: typeof streamTokens.$inferSelect): Statement {
  return {
    sql: `INSERT INTO stream_tokens (hash, api_key, filter, expires_at) VALUES (?, ?, ?, ?)`,
    args: [token.hash, token.apiKey, JSON.stringify(token.filter), token.expiresAt],
  };
}

export function deleteExpiredTokens(now: number): Statement {
  return { sql: `DELETE FROM stream_tokens WHERE expires_at <= ?`, args: [now] };
}

/** The token with this hash and the key that it was made with, while both are valid. */
export function findToken(db: Db, hash: string, now: number) {
  return db
    .select({
      filter: streamTokens.filter,
      key: apiKeys.seq,
      keyId: apiKeys.id,
      rateLimitPerMinute: apiKeys.rateLimitPerMinute,
    })
    .from(streamTokens)
    .innerJoin(apiKeys, eq(apiKeys.seq, streamTokens.apiKey))
    .where(and(eq(streamTokens.hash, hash), gt(streamTokens.expiresAt, now), isValid(now)))
    .get();
}
