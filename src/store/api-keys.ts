import { and, count, eq, gt, inArray, isNull, notExists, or, type SQL, sql } from "drizzle-orm";
import type { SQLiteColumn } from "drizzle-orm/sqlite-core";

import { build, toStatement } from "../db/build.ts";
import type { Db } from "../db/client.ts";
import { type ApiKey, apiKeys, apiKeyUsage } from "../db/schema/api-keys.ts";
import type { Statement } from "../db/unit.ts";
import { insertWhere } from "./insert-where.ts";
import { keyset, type Page } from "./pages.ts";

export type { ApiKey };

/** The key with this hash, or with it until a moment ago, unless it was revoked or has expired. */
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

/** These keys, whatever has become of them. */
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

/** What the tasks of these keys came to in one month (`2026-01`), or ever; no row for a key that did nothing. */
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
 * Stores a key; one with the same hash that is there already becomes valid again, with all that the
 * new one may do. A name that somebody gave it stays.
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

/** Stores a key only if there is none that is valid, or, with `ever`, none at all. Changes a row if it did. */
export function insertFirstKey(key: NewKey, ever: boolean): Statement {
  const others = build
    .select({ seq: apiKeys.seq })
    .from(apiKeys)
    .where(ever ? undefined : isValid(key.createdAt));
  return insertWhere(apiKeys, key, notExists(others));
}

/** Revokes the keys that came from the environment and are none of these, nor of a living node. */
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

export type KeyChange = Pick<
  ApiKey,
  "name" | "scopes" | "expiresAt" | "rateLimitPerMinute" | "monthlyBudgetUsd"
>;

/** Changes a key that was not revoked. */
export function updateKey(id: string, key: KeyChange): Statement {
  return toStatement(
    build
      .update(apiKeys)
      .set(key)
      .where(and(eq(apiKeys.id, id), isNull(apiKeys.revokedAt))),
  );
}

/** Gives a key that is valid a new secret; the one that it has stays valid until `overlapUntil`. */
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

/** Ends a key at once and for good, with what a rotation replaced. */
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

/** What all keys are called, revoked ones, too. */
export function listKeyNames(db: Db): Promise<Pick<ApiKey, "seq" | "id" | "name">[]> {
  return db.select({ seq: apiKeys.seq, id: apiKeys.id, name: apiKeys.name }).from(apiKeys).all();
}
