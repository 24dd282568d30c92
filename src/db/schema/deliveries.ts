import { sql } from "drizzle-orm";
import { index, integer, sqliteTable, text, uniqueIndex } from "drizzle-orm/sqlite-core";

/** The delivery of an event to an endpoint, and its outcome. */
export const webhookDeliveries = sqliteTable(
  "webhook_deliveries",
  {
    seq: integer().primaryKey({ autoIncrement: true }),
    webhook: integer().notNull(),
    /** Its id in the log; null for a test. */
    event: integer(),
    type: text().notNull(),
    /** Public ids of what it is about, which decide which other deliveries may overtake it. */
    task: text(),
    batch: text(),
    body: text().notNull(),
    /** Trace context of its event, if traces are exported. */
    trace: text(),
    /** When the event happened. */
    at: integer().notNull(),
    /** A replay: a client requested that it is sent, again or for the first time. */
    isReplay: integer({ mode: "boolean" }).notNull().default(false),
    status: text().$type<"pending" | "delivered" | "failed">().notNull(),
    attempts: integer().notNull().default(0),
    /** Set while a failed delivery waits for its next attempt. */
    nextAt: integer(),
    lastAttemptAt: integer(),
    responseStatus: integer(),
    latencyMs: integer(),
    error: text(),
    /** The beginning of the last answer. */
    snippet: text(),
    /** All attempts, a JSON array. */
    log: text(),
    completedAt: integer(),
  },
  (t) => [
    uniqueIndex("deliveries_once")
      .on(t.webhook, t.event)
      .where(sql`${t.event} is not null`),
    index("deliveries_by_webhook").on(t.webhook, t.seq),
    index("deliveries_fresh")
      .on(t.webhook, t.isReplay, t.event)
      .where(sql`${t.status} = 'pending' and ${t.nextAt} is null`),
    index("deliveries_due")
      .on(t.webhook, t.nextAt)
      .where(sql`${t.nextAt} is not null`),
  ],
);
export type Delivery = typeof webhookDeliveries.$inferSelect;
