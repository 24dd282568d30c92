import { z } from "zod";

import { ScheduleFields } from "../../domain/schedule-input.ts";
import { BatchConfig, Id } from "../../domain/task-input.ts";
import { withoutNulls } from "../cut.ts";
import { pathOf } from "../rest.ts";
import { defineTool } from "../tool.ts";

type Schedule = {
  id: string;
  name: string;
  schedule: string;
  timezone: string;
  isActive: boolean;
  pauseReason: string | null;
  inputFile: string;
  outputFile: string | null;
  isDryRun: boolean;
  lastRun: string | null;
  lastRunStatus: string | null;
  nextRuns: string[];
};

/** A schedule without its configuration, which can be as long as a prompt. */
function describe(one: Schedule) {
  const { id, name, schedule, timezone, isActive, pauseReason, inputFile, outputFile } = one;
  return withoutNulls({
    scheduleId: id,
    name,
    schedule,
    timezone,
    isActive,
    pauseReason,
    inputFile,
    outputFile,
    isDryRun: one.isDryRun,
    lastRun: one.lastRun,
    lastRunStatus: one.lastRunStatus,
    nextRun: one.nextRuns[0],
  });
}

type Run = {
  id: string;
  status: string;
  batchId: string | null;
  reason: string | null;
  scheduledAt: string;
  finishedAt: string | null;
  costUsd: number | null;
};
type RunPage = { runs: Run[]; pagination: { total: number; nextCursor: string | null } };

function describeRun({ id, status, batchId, reason, scheduledAt, finishedAt, costUsd }: Run) {
  return withoutNulls({ runId: id, status, batchId, reason, scheduledAt, finishedAt, costUsd });
}

const ScheduleId = Id.describe("The id of a schedule");

export const listSchedules = defineTool({
  name: "list_schedules",
  title: "List schedules, or the runs of one",
  description:
    "Files that run by the clock, when each runs next, and what became of its last run. With `scheduleId` the runs of " +
    "that schedule, the latest first, with the batch of each.",
  annotations: { readOnlyHint: true },
  own: {
    scheduleId: ScheduleId.optional(),
    limit: z.number().int().min(1).max(100).default(20).describe("How many (20 unless given)"),
    cursor: z.string().max(500).optional().describe("`nextCursor` of the page before"),
  },
  passed: {},
  async run({ own: { scheduleId, limit, cursor } }, { rest, signal }) {
    const query = { limit, cursor };
    if (scheduleId !== undefined) {
      const path = pathOf("scheduled-tasks", scheduleId, "/runs");
      const { runs, pagination } = await rest.call<RunPage>(path, { query, signal });
      const { total, nextCursor } = pagination;
      return withoutNulls({ total, runs: runs.map(describeRun), nextCursor });
    }
    const { tasks, pagination } = await rest.call<{
      tasks: Schedule[];
      pagination: { total: number; nextCursor: string | null };
    }>("/scheduled-tasks", { query, signal });
    const { total, nextCursor } = pagination;
    return withoutNulls({ total, schedules: tasks.map(describe), nextCursor });
  },
});

/** The fields that schedules usually need; the API also accepts the others. */
const { model, systemPrompt, promptTemplate, output, maxCostUsd, maxConcurrency } =
  BatchConfig.shape;

export const createSchedule = defineTool({
  name: "create_schedule",
  title: "Run a file by the clock",
  description:
    "Makes a schedule: at each of its times the input file is read and becomes a batch, whose answers go to the output " +
    "file. Each run costs what its rows cost, until somebody ends the schedule.",
  annotations: { readOnlyHint: false, destructiveHint: false, openWorldHint: true },
  own: {},
  passed: {
    name: ScheduleFields.name,
    schedule: ScheduleFields.schedule,
    timezone: ScheduleFields.timezone.optional(),
    inputFile: ScheduleFields.inputFile,
    outputFile: ScheduleFields.outputFile.optional(),
    overlapPolicy: ScheduleFields.overlapPolicy.optional(),
    isDryRun: ScheduleFields.isDryRun.optional(),
    isActive: ScheduleFields.isActive.optional(),
    config: z
      .looseObject({ model, systemPrompt, promptTemplate, output, maxCostUsd, maxConcurrency })
      .optional()
      .describe("As of `run_batch`; its further fields hold here, too"),
  },
  async run({ passed }, { rest, signal }) {
    const made = await rest.call<Schedule>("/scheduled-tasks", {
      method: "POST",
      body: passed,
      signal,
    });
    return describe(made);
  },
});

export const runSchedule = defineTool({
  name: "run_schedule",
  title: "Run a schedule now",
  description:
    "Runs the file of a schedule now, beside its times. The run has a batch a moment later, which `list_schedules` with " +
    "the `scheduleId` names. Costs what its rows cost.",
  annotations: { readOnlyHint: false, destructiveHint: false, openWorldHint: true },
  own: { scheduleId: ScheduleId },
  passed: { isDryRun: z.boolean().optional().describe("Let the simulator answer") },
  async run({ own: { scheduleId }, passed }, { rest, signal }) {
    const path = pathOf("scheduled-tasks", scheduleId, "/run");
    return describeRun(await rest.call<Run>(path, { method: "POST", body: passed, signal }));
  },
});
