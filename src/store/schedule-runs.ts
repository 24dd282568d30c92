import { and, count, eq, isNotNull, isNull, or, sql } from "drizzle-orm";

import { build, toStatement } from "../db/build.ts";
import type { Db } from "../db/client.ts";
import { type Batch, batches } from "../db/schema/batches.ts";
import { type ScheduleRun, scheduleRuns } from "../db/schema/schedule-runs.ts";
import { type Schedule, schedules } from "../db/schema/schedules.ts";
import type { Statement } from "../db/unit.ts";
import { MOST_QUEUED, type RunError, type RunOutcome, type RunStatus } from "../domain/schedule.ts";
import { keyset, type Page } from "./pages.ts";
import { noteRun } from "./schedules.ts";
import { hasRow, toSql, type Which } from "./which.ts";

export type { ScheduleRun };

/** Spelled as in the condition of the indexes; otherwise SQLite does not use them. */
export const IS_OPEN = "status IN ('pending', 'queued', 'running')";
/** Spelled out, because SQLite does not infer that such a run is open, and would not use the index of open runs. */
const isOpenAs = (status: OpenStatus) => `${IS_OPEN} AND status = '${status}'`;

export type NewRun = {
  id: string;
  at: number;
  cause: ScheduleRun["cause"];
  missed: string | null;
  /** `null`: the setting of the schedule. */
  isDryRun: boolean | null;
};

/**
 * Adds the runs of fires to a schedule that meets a condition. If an earlier run has not ended, the schedule's policy
 * decides the status of the new one. A fire that has a row already is skipped. Returns the added runs.
 */
export function addRuns(
  schedule: Which,
  runs: NewRun[],
  now: number,
): Statement<{ status: RunStatus }> {
  const open = `(SELECT count(*) FROM schedule_runs o WHERE o.schedule = s.seq AND o.${IS_OPEN})`;
  const queued = `(SELECT count(*) FROM schedule_runs o WHERE o.schedule = s.seq AND o.${IS_OPEN} AND o.status = 'queued')`;
  const first = `(SELECT o.id FROM schedule_runs o WHERE o.schedule = s.seq AND o.${IS_OPEN} ORDER BY o.seq LIMIT 1)`;
  const status = `CASE WHEN v.column4 IS NOT NULL THEN 'missed'
    WHEN s.overlap_policy = 'allow' OR ${open} = 0 THEN 'pending'
    WHEN s.overlap_policy = 'skip' THEN 'skipped'
    WHEN s.overlap_policy = 'queue' AND ${queued} >= ${MOST_QUEUED} THEN 'skipped'
    ELSE 'queued' END`;
  const values = runs.map(() => "(?, ?, ?, ?, ?)").join(", ");
  return {
    sql: `
      INSERT INTO schedule_runs (id, schedule, scheduled_at, cause, fired_at, is_dry_run, status,
        reason, finished_at)
      SELECT n.id, n.schedule, n.at, n.cause, ?, n.is_dry_run, n.status,
        CASE WHEN n.status = 'skipped' AND n.policy = 'queue' THEN '${MOST_QUEUED} runs are waiting already'
             WHEN n.status = 'skipped' THEN 'The run before has not ended: ' || n.first
             ELSE n.missed END,
        CASE WHEN n.status IN ('missed', 'skipped') THEN ? END
      FROM (SELECT v.column1 AS id, s.seq AS schedule, v.column2 AS at, v.column3 AS cause,
                   v.column4 AS missed, coalesce(v.column5, s.is_dry_run) AS is_dry_run,
                   s.overlap_policy AS policy, ${first} AS first, ${status} AS status
            FROM (VALUES ${values}) v
              CROSS JOIN (SELECT * FROM schedules WHERE ${schedule.where}) s) n
      WHERE true ON CONFLICT DO NOTHING RETURNING status`,
    args: [
      now,
      now,
      ...runs.flatMap((run) => [run.id, run.at, run.cause, run.missed, run.isDryRun]),
      ...schedule.args,
    ],
  };
}

/** If the policy says so, requests the cancellation of all runs before the one that was just added. */
export function supersede(schedule: number, runId: string): Statement {
  return {
    sql: `UPDATE schedule_runs SET cancel_reason = 'Run ' || ? || ' took its place'
          WHERE schedule = ? AND ${IS_OPEN} AND cancel_reason IS NULL
            AND seq < (SELECT seq FROM schedule_runs WHERE id = ?)
            AND (SELECT overlap_policy FROM schedules WHERE seq = ?) = 'cancel_previous'`,
    args: [runId, schedule, runId, schedule],
  };
}

