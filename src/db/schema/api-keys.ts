import { sql } from "drizzle-orm";
import {
  index,
  integer,
  primaryKey,
  real,
  sqliteTable,
  text,
  uniqueIndex,
} from "drizzle-orm/sqlite-core";

import type { Scope } from "../../domain/scope.ts";

export const apiKeys = sqliteTable(
  "api_keys",
  {
    seq: integer().primaryKey({ autoIncrement: true }),
    id: text().notNull().unique(),
    name: text().notNull(),
    /** SHA-256 of the key; the key itself is never stored. */
    hash: text().notNull().unique(),
    /** First characters, enough for a person to distinguish keys. */
    prefix: text().notNull(),
    scopes: text({ mode: "json" }).$type<Scope[]>().notNull(),
    origin: text().$type<"environment" | "first-start" | "api">().notNull(),
    createdAt: integer().notNull(),
    revokedAt: integer(),
    expiresAt: integer(),
    /** To the minute, because it is not worth a write at each request. */
    lastUsedAt: integer(),
    /** Null: RATE_LIMIT_PER_MINUTE. */
    rateLimitPerMinute: integer(),
    monthlyBudgetUsd: real(),
    /** The cost of the dearest call that it paid for; null before the first one with a cost. */
    dearestUsd: real(),
    /** The previous hash, which stays valid for a while after a rotation. */
    previousHash: text(),
    previousExpiresAt: integer(),
  },
  (t) => [
    uniqueIndex("api_keys_by_previous_hash")
      .on(t.previousHash)
      .where(sql`${t.previousHash} is not null`),
  ],
);
export type ApiKey = typeof apiKeys.$inferSelect;

/** On a shared database: how many requests of a key its processes have taken of a minute's limit. */
export const rateWindows = sqliteTable(
  "rate_windows",
  {
    apiKey: integer().notNull(),
    /** Minutes since 1970. */
    minute: integer().notNull(),
    used: integer().notNull(),
    /** How many the last request for a share was granted. */
    granted: integer().notNull(),
  },
  (t) => [primaryKey({ columns: [t.apiKey, t.minute] })],
);

/** The usage of each key by UTC month (`2026-01`). Dry runs cost nothing. */
export const apiKeyUsage = sqliteTable(
  "api_key_usage",
  {
    apiKey: integer().notNull(),
    month: text().notNull(),
    tasks: integer().notNull(),
    promptTokens: integer().notNull(),
    completionTokens: integer().notNull(),
    costUsd: real().notNull(),
    /** How many calls had an unknown cost, which is not in `costUsd`. */
    unpriced: integer().notNull().default(0),
  },
  (t) => [primaryKey({ columns: [t.apiKey, t.month] })],
);

/** Tokens for event streams of clients that cannot send a header. */
export const streamTokens = sqliteTable(
  "stream_tokens",
  {
    /** SHA-256 of the token. */
    hash: text().primaryKey(),
    apiKey: integer().notNull(),
    /** SHA-256 of the secret that it was made with. The token ends with that secret. */
    secretHash: text().notNull().default(""),
    /** The streams that it gives access to; everything else is refused. */
    filter: text({ mode: "json" })
      .$type<{ types?: string[]; taskId?: string; batchId?: string }>()
      .notNull(),
    expiresAt: integer().notNull(),
  },
  (t) => [index("stream_tokens_by_end").on(t.expiresAt)],
);
