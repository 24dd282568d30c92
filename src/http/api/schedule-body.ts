import { z } from "@hono/zod-openapi";

import { OverlapPolicy, ScheduleFields } from "../../domain/schedule-input.ts";
import { RUN_CAUSES, RUN_STATUSES } from "../../domain/schedule.ts";
import { upcomingFires } from "../../services/schedules.ts";
import type { RunWithBatch } from "../../store/schedule-runs.ts";
import type { Schedule } from "../../store/schedules.ts";
import { Time, toIso, toIsoOrNull, orNull, FreeObject, TokenSums, orElse } from "../router.ts";

export const CronExpression = ScheduleFields.schedule;
export const Timezone = ScheduleFields.timezone;

export const ScheduleCreation = z
  .strictObject({
    ...ScheduleFields,
    description: ScheduleFields.description.optional(),
    timezone: orElse(ScheduleFields.timezone, "UTC"),
    outputFile: ScheduleFields.outputFile.optional(),
    isDryRun: orElse(ScheduleFields.isDryRun, false),
    isActive: orElse(ScheduleFields.isActive, true),
    config: orElse(ScheduleFields.config, {}),
    overlapPolicy: orElse(ScheduleFields.overlapPolicy, "skip"),
    catchUpWindowSeconds: orElse(ScheduleFields.catchUpWindowSeconds, 3600),
    pauseAfterFailures: ScheduleFields.pauseAfterFailures.optional(),
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
  .strictObject(ScheduleFields)
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
      .openapi({ description: "Why the server paused it; null otherwise" }),
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
    description: "The error of a failed run; wrong rows are in its `details`",
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
      description: "`catch_up`: it makes up for missed fires; `manual`: a client requested it",
    }),
    reason: z
      .string()
      .nullable()
      .openapi({ description: "Why it was skipped, missed, cancelled or failed" }),
    error: orNull(RunError),
    isDryRun: z.boolean(),
    scheduledAt: Time,
    firedAt: Time.openapi({ description: "When the server detected that the fire was due" }),
    startedAt: Time.nullable().openapi({ description: "When its batch was started" }),
    finishedAt: Time.nullable(),
    batchId: z.string().nullable(),
    outputFile: z.string().nullable(),
    counts: RunCounts,
    usage: TokenSums,
    costUsd: z
      .number()
      .nullable()
      .openapi({ description: "Its cost; null if it did not begin, 0 for a dry run" }),
    estimatedCostUsd: z
      .number()
      .nullable()
      .openapi({ description: "For a dry run: what it would have cost" }),
  })
  .openapi("ScheduledTaskRun");

export const NEXT_RUNS = 5;

export const SchedulePreview = z
  .object({
    schedule: z.string(),
    timezone: z.string(),
    sentence: z.string().nullable().openapi({
      description: "The expression in words; null if it cannot be described",
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
  // While it is running its batch has the counts; afterwards the run has them, because it may outlive its batch.
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