/**
 * Requests the cancellation of the runs of a schedule, or only of those that wait for another, if a condition holds.
 */
export function dropRuns(
  schedule: number,
  { which, reason, when }: { which: "open" | "queued"; reason: string; when: Which },
): Statement {
  return toStatement(
    build
      .update(scheduleRuns)
      .set({ cancelReason: reason })
      .where(
        and(
          eq(scheduleRuns.schedule, schedule),
          which === "open" ? sql.raw(IS_OPEN) : eq(scheduleRuns.status, "queued"),
          isNull(scheduleRuns.cancelReason),
          toSql(when),
        ),
      ),
  );
}

type OpenStatus = "pending" | "queued" | "running";

/** How many runs have not ended. */
export const OPEN_RUNS: Statement<{ status: OpenStatus; runs: number }> = {
  sql: `SELECT status, count(*) AS runs FROM schedule_runs
        INDEXED BY schedule_runs_open WHERE ${IS_OPEN} GROUP BY status`,
  args: [],
};

/** Makes each queued run without an open earlier run pending. */
export const promoteQueued: Statement = {
  sql: `UPDATE schedule_runs SET status = 'pending'
        WHERE ${isOpenAs("queued")} AND cancel_reason IS NULL AND NOT EXISTS (
          SELECT 1 FROM schedule_runs o WHERE o.schedule = schedule_runs.schedule AND o.${IS_OPEN}
            AND o.seq < schedule_runs.seq)`,
  args: [],
};

/** Releases runs of dead nodes, and those of this node that it is not working on. */
export function releaseRuns(node: number, working: string[]): Statement {
  return {
    sql: `UPDATE schedule_runs SET owner = NULL
          WHERE ${isOpenAs("pending")} AND owner IS NOT NULL
            AND (owner NOT IN (SELECT seq FROM nodes)
                 OR (owner = ? AND id NOT IN (SELECT value FROM json_each(?))))`,
    args: [node, JSON.stringify(working)],
  };
}

/** Runs of a schedule that have not begun. */
export function unbegunRunsOf(schedule: number): Statement<{ id: string }> {
  return {
    sql: `SELECT id FROM schedule_runs WHERE schedule = ? AND ${isOpenAs("pending")}`,
    args: [schedule],
  };
}

/** Has a row if a run is ready to begin, besides those that this node is already starting. */
export function findIdleRun(working: string[]): Statement<object> {
  return {
    sql: `SELECT 1 FROM schedule_runs
          WHERE ${isOpenAs("pending")} AND id NOT IN (SELECT value FROM json_each(?)) LIMIT 1`,
    args: [JSON.stringify(working)],
  };
}

/** Takes up to `limit` runs that may begin. */
export function claimRuns(node: number, limit: number, now: number): Statement<{ id: string }> {
  return {
    sql: `UPDATE schedule_runs SET owner = ?
          WHERE seq IN (SELECT seq FROM schedule_runs
                        WHERE ${isOpenAs("pending")} AND owner IS NULL AND cancel_reason IS NULL
                          AND coalesce(retry_at, 0) <= ?
                        ORDER BY seq LIMIT ?)
          RETURNING id`,
    args: [node, now, limit],
  };
}

/** Gives a run back to be tried again later, unless it has passed to another node. */
export function postponeRun(run: ScheduleRun, retryAt: number): Statement {
  return toStatement(
    build
      .update(scheduleRuns)
      .set({ owner: null, attempts: sql`${scheduleRuns.attempts} + 1`, retryAt })
      .where(toSql(isRunAsRead({ ...run, status: "pending" }))),
  );
}

/** Records that the batch of a run was started, also in the schedule. */
export function beginRun(
  { id, schedule, scheduledAt }: ScheduleRun,
  { batch, outputFile, now }: { batch: string; outputFile: string | null; now: number },
): { noted: Statement; begun: Statement } {
  const which = { where: "id = ? AND status = 'pending'", args: [id] };
  return {
    noted: noteRun(schedule, scheduledAt, "running", hasRow("schedule_runs", which)),
    begun: toStatement(
      build
        .update(scheduleRuns)
        .set({ status: "running", owner: null, startedAt: now, batch, outputFile })
        .where(toSql(which)),
    ),
  };
}

