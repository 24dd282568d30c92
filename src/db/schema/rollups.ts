import { integer, primaryKey, real, sqliteTable, text } from "drizzle-orm/sqlite-core";

import { BUCKETS } from "../../domain/latency.ts";
import type { FinalStatus } from "../../domain/task.ts";

const count = () => integer().notNull().default(0);

/**
 * The sums of the tasks of a minute and of an hour, added up as they end. `created` and `cancelled` rows have no
 * provider and only `tasks`. `b0`… count durations by bucket (`domain/latency.ts`).
 */
export const rollups = sqliteTable(
  "rollups",
  {
    /** Length in ms: a minute or an hour. */
    span: integer().notNull(),
    /** Start of the minute or hour. */
    at: integer().notNull(),
    status: text().$type<FinalStatus | "created">().notNull(),
    model: text().notNull(),
    provider: text().notNull(),
    apiKey: integer().notNull(),
    tasks: count(),
    /** The time from the start of the first attempt to the end of the last, and from queued to started. */
    durationMs: count(),
    waitMs: count(),
    attempts: count(),
    promptTokens: count(),
    completionTokens: count(),
    cachedTokens: count(),
    reasoningTokens: count(),
    costUsd: real().notNull().default(0),
    unpriced: count(),
    ...Object.fromEntries(Array.from({ length: BUCKETS }, (_, i) => [`b${i}`, count()])),
  },
  (t) => [primaryKey({ columns: [t.span, t.at, t.status, t.model, t.provider, t.apiKey] })],
);
