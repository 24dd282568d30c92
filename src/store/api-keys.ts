import { and, count, eq, gt, inArray, isNull, notExists, or, type SQL, sql } from "drizzle-orm";
import type { SQLiteColumn } from "drizzle-orm/sqlite-core";

import { build, toStatement } from "../db/build.ts";
import type { Db } from "../db/client.ts";
import { type ApiKey, apiKeys, apiKeyUsage } from "../db/schema/api-keys.ts";
import type { Statement } from "../db/unit.ts";
import { insertWhere } from "./insert-where.ts";
import { keyset, type Page } from "./pages.ts";

export type { ApiKey };

/**
 * The key with this hash, or with this previous hash while a rotation's overlap lasts, unless it was revoked or has
 * expired.
 */
export function findValidKey(db: Db, hash: string, now: number): Promise<ApiKey | undefined> {
  return db
    .select()
    .from(apiKeys)
    .where(
      and(
        or(
          eq(apiKeys.hash, hash),
          and(eq(apiKeys.previousHash, hash), gt(apiKeys.previousExpiresAt, now)),
        ),
        isValid(now),
      ),
    )
    .get();
}

/** These keys, whether valid or not. */
export function listKeysBySeq(db: Db, seqs: number[]): Promise<ApiKey[]> {
  return db.select().from(apiKeys).where(inArray(apiKeys.seq, seqs)).all();
}

export async function countValidKeys(db: Db, now: number): Promise<number> {
  const row = await db.select({ n: count() }).from(apiKeys).where(isValid(now)).get();
  return row?.n ?? 0;
}

export function isValid(now: number): SQL | undefined {
  return and(isNull(apiKeys.revokedAt), or(isNull(apiKeys.expiresAt), gt(apiKeys.expiresAt, now)));
}

export function findKey(db: Db, id: string): Promise<ApiKey | undefined> {
  return db.select().from(apiKeys).where(eq(apiKeys.id, id)).get();
}

export type KeyFilter = { includeRevoked: boolean };

export type KeyPage = Page<"createdAt" | "name">;

export function listKeys(db: Db, filter: KeyFilter, page: KeyPage): Promise<ApiKey[]> {
  const column = page.sort === "name" ? apiKeys.name : apiKeys.createdAt;
  const { isAfter, inOrder } = keyset(page, column, apiKeys.seq);
  return db
    .select()
    .from(apiKeys)
    .where(and(isListed(filter), isAfter))
    .orderBy(...inOrder)
    .limit(page.limit)
    .offset(page.offset);
}

export async function countKeys(db: Db, filter: KeyFilter): Promise<number> {
  const row = await db.select({ n: count() }).from(apiKeys).where(isListed(filter)).get();
  return row?.n ?? 0;
}

function isListed({ includeRevoked }: KeyFilter): SQL | undefined {
  return includeRevoked ? undefined : isNull(apiKeys.revokedAt);
}

export type KeyUsage = {
  apiKey: number;
  tasks: number;
  promptTokens: number;
  completionTokens: number;
  costUsd: number;
};

/** The usage of these keys in one month (`2026-01`), or in total; no row for a key without usage. */
export async function readUsage(db: Db, keys: number[], month?: string): Promise<KeyUsage[]> {
  if (keys.length === 0) return [];
  return db
    .select({
      apiKey: apiKeyUsage.apiKey,
      tasks: sum(apiKeyUsage.tasks),
      promptTokens: sum(apiKeyUsage.promptTokens),
      completionTokens: sum(apiKeyUsage.completionTokens),
      costUsd: sum(apiKeyUsage.costUsd),
    })
    .from(apiKeyUsage)
    .where(
      and(
        inArray(apiKeyUsage.apiKey, keys),
        month === undefined ? undefined : eq(apiKeyUsage.month, month),
      ),
    )
    .groupBy(apiKeyUsage.apiKey);
}