/** A run that is still to begin: its schedule exists, and its cancellation was not requested. */
export function isWanted(id: string): Which {
  return hasRow("schedule_runs r", {
    where: "r.id = ? AND r.status = 'pending' AND r.cancel_reason IS NULL",
    args: [id],
  });
}

export type RunEnd = {
  status: RunOutcome;
  reason: string | null;
  error: RunError | null;
  counts: Counts | null;
  now: number;
};

type Counts = Pick<
  ScheduleRun,
  "total" | "completed" | "failed" | "cancelled" | "promptTokens" | "completionTokens" | "costUsd"
>;

/** A run that has not changed since it was read: same status and same node. */
export function isRunAsRead({ id, status, owner }: ScheduleRun): Which {
  return { where: "id = ? AND status = ? AND owner IS ?", args: [id, status, owner] };
}

/** Ends a run that meets a condition. */
export function endRun(which: Which, end: RunEnd): Statement {
  const { status, reason, error, counts, now } = end;
  return toStatement(
    build
      .update(scheduleRuns)
      .set({
        status,
        reason,
        error,
        finishedAt: now,
        owner: null,
        total: counts?.total ?? 0,
        completed: counts?.completed ?? 0,
        failed: counts?.failed ?? 0,
        cancelled: counts?.cancelled ?? 0,
        promptTokens: counts?.promptTokens ?? 0,
        completionTokens: counts?.completionTokens ?? 0,
        costUsd: counts?.costUsd ?? null,
      })
      .where(toSql(which)),
  );
}

/** Ends a run whose cancellation was requested before it began: no node works on it. */
export function endUnbegunRun(id: string, now: number): Statement {
  const { status, owner, cancelReason } = scheduleRuns;
  return toStatement(
    build
      .update(scheduleRuns)
      .set({ status: "cancelled", reason: sql`${cancelReason}`, finishedAt: now })
      .where(
        and(
          eq(scheduleRuns.id, id),
          isNotNull(cancelReason),
          or(eq(status, "queued"), and(eq(status, "pending"), isNull(owner))),
        ),
      ),
  );
}

/** Runs whose cancellation was requested and that have not ended. */
export const RUNS_TO_CANCEL: Statement<{ id: string; status: OpenStatus; batch: string | null }> = {
  sql: `SELECT id, status, batch FROM schedule_runs WHERE ${IS_OPEN} AND cancel_reason IS NOT NULL`,
  args: [],
};

/** Runs whose batch has ended and has written its results file, or was deleted. */
export const ENDED_RUNS: Statement<{ id: string }> = {
  sql: `SELECT r.id FROM schedule_runs r LEFT JOIN batches b ON b.id = r.batch
        WHERE r.status = 'running' AND r.${IS_OPEN}
          AND (b.seq IS NULL
               OR (b.status IN ('completed', 'failed', 'cancelled') AND b.completed_at IS NOT NULL
                   AND coalesce(b.output_status, '') NOT IN ('pending', 'writing')))
        LIMIT 200`,
  args: [],
};

export type RunWithBatch = { run: ScheduleRun; batch: Batch | null };

/** A run with its schedule, and with its batch as long as that exists. */
export function findRun(
  db: Db,
  id: string,
): Promise<(RunWithBatch & { schedule: Schedule }) | undefined> {
  return db
    .select({ run: scheduleRuns, schedule: schedules, batch: batches })
    .from(scheduleRuns)
    .innerJoin(schedules, eq(schedules.seq, scheduleRuns.schedule))
    .leftJoin(batches, eq(batches.id, scheduleRuns.batch))
    .where(eq(scheduleRuns.id, id))
    .get();
}

/** One page of a schedule's runs, in the order of their creation. */
export function listRuns(db: Db, schedule: number, page: Page): Promise<RunWithBatch[]> {
  const { isAfter, inOrder } = keyset(page, scheduleRuns.seq, scheduleRuns.seq);
  return db
    .select({ run: scheduleRuns, batch: batches })
    .from(scheduleRuns)
    .leftJoin(batches, eq(batches.id, scheduleRuns.batch))
    .where(and(eq(scheduleRuns.schedule, schedule), isAfter))
    .orderBy(...inOrder)
    .limit(page.limit)
    .offset(page.offset);
}

export async function countRuns(db: Db, schedule: number): Promise<number> {
  const row = await db
    .select({ n: count() })
    .from(scheduleRuns)
    .where(eq(scheduleRuns.schedule, schedule))
    .get();
  return row?.n ?? 0;
}
