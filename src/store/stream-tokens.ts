import { and, eq, gt, lte } from "drizzle-orm";

import { build, toStatement } from "../db/build.ts";
import type { Db } from "../db/client.ts";
import { apiKeys, streamTokens } from "../db/schema/api-keys.ts";
import type { Statement } from "../db/unit.ts";
import { isValid } from "./api-keys.ts";

export type TokenFilter = (typeof streamTokens.$inferSelect)["filter"];

export function insertToken(token: typeof streamTokens.$inferSelect): Statement {
  return toStatement(build.insert(streamTokens).values(token));
}

export function deleteExpiredTokens(now: number): Statement {
  return toStatement(build.delete(streamTokens).where(lte(streamTokens.expiresAt, now)));
}

/**
 * The token with this hash and the key that it was made with, if both are valid. It does not check whether the key's
 * secret still is.
 */
export function findToken(db: Db, hash: string, now: number) {
  return db
    .select({ filter: streamTokens.filter, secretHash: streamTokens.secretHash, key: apiKeys })
    .from(streamTokens)
    .innerJoin(apiKeys, eq(apiKeys.seq, streamTokens.apiKey))
    .where(and(eq(streamTokens.hash, hash), gt(streamTokens.expiresAt, now), isValid(now)))
    .get();
}
