import { and, count, eq, isNull } from "drizzle-orm";

import type { Db } from "../db/client.ts";
import { type ApiKey, apiKeys } from "../db/schema.ts";
import type { Statement } from "../db/writer.ts";

export type { ApiKey };

/** The key with this hash, unless it was revoked. */
export function findValidKey(db: Db, hash: string): Promise<ApiKey | undefined> {
  return db
    .select()
    .from(apiKeys)
    .where(and(eq(apiKeys.hash, hash), isNull(apiKeys.revokedAt)))
    .get();
}

export async function countValidKeys(db: Db): Promise<number> {
  const row = await db.select({ n: count() }).from(apiKeys).where(isNull(apiKeys.revokedAt)).get();
  return row?.n ?? 0;
}

export type NewKey = Pick<
  ApiKey,
  "id" | "name" | "hash" | "prefix" | "scopes" | "origin" | "createdAt"
>;

/** Stores a key; one with the same hash that is there already becomes valid again. */
export function insertKey(key: NewKey): Statement {
  return {
    sql: `INSERT INTO api_keys (id, name, hash, prefix, scopes, origin, created_at)
          VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (hash) DO UPDATE SET revoked_at = NULL`,
    args: [
      key.id,
      key.name,
      key.hash,
      key.prefix,
      JSON.stringify(key.scopes),
      key.origin,
      key.createdAt,
    ],
  };
}

/** Stores the very first key. The result affects a row only if there was no valid key. */
export function insertFirstKey(key: NewKey): Statement {
  return {
    sql: `INSERT INTO api_keys (id, name, hash, prefix, scopes, origin, created_at)
          SELECT ?, ?, ?, ?, ?, ?, ? WHERE NOT EXISTS (SELECT 1 FROM api_keys WHERE revoked_at IS NULL)`,
    args: [
      key.id,
      key.name,
      key.hash,
      key.prefix,
      JSON.stringify(key.scopes),
      key.origin,
      key.createdAt,
    ],
  };
}

/** Revokes the keys that came from the environment and no longer stand there. */
export function revokeOtherEnvironmentKeys(hashes: string[], now: number): Statement {
  return {
    sql: `UPDATE api_keys SET revoked_at = ? WHERE origin = 'environment' AND revoked_at IS NULL
            AND hash NOT IN (SELECT value FROM json_each(?))`,
    args: [now, JSON.stringify(hashes)],
  };
}
