import { and, asc, count, eq, gt, lte, type SQL, sql } from "drizzle-orm";

import { build, toStatement } from "../db/build.ts";
import type { Db } from "../db/client.ts";
import { type Schedule, schedules } from "../db/schema/schedules.ts";
import type { Statement } from "../db/unit.ts";
import type { RunOutcome } from "../domain/schedule.ts";
import { contains } from "./contains.ts";
import { keyset, type Page } from "./pages.ts";
import { toSql, type Which } from "./which.ts";

export type { Schedule };

export type NewSchedule = Omit<
  Schedule,
  "seq" | "revision" | "lastRun" | "lastRunStatus" | "failuresInARow" | "pauseReason"
>;

export function insertSchedule(schedule: NewSchedule): Statement {
  return toStatement(build.insert(schedules).values(schedule));
}

export function findSchedule(db: Db, id: string): Promise<Schedule | undefined> {
  return db.select().from(schedules).where(eq(schedules.id, id)).get();
}

export type ScheduleFilter = { isActive?: boolean | undefined; name?: string | undefined };

export type SchedulePage = Page<"createdAt" | "name">;

export function listSchedules(
  db: Db,
  filter: ScheduleFilter,
  page: SchedulePage,
): Promise<Schedule[]> {
  const column = page.sort === "name" ? schedules.name : schedules.createdAt;
  const { isAfter, inOrder } = keyset(page, column, schedules.seq);
  return db
    .select()
    .from(schedules)
    .where(and(...conditions(filter), isAfter))
    .orderBy(...inOrder)
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

/** The fields that a client may change, and those that follow from them. */
export type ScheduleChange = Partial<
  Omit<NewSchedule, "id" | "apiKey" | "createdAt"> &
    Pick<Schedule, "pauseReason" | "failuresInARow">
>;

/** A schedule that has not changed since it was read. */
export function isUnchanged({ seq, revision, nextRun }: Schedule): Which {
  return { where: "seq = ? AND revision = ? AND next_run IS ?", args: [seq, revision, nextRun] };
}

/** Changes a schedule that has not changed since it was read. */
export function updateSchedule(schedule: Schedule, change: ScheduleChange): Statement {
  return toStatement(
    build
      .update(schedules)
      .set({ ...change, revision: NEXT_REVISION })
      .where(toSql(isUnchanged(schedule))),
  );
}

const NEXT_REVISION = sql`${schedules.revision} + 1`;

export function deleteSchedule(id: string): Statement {
  return toStatement(build.delete(schedules).where(eq(schedules.id, id)));
}

/** Schedules that are due, the longest due first. */
export function listDue(db: Db, now: number, limit: number): Promise<Schedule[]> {
  return db
    .select()
    .from(schedules)
    .where(lte(schedules.nextRun, now))
    .orderBy(asc(schedules.nextRun))
    .limit(limit);
}

/** The fields of a schedule that its next fire depends on, and its names. */
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

/** When a schedule fires next; null if none will. */
export const NEXT_FIRE: Statement<{ at: number | null }> = {
  sql: "SELECT min(next_run) AS at FROM schedules WHERE next_run IS NOT NULL",
  args: [],
};

/** A schedule that was not changed and has not fired since it was read. */
export function isStillDue({ seq, revision, nextRun }: Timing): Which {
  return {
    where: "seq = ? AND is_active = 1 AND revision = ? AND next_run IS ?",
    args: [seq, revision, nextRun],
  };
}

/** Moves the next fire of a schedule, unless it was changed or has fired since it was read. */
export function moveNextRun(timing: Timing, to: number | null): Statement {
  return toStatement(
    build
      .update(schedules)
      .set({ nextRun: to })
      .where(toSql(isStillDue(timing))),
  );
}

/** Stores the state of the latest run that began, if a condition holds. */
export function noteRun(
  seq: number,
  scheduledAt: number,
  status: "running" | RunOutcome,
  when: Which,
): Statement {
  const { lastRun, lastRunStatus, failuresInARow } = schedules;
  const isLatest = sql`coalesce(${lastRun}, 0) <= ${scheduledAt}`;
  return toStatement(
    build
      .update(schedules)
      .set({
        lastRunStatus: sql`CASE WHEN ${isLatest} THEN ${status} ELSE ${lastRunStatus} END`,
        lastRun: sql`max(coalesce(${lastRun}, 0), ${scheduledAt})`,
        ...(status === "completed" ? { failuresInARow: 0 } : {}),
        ...(status === "failed" ? { failuresInARow: sql`${failuresInARow} + 1` } : {}),
      })
      .where(and(eq(schedules.seq, seq), toSql(when))),
  );
}

/** An active schedule whose timing has not changed since it was read. */
export function isActiveAsRead({ seq, revision }: Timing): Which {
  return { where: "seq = ? AND is_active = 1 AND revision = ?", args: [seq, revision] };
}

/** An active schedule whose runs have failed too often. */
export function isFailing(seq: number): Which {
  return {
    where: "seq = ? AND is_active = 1 AND failures_in_a_row >= pause_after_failures",
    args: [seq],
  };
}

/** Stops a schedule that meets a condition. */
export function pauseSchedule(which: Which, reason: string, now: number): Statement {
  return toStatement(
    build
      .update(schedules)
      .set({
        isActive: false,
        nextRun: null,
        revision: NEXT_REVISION,
        pauseReason: reason,
        updatedAt: now,
      })
      .where(toSql(which)),
  );
}
