import type { Context } from "../context.ts";
import { describeCron } from "../domain/cron-sentence.ts";
import { CronError, isTimezone, nextFire, nextFires, requireCron } from "../domain/cron.ts";
import {
  namesEachRun,
  type OverlapPolicy,
  renderFileName,
  unknownNameVariables,
} from "../domain/schedule.ts";
import type { BatchConfig } from "../domain/task-input.ts";
import { AppError, invalid, type Issue } from "../errors.ts";
import { newId } from "../lib/ids.ts";
import { PathError } from "../lib/paths.ts";
import { withoutUndefined } from "../lib/without-undefined.ts";
import { deleteAlert } from "../store/alerts.ts";
import type { Page } from "../store/pages.ts";
import {
  addRuns,
  countRuns,
  dropRuns,
  findRun,
  listRuns,
  type RunWithBatch,
  supersede,
  unbegunRunsOf,
} from "../store/schedule-runs.ts";
import * as store from "../store/schedules.ts";
import { hasRow } from "../store/which.ts";
import { requireAnswerFields } from "./answer-fields.ts";
import type { Caller } from "./caller.ts";
import { discardBatchOf } from "./discard-run.ts";
import { explainPath } from "./explain-path.ts";
import { requireSupportedModel } from "./models.ts";
import { outputProblem } from "./output-path.ts";
import { commonTime } from "./time.ts";

type Schedule = store.Schedule;

export type ScheduleDraft = {
  name: string;
  description?: string | null | undefined;
  schedule: string;
  timezone: string;
  inputFile: string;
  outputFile?: string | null | undefined;
  isDryRun: boolean;
  isActive: boolean;
  config: BatchConfig;
  overlapPolicy: OverlapPolicy;
  catchUpWindowSeconds: number;
  pauseAfterFailures?: number | null | undefined;
};

/** Creates a schedule. Its input file may be added later, but its paths and its expression must be valid. */
export async function createSchedule(
  ctx: Context,
  caller: Caller,
  draft: ScheduleDraft,
): Promise<Schedule> {
  await requireValid(ctx, draft);
  const now = await commonTime(ctx);
  const id = newId(ctx, "sched");
  const { schedule: expression, timezone, isActive, catchUpWindowSeconds, ...rest } = draft;
  const schedule = store.insertSchedule({
    ...rest,
    id,
    expression,
    timezone,
    isActive,
    description: draft.description ?? null,
    outputFile: draft.outputFile ?? null,
    pauseAfterFailures: draft.pauseAfterFailures ?? null,
    catchUpWindowMs: catchUpWindowSeconds * 1000,
    apiKey: caller.key,
    nextRun: isActive ? nextFire({ expression, timezone }, now) : null,
    createdAt: now,
    updatedAt: now,
  });
  await ctx.writer.write({ schedule });
  ctx.signals.emit("schedules", undefined);
  return getSchedule(ctx, id);
}

export async function getSchedule(ctx: Context, id: string): Promise<Schedule> {
  const schedule = await store.findSchedule(ctx.db, id);
  if (!schedule) throw notFound(id);
  return schedule;
}

/** One page of schedules and how many match in all. */
export async function listSchedules(
  ctx: Context,
  filter: store.ScheduleFilter,
  page: store.SchedulePage,
) {
  return {
    schedules: await store.listSchedules(ctx.reads.db, filter, page),
    total: await store.countSchedules(ctx.reads.db, filter),
  };
}

/** The next times of an active schedule, `nextRun` first. */
export function upcomingFires(schedule: Schedule, count: number): number[] {
  if (schedule.nextRun === null) return [];
  return [schedule.nextRun, ...nextFires(schedule, schedule.nextRun, count - 1)];
}

type Timing = Pick<ScheduleDraft, "schedule" | "timezone">;

/**
 * The meaning of an expression in words, and its next fires. Throws the errors that creating a schedule with it would
 * throw.
 */
export async function previewSchedule(ctx: Context, timing: Timing, count: number) {
  const issues = timezoneIssues(timing);
  if (issues.length > 0) throw invalid(issues);
  requireExpression(timing);
  const { schedule: expression, timezone } = timing;
  return {
    sentence: describeCron(expression),
    fires: nextFires({ expression, timezone }, await commonTime(ctx), count),
  };
}

export type ScheduleChange = { [Field in keyof ScheduleDraft]?: ScheduleDraft[Field] | undefined };

/**
 * Changes a schedule. A new expression, time zone or activation counts from now. Disabling it drops the waiting runs;
 * with `cancelsRuns` those that have begun are cancelled, too.
 */
export async function updateSchedule(
  ctx: Context,
  id: string,
  change: ScheduleChange,
  { cancelsRuns = false } = {},
): Promise<Schedule> {
  for (;;) {
    const before = await getSchedule(ctx, id);
    const draft = { ...toDraft(before), ...withoutUndefined(change) };
    await requireValid(ctx, draft);
    const now = await commonTime(ctx);
    const { schedule: expression, timezone, isActive, catchUpWindowSeconds } = draft;
    const isRetimed =
      expression !== before.expression ||
      timezone !== before.timezone ||
      isActive !== before.isActive;
    const { schedule: _, catchUpWindowSeconds: __, ...fields } = withoutUndefined(change);
    const moved: store.ScheduleChange = {
      ...fields,
      expression,
      catchUpWindowMs: catchUpWindowSeconds * 1000,
      ...(isRetimed ? { nextRun: isActive ? nextFire({ expression, timezone }, now) : null } : {}),
      ...(isActive === before.isActive ? {} : { pauseReason: null, failuresInARow: 0 }),
      updatedAt: now,
    };
    const when = hasRow("schedules", store.isUnchanged(before));
    const reason = "The schedule was disabled";
    const { changed } = await ctx.writer.write({
      dropped:
        !isActive && (before.isActive || cancelsRuns)
          ? dropRuns(before.seq, { which: cancelsRuns ? "open" : "queued", reason, when })
          : undefined,
      changed: store.updateSchedule(before, moved),
      alert: !before.isActive && isActive ? deleteAlert("schedule.paused", id, now) : undefined,
    });
    // It has fired, or another client has changed it, since it was read.
    if (changed.changed === 0) continue;
    ctx.signals.emit("schedules", undefined);
    return getSchedule(ctx, id);
  }
}

