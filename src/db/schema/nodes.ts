import { integer, sqliteTable, text } from "drizzle-orm/sqlite-core";

/** Rights that one process of a fleet has at a time, by its database's clock. */
export const leases = sqliteTable("leases", {
  name: text().primaryKey(),
  holder: text().notNull(),
  expiresAt: integer().notNull(),
});

/** Processes that run tasks, and when each last proved that it lives. */
export const nodes = sqliteTable("nodes", {
  seq: integer().primaryKey({ autoIncrement: true }),
  startedAt: integer().notNull(),
  heartbeatAt: integer().notNull(),
});
