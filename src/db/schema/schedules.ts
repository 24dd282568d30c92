import { sql } from "drizzle-orm";
import { index, integer, sqliteTable, text } from "drizzle-orm/sqlite-core";

import { PASSED_ON } from "../../domain/request.ts";
import type { OverlapPolicy, RunStatus } from "../../domain/schedule.ts";
import { exactText } from "../exact-text.ts";

export const schedules = sqliteTable(
  "schedules",
  {
    seq: integer().primaryKey({ autoIncrement: true }),
    id: text().notNull().unique(),
    name: text().notNull(),
    description: text(),
    /** The cron expression. */
    expression: text().notNull(),
    timezone: text().notNull(),
    inputFile: text().notNull(),
    outputFile: text(),
    isDryRun: integer({ mode: "boolean" }).notNull(),
    config: exactText<Record<string, unknown>>(PASSED_ON).notNull(),
    overlapPolicy: text().$type<OverlapPolicy>().notNull(),
    catchUpWindowMs: integer().notNull(),
    /** Failed runs in a row after which it is paused. */
    pauseAfterFailures: integer(),
    apiKey: integer().notNull(),
    isActive: integer({ mode: "boolean" }).notNull(),
    /** Why the server paused it; otherwise null. */
    pauseReason: text(),
    /** Grows with each change of the fields that decide about `nextRun`, so that no fire is based on old ones. */
    revision: integer().notNull().default(0),
    /** When it fires next; null while it is not active. */
    nextRun: integer(),
    /** Scheduled time and state of the latest run that began. */
    lastRun: integer(),
    lastRunStatus: text().$type<RunStatus>(),
    failuresInARow: integer().notNull().default(0),
    createdAt: integer().notNull(),
    updatedAt: integer().notNull(),
  },
  (t) => [
    index("schedules_due")
      .on(t.nextRun)
      .where(sql`${t.nextRun} is not null`),
    index("schedules_by_time").on(t.createdAt),
    index("schedules_by_name").on(t.name),
  ],
);
export type Schedule = typeof schedules.$inferSelect;
