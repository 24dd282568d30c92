import { integer, sqliteTable, text } from "drizzle-orm/sqlite-core";

/** Repairs of stored data that are done once in the life of a database. */
export const repairs = sqliteTable("repairs", {
  name: text().primaryKey(),
  doneAt: integer().notNull(),
});
