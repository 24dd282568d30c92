import { z } from "@hono/zod-openapi";

import { OVERLAP_POLICIES, RUN_CAUSES, RUN_STATUSES } from "../../domain/schedule.ts";
import { BatchConfig } from "../../domain/task-input.ts";
import { Description, FilePath, Name } from "../../domain/text.ts";
import { upcomingFires } from "../../services/schedules.ts";
import type { RunWithBatch } from "../../store/schedule-runs.ts";
import type { Schedule } from "../../store/schedules.ts";
import { Time, toIso, toIsoOrNull, orNull, FreeObject, TokenSums, orElse } from "../router.ts";

const DESCRIPTIONS = {
  schedule:
    "Cron: five fields (minute, hour, day of month, month, day of week), or six with seconds first; names, " +
    "ranges, steps, lists, `L`, `#`, or a nickname such as `@daily`. Where the clock is put forward, a fixed " +
    "time that is skipped fires at the first moment after the gap; where it is put back, a fixed time that " +
    "comes twice fires once, at the first. `*` and steps go by elapsed time",
  inputFile: "A file in the files folder; it need not be there yet",
  outputFile:
    "Where each run's results go, in the files folder. `{{date}}`, `{{time}}` (of the scheduled time, in the " +
    "time zone; the second `02-30-00` of an autumn night is `02-30-00b`) and `{{runId}}` may be in its name; " +
    "without, each run replaces the file of the one before, which `overlapPolicy` `allow` does not permit",
  overlapPolicy:
    "What a fire does while the run before has not ended: `skip` it, `queue` it, `allow` both, or " +
    "`cancel_previous`",
  catchUpWindowSeconds:
    "Of the fires that were missed, the latest runs if it is no older than this; the others are recorded as missed",
  pauseAfterFailures: "Failed runs in a row that stop the schedule, with a `system.alert`",
};

const MAX_WINDOW_SECONDS = 31 * 24 * 3600;

const OverlapPolicy = z.enum(OVERLAP_POLICIES).openapi("OverlapPolicy", {
  description: DESCRIPTIONS.overlapPolicy,
});

export const CronExpression = z
  .string()
  .max(500)
  .openapi({ description: DESCRIPTIONS.schedule, example: "0 9 * * *" });

export const Timezone = z.string().min(1).max(100).openapi({
  description: "IANA time zone that the schedule is read in",
  example: "Europe/Berlin",
});

const FIELDS = {
  name: Name,
  description: Description.nullable(),
  schedule: CronExpression,
  timezone: Timezone,
  inputFile: FilePath.openapi({ description: DESCRIPTIONS.inputFile }),
  outputFile: FilePath.nullable().openapi({
    description: DESCRIPTIONS.outputFile,
    example: "results-{{date}}.csv",
  }),
  isDryRun: z.boolean().openapi({
    description: "Let the simulator answer; costs are then estimates",
  }),
  isActive: z.boolean(),
  config: BatchConfig,
  overlapPolicy: OverlapPolicy,
  catchUpWindowSeconds: z
    .number()
    .int()
    .min(0)
    .max(MAX_WINDOW_SECONDS)
    .openapi({ description: DESCRIPTIONS.catchUpWindowSeconds }),
  pauseAfterFailures: z
    .number()
    .int()
    .min(1)
    .max(1000)
    .nullable()
    .openapi({ description: DESCRIPTIONS.pauseAfterFailures }),
};

export const ScheduleCreation = z
  .strictObject({
    ...FIELDS,
    description: FIELDS.description.optional(),
    timezone: orElse(FIELDS.timezone, "UTC"),
    outputFile: FIELDS.outputFile.optional(),
    isDryRun: orElse(FIELDS.isDryRun, false),
    isActive: orElse(FIELDS.isActive, true),
    config: orElse(FIELDS.config, {}),
    overlapPolicy: orElse(FIELDS.overlapPolicy, "skip"),
    catchUpWindowSeconds: orElse(FIELDS.catchUpWindowSeconds, 3600),
    pauseAfterFailures: FIELDS.pauseAfterFailures.optional(),
  })
  .openapi("ScheduledTaskCreation", {
    example: {
      name: "Daily Report Generator",
      schedule: "0 9 * * *",
      inputFile: "tasks.csv",
      outputFile: "results-{{date}}.csv",
      isDryRun: false,
      config: { model: "gpt-4", temperature: 0.7, maxRetries: 3 },
    },
  });

export const ScheduleUpdate = z
  .strictObject(FIELDS)
  .partial()
  .openapi("ScheduledTaskUpdate", {
    example: { name: "Updated Task Name", schedule: "0 12 * * *", isActive: false },
  });

const RunStatusName = z.enum(RUN_STATUSES).openapi("ScheduledTaskRunStatus");

