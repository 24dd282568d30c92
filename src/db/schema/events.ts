import { sql } from "drizzle-orm";
import { index, integer, sqliteTable, text } from "drizzle-orm/sqlite-core";

import type { EventType } from "../../domain/event.ts";

/**
 * The append-only log. Ids grow in commit order, because SQLite has one writer at a time. There are two or more rows
 * per task, so a row holds only what a reader cannot derive: with whole events as JSON, the log was a quarter of all
 * written bytes.
 */
export const events = sqliteTable(
  "events",
  {
    id: integer().primaryKey({ autoIncrement: true }),
    at: integer().notNull(),
    type: text().$type<EventType>().notNull(),
    /** Public ids, so that an event outlives what it is about. */
    task: text(),
    batch: text(),
    /** Row number of the task and number of its run: the execution. */
    taskSeq: integer(),
    run: integer(),
    /** Further data of the event, JSON. */
    data: text(),
    /** Trace context of the request that led to it, if traces are exported. */
    trace: text(),
  },
  // Only alerts, which are few, have an index. Others have none beside their ids, because it would cost a write for
  // each event.
  (t) => [
    index("events_of_alerts")
      .on(t.type)
      .where(sql`type = 'system.alert'`),
  ],
);

/** One row once the database was restored: how often that was detected, and between which events the last time. */
export const timeline = sqliteTable("timeline", {
  id: integer().primaryKey(),
  epoch: integer().notNull(),
  brokenAfter: integer().notNull(),
  continuedAfter: integer().notNull(),
});
