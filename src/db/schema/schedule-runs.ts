import { sql } from "drizzle-orm";
import { index, integer, real, sqliteTable, text, uniqueIndex } from "drizzle-orm/sqlite-core";

import type { RunCause, RunError, RunStatus } from "../../domain/schedule.ts";
import { schedules } from "./schedules.ts";

/** Every fire of a schedule with its outcome, and the runs that clients requested. */
export const scheduleRuns = sqliteTable(
  "schedule_runs",
  {
    seq: integer().primaryKey({ autoIncrement: true }),
    id: text().notNull().unique(),
    schedule: integer()
      .notNull()
      .references(() => schedules.seq, { onDelete: "cascade" }),
    cause: text().$type<RunCause>().notNull(),
    status: text().$type<RunStatus>().notNull(),
    reason: text(),
    error: text({ mode: "json" }).$type<RunError>(),
    isDryRun: integer({ mode: "boolean" }).notNull(),
    scheduledAt: integer().notNull(),
    firedAt: integer().notNull(),
    startedAt: integer(),
    finishedAt: integer(),
    /** Row number of the node that makes its batch. */
    owner: integer(),
    /** Failed attempts to create its batch, and when the next may begin. */
    attempts: integer().notNull().default(0),
    retryAt: integer(),
    /** The reason of a requested cancellation. */
    cancelReason: text(),
    /** Public id of its batch, which may be deleted before the run is. */
    batch: text(),
    outputFile: text(),
    total: integer().notNull().default(0),
    completed: integer().notNull().default(0),
    failed: integer().notNull().default(0),
    cancelled: integer().notNull().default(0),
    promptTokens: integer().notNull().default(0),
    completionTokens: integer().notNull().default(0),
    costUsd: real(),
  },
  (t) => [
    /** A fire happens once, whichever process detects that it is due. */
    uniqueIndex("schedule_runs_by_fire")
      .on(t.schedule, t.scheduledAt)
      .where(sql`${t.cause} <> 'manual'`),
    index("schedule_runs_by_schedule").on(t.schedule, t.seq),
    index("schedule_runs_open")
      .on(t.status, t.owner)
      .where(sql`${t.status} in ('pending', 'queued', 'running')`),
    index("schedule_runs_open_by_schedule")
      .on(t.schedule, t.status)
      .where(sql`${t.status} in ('pending', 'queued', 'running')`),
  ],
);
export type ScheduleRun = typeof scheduleRuns.$inferSelect;
