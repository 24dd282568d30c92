import type { InValue } from "@libsql/client";
import { and, asc, count, desc, eq, gt, lte, type SQL, sql } from "drizzle-orm";

import type { Db } from "../db/client.ts";
import { type Schedule, schedules } from "../db/schema.ts";
import type { Statement } from "../db/writer.ts";
import type { RunOutcome } from "../domain/schedule.ts";
import { contains } from "./contains.ts";

export type { Schedule };

export type NewSchedule = Omit<
  Schedule,
  "seq" | "revision" | "lastRun" | "lastRunStatus" | "failuresInARow" | "pauseReason"
>;

export function insertSchedule(schedule: NewSchedule): Statement {
  return {
    sql: `INSERT INTO schedules (id, name, description, expression, timezone, input_file, output_file,
            is_dry_run, config, overlap_policy, catch_up_window_ms, pause_after_failures, api_key,
            is_active, next_run, created_at, updated_at)
          VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    args: [
      schedule.id,
      schedule.name,
      schedule.description,
      schedule.expression,
      schedule.timezone,
      schedule.inputFile,
      schedule.outputFile,
      schedule.isDryRun,
      JSON.stringify(schedule.config),
      schedule.overlapPolicy,
      schedule.catchUpWindowMs,
      schedule.pauseAfterFailures,
      schedule.apiKey,
      schedule.isActive,
      schedule.nextRun,
      schedule.createdAt,
      schedule.updatedAt,
    ],
  };
}

export function findSchedule(db: Db, id: string): Promise<Schedule | undefined> {
  return db.select().from(schedules).where(eq(schedules.id, id)).get();
}

export function findScheduleBySeq(db: Db, seq: number): Promise<Schedule | undefined> {
  return db.select().from(schedules).where(eq(schedules.seq, seq)).get();
}

export type ScheduleFilter = { isActive?: boolean | undefined; name?: string | undefined };

export type SchedulePage = {
  sort: "createdAt" | "name";
  order: "asc" | "desc";
  limit: number;
  offset: number;
  after?: [number | string, number] | undefined;
};

export function listSchedules(
  db: Db,
  filter: ScheduleFilter,
  page: SchedulePage,
): Promise<Schedule[]> {
  const column = page.sort === "name" ? schedules.name : schedules.createdAt;
  const direction = page.order === "asc" ? asc : desc;
  const after = page.after
    ? sql`(${column}, ${schedules.seq}) ${sql.raw(page.order === "asc" ? ">" : "<")} (${page.after[0]}, ${page.after[1]})`
    : undefined;
  return db
    .select()
    .from(schedules)
    .where(and(...conditions(filter), after))
    .orderBy(direction(column), direction(schedules.seq))
    .limit(page.limit)
    .offset(page.offset);
}

export async function countSchedules(db: Db, filter: ScheduleFilter): Promise<number> {
  const row = await db
    .select({ n: count() })
    .from(schedules)
    .where(and(...conditions(filter)))
    .get();
  return row?.n ?? 0;
}

function conditions({ isActive, name }: ScheduleFilter): (SQL | undefined)[] {
  return [
    isActive === undefined ? undefined : eq(schedules.isActive, isActive),
    name === undefined ? undefined : contains(schedules.name, name),
  ];
}

/** What a client may change, and what follows from it. */
export type ScheduleChange = Partial<
  Omit<NewSchedule, "id" | "apiKey" | "createdAt"> &
    Pick<Schedule, "pauseReason" | "failuresInARow">
>;

const COLUMNS: Record<keyof ScheduleChange, string> = {
  name: "name",
  description: "description",
  expression: "expression",
  timezone: "timezone",
  inputFile: "input_file",
  outputFile: "output_file",
  isDryRun: "is_dry_run",
  config: "config",
  overlapPolicy: "overlap_policy",
  catchUpWindowMs: "catch_up_window_ms",
  pauseAfterFailures: "pause_after_failures",
  isActive: "is_active",
  pauseReason: "pause_reason",
  failuresInARow: "failures_in_a_row",
  nextRun: "next_run",
  updatedAt: "updated_at",
};

/** Changes a schedule that is still as it was read. */
export function updateSchedule(
  { seq, revision, nextRun }: Schedule,
  change: ScheduleChange,
): Statement {
  const sets = (Object.keys(COLUMNS) as (keyof ScheduleChange)[]).flatMap((field) => {
    const value = change[field];
    return value === undefined ? [] : [{ column: COLUMNS[field], value: toValue(value) }];
  });
  return {
    sql: `UPDATE schedules SET revision = revision + 1${sets.map(({ column }) => `, ${column} = ?`).join("")}
          WHERE seq = ? AND revision = ? AND next_run IS ?`,
    args: [...sets.map(({ value }) => value), seq, revision, nextRun],
  };
}

function toValue(value: string | number | boolean | object | null): InValue {
  return typeof value === "object" && value !== null ? JSON.stringify(value) : value;
}

/** Changes a row if the schedule is there, and nothing in it. */
export function touchSchedule(seq: number): Statement {
  return { sql: "UPDATE schedules SET revision = revision WHERE seq = ?", args: [seq] };
}

export function deleteSchedule(id: string): Statement {
  return { sql: "DELETE FROM schedules WHERE id = ?", args: [id] };
}

/** Schedules whose time has come, the longest due first. */
export function listDue(db: Db, now: number, limit: number): Promise<Schedule[]> {
  return db
    .select()
    .from(schedules)
    .where(lte(schedules.nextRun, now))
    .orderBy(asc(schedules.nextRun))
    .limit(limit);
}

/** What of a schedule its next fire depends on, and its names. */
export type Timing = Pick<
  Schedule,
  "seq" | "id" | "name" | "expression" | "timezone" | "revision" | "nextRun"
>;

/** Active schedules in the order of their row numbers. */
export function listActive(db: Db, after: number, limit: number): Promise<Timing[]> {
  const { seq, id, name, expression, timezone, revision, nextRun } = schedules;
  return db
    .select({ seq, id, name, expression, timezone, revision, nextRun })
    .from(schedules)
    .where(and(gt(schedules.seq, after), eq(schedules.isActive, true)))
    .orderBy(asc(schedules.seq))
    .limit(limit);
}

/** When a schedule fires next: one row `{at}`, null where none ever does. */
export const NEXT_FIRE = "SELECT min(next_run) AS at FROM schedules WHERE next_run IS NOT NULL";

/** Moves the next fire of a schedule, unless it was changed or has fired since it was read. */
export function moveNextRun({ seq, revision, nextRun }: Timing, to: number | null): Statement {
  return {
    sql: `UPDATE schedules SET next_run = ?
          WHERE seq = ? AND is_active = 1 AND revision = ? AND next_run IS ?`,
    args: [to, seq, revision, nextRun],
  };
}

/** Keeps the state of the latest run that began, if the statement before changed a row. */
export function noteRunAfterChange(
  seq: number,
  scheduledAt: number,
  status: "running" | RunOutcome,
): Statement {
  return {
    sql: `UPDATE schedules SET
            last_run_status = CASE WHEN coalesce(last_run, 0) <= ? THEN ? ELSE last_run_status END,
            last_run = max(coalesce(last_run, 0), ?),
            failures_in_a_row = CASE ? WHEN 'completed' THEN 0 WHEN 'failed' THEN failures_in_a_row + 1
                                       ELSE failures_in_a_row END
          WHERE seq = ? AND changes() > 0`,
    args: [scheduledAt, status, scheduledAt, status, seq],
  };
}

/** Stops a schedule that cannot fire: its row is as it was read. */
export function pauseSchedule({ seq, revision }: Timing, reason: string, now: number): Statement {
  return {
    sql: `UPDATE schedules SET is_active = 0, next_run = NULL, revision = revision + 1,
            pause_reason = ?, updated_at = ?
          WHERE seq = ? AND is_active = 1 AND revision = ?`,
    args: [reason, now, seq, revision],
  };
}

/** Stops a schedule whose runs have failed too often, if the statement before changed a row. */
export function pauseIfFailingAfterChange(seq: number, reason: string, now: number): Statement {
  return {
    sql: `UPDATE schedules SET is_active = 0, next_run = NULL, revision = revision + 1,
            pause_reason = ?, updated_at = ?
          WHERE seq = ? AND changes() > 0 AND is_active = 1
            AND failures_in_a_row >= pause_after_failures`,
    args: [reason, now, seq],
  };
}