/**
 * Removes a schedule and its run history. Batches of its runs stay, and continue if they are running, but for one that was
 * made and not started.
 */
export async function deleteSchedule(ctx: Context, id: string): Promise<void> {
  const { seq } = await getSchedule(ctx, id);
  const { unbegun, deleted } = await ctx.writer.write({
    unbegun: unbegunRunsOf(seq),
    deleted: store.deleteSchedule(id),
    alert: deleteAlert("schedule.paused", id, ctx.clock.now()),
  });
  if (deleted.changed === 0) throw notFound(id);
  ctx.signals.emit("schedules", undefined);
  for (const run of unbegun.rows) await discardBatchOf(ctx, run.id);
}

/**
 * Requests a run now, also of an inactive schedule. Its overlap policy applies; throws `TASK_RUNNING` if that skips
 * the run.
 */
export async function runSchedule(
  ctx: Context,
  id: string,
  options: { isDryRun: boolean | undefined },
): Promise<RunWithBatch> {
  const schedule = await getSchedule(ctx, id);
  const now = await commonTime(ctx);
  const runId = newId(ctx, "run");
  const run = {
    id: runId,
    at: now,
    cause: "manual" as const,
    missed: null,
    isDryRun: options.isDryRun ?? null,
  };
  await ctx.writer.write({
    added: addRuns({ where: "seq = ?", args: [schedule.seq] }, [run], now),
    superseded: supersede(schedule.seq, runId),
  });
  ctx.signals.emit("schedules", undefined);
  const added = await findRun(ctx.db, runId);
  if (!added) throw notFound(id);
  if (added.run.status === "skipped")
    throw new AppError("TASK_RUNNING", `Scheduled task ${id} is not run: ${added.run.reason}`);
  return added;
}

/** One page of a schedule's runs, the latest first, and how many there are. */
export async function listScheduleRuns(ctx: Context, id: string, page: Page) {
  const { seq } = await getSchedule(ctx, id);
  return {
    runs: await listRuns(ctx.reads.db, seq, page),
    total: await countRuns(ctx.reads.db, seq),
  };
}

function toDraft(schedule: Schedule): ScheduleDraft {
  return {
    ...schedule,
    schedule: schedule.expression,
    catchUpWindowSeconds: schedule.catchUpWindowMs / 1000,
  };
}

async function requireValid(ctx: Context, draft: ScheduleDraft): Promise<void> {
  const issues = [
    ...timezoneIssues(draft),
    ...(await inputIssues(ctx, draft.inputFile)),
    ...outputIssues(ctx, draft),
  ];
  if (issues.length > 0) throw invalid(issues);
  requireExpression(draft);
  if (draft.config.model !== undefined) await requireSupportedModel(ctx, draft.config.model);
  await requireAnswerFields(ctx, draft.config, "config.");
}

function timezoneIssues({ timezone }: Timing): Issue[] {
  if (isTimezone(timezone)) return [];
  const message = `${JSON.stringify(timezone)} is not an IANA time zone, such as Europe/Berlin or UTC`;
  return [{ path: "timezone", message }];
}

function requireExpression({ schedule, timezone }: Timing): void {
  try {
    requireCron({ expression: schedule, timezone });
  } catch (error) {
    if (!(error instanceof CronError)) throw error;
    const message = `${JSON.stringify(schedule)}: ${error.message}`;
    throw new AppError("INVALID_CRON_EXPRESSION", `schedule: ${message}`, {
      issues: [{ path: "schedule", message }],
    });
  }
}

async function inputIssues(ctx: Context, path: string): Promise<Issue[]> {
  try {
    // The file need not exist yet, but a link that leads out of the folder is refused.
    await ctx.fileStore.check(path);
    return [];
  } catch (error) {
    if (!(error instanceof PathError)) throw error;
    return [{ path: "inputFile", message: explainPath(path, error, "read") }];
  }
}

function outputIssues(
  ctx: Context,
  { inputFile, outputFile, overlapPolicy }: ScheduleDraft,
): Issue[] {
  if (outputFile === undefined || outputFile === null) return [];
  const [unknown] = unknownNameVariables(outputFile);
  const sample = renderFileName(outputFile, { at: 0, timezone: "UTC", runId: "run" });
  const message =
    unknown !== undefined
      ? `there is no {{${unknown}}}; there are {{date}}, {{time}} and {{runId}}`
      : overlapPolicy === "allow" && !namesEachRun(outputFile)
        ? "needs {{runId}}, or {{date}} and {{time}}: with overlapPolicy allow an older run that ends last would replace the file of a newer one"
        : outputProblem(ctx, sample, inputFile);
  return message === undefined ? [] : [{ path: "outputFile", message }];
}

function notFound(id: string): AppError {
  return new AppError("SCHEDULED_TASK_NOT_FOUND", `There is no scheduled task with id ${id}`);
}