function sum(column: SQLiteColumn): SQL<number> {
  return sql<number>`sum(${column})`;
}

export type NewKey = Omit<
  ApiKey,
  "seq" | "revokedAt" | "lastUsedAt" | "previousHash" | "previousExpiresAt" | "dearestUsd"
>;

/**
 * Stores a key. An existing key with the same hash becomes valid again, with the scopes of the new one. A name that a
 * client gave it is kept.
 */
export function insertKey(key: NewKey): Statement {
  const { name, scopes, expiresAt, origin } = key;
  const renamed = sql`CASE WHEN ${apiKeys.name} GLOB 'API_KEYS *' THEN ${name} ELSE ${apiKeys.name} END`;
  return toStatement(
    build
      .insert(apiKeys)
      .values(key)
      .onConflictDoUpdate({
        target: apiKeys.hash,
        set: { revokedAt: null, scopes, expiresAt, origin, name: renamed },
      }),
  );
}

/** Stores a key only if there is no valid key, or, with `ever`, no key at all. Changes a row if it stored the key. */
export function insertFirstKey(key: NewKey, ever: boolean): Statement {
  const others = build
    .select({ seq: apiKeys.seq })
    .from(apiKeys)
    .where(ever ? undefined : isValid(key.createdAt));
  return insertWhere(apiKeys, key, notExists(others));
}

/** Revokes the keys from the environment that are not among these hashes, nor those of a living node. */
export function revokeForsakenKeys(hashes: string[], now: number): Statement {
  return {
    sql: `UPDATE api_keys SET revoked_at = ?
          WHERE origin = 'environment' AND revoked_at IS NULL
            AND hash NOT IN (SELECT value FROM json_each(?))
            AND hash NOT IN (SELECT k.value FROM nodes CROSS JOIN json_each(nodes.keys) k)
            AND NOT EXISTS (SELECT 1 FROM nodes WHERE keys IS NULL)`,
    args: [now, JSON.stringify(hashes)],
  };
}

/** Only fields that a client changes: others may change them at the same time. */
export type KeyChange = Partial<
  Pick<ApiKey, "name" | "scopes" | "expiresAt" | "rateLimitPerMinute" | "monthlyBudgetUsd">
>;

/** Changes a key that was not revoked. */
export function updateKey(id: string, key: KeyChange): Statement {
  return toStatement(
    build
      .update(apiKeys)
      // Drizzle refuses an update of nothing.
      .set({ name: sql`${apiKeys.name}`, ...key })
      .where(and(eq(apiKeys.id, id), isNull(apiKeys.revokedAt))),
  );
}

/** Gives a valid key a new secret. The current one stays valid until `overlapUntil`. */
export function rotateKey(
  id: string,
  secret: { hash: string; prefix: string },
  overlapUntil: number,
  now: number,
): Statement {
  return toStatement(
    build
      .update(apiKeys)
      .set({ ...secret, previousHash: sql`${apiKeys.hash}`, previousExpiresAt: overlapUntil })
      .where(and(eq(apiKeys.id, id), isValid(now))),
  );
}

/** Revokes a key at once and permanently, also the secret that a rotation replaced. */
export function revokeKey(id: string, now: number): Statement {
  return toStatement(
    build
      .update(apiKeys)
      .set({ revokedAt: now, previousHash: null, previousExpiresAt: null })
      .where(and(eq(apiKeys.id, id), isNull(apiKeys.revokedAt))),
  );
}

export function touchKey(key: number, now: number): Statement {
  return toStatement(build.update(apiKeys).set({ lastUsedAt: now }).where(eq(apiKeys.seq, key)));
}

/** The names of all keys, also of revoked ones. */
export function listKeyNames(db: Db): Promise<Pick<ApiKey, "seq" | "id" | "name">[]> {
  return db.select({ seq: apiKeys.seq, id: apiKeys.id, name: apiKeys.name }).from(apiKeys).all();
}
