import { index, integer, sqliteTable, text } from "drizzle-orm/sqlite-core";

/** Where events are posted to. */
export const webhooks = sqliteTable(
  "webhooks",
  {
    seq: integer().primaryKey({ autoIncrement: true }),
    id: text().notNull().unique(),
    url: text().notNull(),
    /** Types and patterns, as they were given. */
    events: text({ mode: "json" }).$type<string[]>().notNull(),
    description: text(),
    /** Sealed. The one before signs, too, for as long as `previousSecretUntil` says. */
    secret: text().notNull(),
    previousSecret: text(),
    previousSecretUntil: integer(),
    isActive: integer({ mode: "boolean" }).notNull().default(true),
    /** Why the server made it inactive; null otherwise. */
    disabledReason: text(),
    /** The id in the event log up to which deliveries were made of what happened. */
    cursor: integer().notNull(),
    /** Since when no attempt has succeeded; null where the last one did. */
    failingSince: integer(),
    /**
     * Its pending deliveries, those of them that wait for another attempt, and replays that were not
     * attempted yet; triggers count them.
     */
    waiting: integer().notNull().default(0),
    retrying: integer().notNull().default(0),
    replaying: integer().notNull().default(0),
    /** Made through `/v1`: it gets OpenAI's events in OpenAI's shape. */
    isOpenAi: integer({ mode: "boolean" }).notNull().default(false),
    apiKey: integer(),
    createdAt: integer().notNull(),
    updatedAt: integer().notNull(),
  },
  (t) => [index("webhooks_by_time").on(t.createdAt)],
);
export type Webhook = typeof webhooks.$inferSelect;
