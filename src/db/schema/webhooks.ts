import { index, integer, sqliteTable, text } from "drizzle-orm/sqlite-core";

/** The endpoints that events are posted to. */
export const webhooks = sqliteTable(
  "webhooks",
  {
    seq: integer().primaryKey({ autoIncrement: true }),
    id: text().notNull().unique(),
    url: text().notNull(),
    /** Types and patterns, as they were given. */
    events: text({ mode: "json" }).$type<string[]>().notNull(),
    description: text(),
    /** Encrypted. The previous secret also signs until `previousSecretUntil`. */
    secret: text().notNull(),
    previousSecret: text(),
    previousSecretUntil: integer(),
    isActive: integer({ mode: "boolean" }).notNull().default(true),
    /** Why the server deactivated it; otherwise null. */
    disabledReason: text(),
    /** The id in the event log up to which deliveries were created. */
    cursor: integer().notNull(),
    /** Since when no attempt has succeeded; null if the last one did. */
    failingSince: integer(),
    /**
     * Its pending deliveries, those among them that wait for a retry, and the replays that were not attempted yet.
     * Triggers count them.
     */
    waiting: integer().notNull().default(0),
    retrying: integer().notNull().default(0),
    replaying: integer().notNull().default(0),
    /** Created through `/v1`: it gets OpenAI's events in OpenAI's format. */
    isOpenAi: integer({ mode: "boolean" }).notNull().default(false),
    apiKey: integer(),
    createdAt: integer().notNull(),
    updatedAt: integer().notNull(),
  },
  (t) => [index("webhooks_by_time").on(t.createdAt)],
);
export type Webhook = typeof webhooks.$inferSelect;