export const ScheduleBody = z
  .object({
    id: z.string(),
    name: z.string(),
    description: z.string().nullable(),
    schedule: z.string(),
    timezone: z.string(),
    isActive: z.boolean(),
    pauseReason: z
      .string()
      .nullable()
      .openapi({ description: "Why it was stopped, where nobody asked for that" }),
    inputFile: z.string(),
    outputFile: z.string().nullable(),
    isDryRun: z.boolean(),
    config: FreeObject,
    overlapPolicy: OverlapPolicy,
    catchUpWindowSeconds: z.number().int(),
    pauseAfterFailures: z.number().int().nullable(),
    createdAt: Time,
    updatedAt: Time,
    lastRun: Time.nullable().openapi({
      description: "Scheduled time of the latest run that began",
    }),
    lastRunStatus: orNull(RunStatusName),
    nextRun: Time.nullable(),
    nextRuns: z.array(Time).openapi({ description: "The next five times" }),
  })
  .openapi("ScheduledTask");

const RunError = z
  .object({ code: z.string(), message: z.string(), details: FreeObject.optional() })
  .openapi("ScheduledTaskRunError", {
    description: "Of a run that failed; rows that are wrong are in its `details`",
  });

const RunCounts = z
  .object({
    total: z.number().int(),
    completed: z.number().int(),
    failed: z.number().int(),
    cancelled: z.number().int(),
  })
  .openapi("ScheduledTaskRunCounts");

export const RunBody = z
  .object({
    id: z.string(),
    status: RunStatusName,
    cause: z.enum(RUN_CAUSES).openapi({
      description:
        "`catch_up`: it stands in for fires that were missed; `manual`: it was asked for",
    }),
    reason: z
      .string()
      .nullable()
      .openapi({ description: "Why it was skipped, missed, cancelled or failed" }),
    error: orNull(RunError),
    isDryRun: z.boolean(),
    scheduledAt: Time,
    firedAt: Time.openapi({ description: "When the server found that the fire was due" }),
    startedAt: Time.nullable().openapi({ description: "When its batch was started" }),
    finishedAt: Time.nullable(),
    batchId: z.string().nullable(),
    outputFile: z.string().nullable(),
    counts: RunCounts,
    usage: TokenSums,
    costUsd: z
      .number()
      .nullable()
      .openapi({ description: "What it cost; null where it did not begin, 0 for a dry run" }),
    estimatedCostUsd: z
      .number()
      .nullable()
      .openapi({ description: "Of a dry run: what it would have cost" }),
  })
  .openapi("ScheduledTaskRun");

export const NEXT_RUNS = 5;

export const SchedulePreview = z
  .object({
    schedule: z.string(),
    timezone: z.string(),
    sentence: z.string().nullable().openapi({
      description: "What the expression says; null where it cannot be put into words",
      example: "At 09:00, Monday through Friday",
    }),
    nextRuns: z.array(Time).openapi({ description: "The next five times" }),
  })
  .openapi("ScheduledTaskPreview");

export function toScheduleBody(schedule: Schedule): z.infer<typeof ScheduleBody> {
  return {
    id: schedule.id,
    name: schedule.name,
    description: schedule.description,
    schedule: schedule.expression,
    timezone: schedule.timezone,
    isActive: schedule.isActive,
    pauseReason: schedule.pauseReason,
    inputFile: schedule.inputFile,
    outputFile: schedule.outputFile,
    isDryRun: schedule.isDryRun,
    config: schedule.config,
    overlapPolicy: schedule.overlapPolicy,
    catchUpWindowSeconds: schedule.catchUpWindowMs / 1000,
    pauseAfterFailures: schedule.pauseAfterFailures,
    createdAt: toIso(schedule.createdAt),
    updatedAt: toIso(schedule.updatedAt),
    lastRun: toIsoOrNull(schedule.lastRun),
    lastRunStatus: schedule.lastRunStatus,
    nextRun: toIsoOrNull(schedule.nextRun),
    nextRuns: upcomingFires(schedule, NEXT_RUNS).map(toIso),
  };
}

export function toRunBody({ run, batch }: RunWithBatch): z.infer<typeof RunBody> {
  // While it runs its batch knows; afterwards the run does, which may outlive its batch.
  const counts = run.status === "running" && batch ? batch : run;
  const costUsd = counts.costUsd === null ? null : Number(counts.costUsd.toFixed(9));
  return {
    id: run.id,
    status: run.status,
    cause: run.cause,
    reason: run.reason ?? run.cancelReason,
    error: run.error,
    isDryRun: run.isDryRun,
    scheduledAt: toIso(run.scheduledAt),
    firedAt: toIso(run.firedAt),
    startedAt: toIsoOrNull(run.startedAt),
    finishedAt: toIsoOrNull(run.finishedAt),
    batchId: run.batch,
    outputFile: run.outputFile,
    counts: {
      total: counts.total,
      completed: counts.completed,
      failed: counts.failed,
      cancelled: counts.cancelled,
    },
    usage: {
      promptTokens: counts.promptTokens,
      completionTokens: counts.completionTokens,
      totalTokens: counts.promptTokens + counts.completionTokens,
    },
    costUsd: run.isDryRun && costUsd !== null ? 0 : costUsd,
    estimatedCostUsd: run.isDryRun ? costUsd : null,
  };
}
