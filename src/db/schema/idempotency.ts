import { sql } from "drizzle-orm";
import { integer, primaryKey, sqliteTable, text, uniqueIndex } from "drizzle-orm/sqlite-core";

import { batches } from "./batches.ts";
import { tasks } from "./tasks.ts";

export const idempotencyKeys = sqliteTable(
  "idempotency_keys",
  {
    apiKey: integer().notNull(),
    key: text().notNull(),
    /** SHA-256 of the request; the same key with another request is refused. */
    fingerprint: text().notNull(),
    task: integer().references(() => tasks.seq, { onDelete: "cascade" }),
    batch: integer().references(() => batches.seq, { onDelete: "cascade" }),
    createdAt: integer().notNull(),
  },
  (t) => [
    primaryKey({ columns: [t.apiKey, t.key] }),
    uniqueIndex("idempotency_by_task")
      .on(t.task)
      .where(sql`${t.task} is not null`),
    uniqueIndex("idempotency_by_batch")
      .on(t.batch)
      .where(sql`${t.batch} is not null`),
  ],
);
