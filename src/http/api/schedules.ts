import { z } from "@hono/zod-openapi";

import { Id } from "../../domain/task-input.ts";
import { textOf } from "../../domain/text.ts";
import * as service from "../../services/schedules.ts";
import { answerResource, resource } from "../etag.ts";
import { failures } from "../failures.ts";
import {
  flag,
  maybe,
  nameOrTime,
  PAGE_AND_LIMIT,
  pageQuery,
  Pagination,
  pagination,
  toPage,
} from "../paging.ts";
import { route } from "../route.ts";
import {
  createRouter,
  done,
  json,
  needs,
  optionalBody,
  requiredBody,
  success,
  successOnly,
  toIso,
} from "../router.ts";
import {
  CronExpression,
  NEXT_RUNS,
  RunBody,
  ScheduleBody,
  ScheduleCreation,
  SchedulePreview,
  ScheduleUpdate,
  Timezone,
  toRunBody,
  toScheduleBody,
} from "./schedule-body.ts";

const Params = z.object({
  id: Id.openapi({ param: { name: "id", in: "path" }, example: "sched-001" }),
});
const tags = ["scheduled tasks"];

const create = route({
  operationId: "createScheduledTask",
  method: "post",
  path: "/scheduled-tasks",
  tags,
  summary: "Create a scheduled task",
  description:
    "Each time it fires makes a run: the input file becomes a batch, whose results go to `outputFile`. Ids " +
    "and idempotency keys in the file hold within one run. Wrong rows, or a missing file, fail the run and " +
    "not the schedule. `INVALID_CRON_EXPRESSION` says what is wrong with `schedule`.",
  ...needs("write"),
  request: {
    body: requiredBody(ScheduleCreation),
  },
  responses: { 201: json(ScheduleBody, "The new scheduled task") },
});

const list = route({
  operationId: "listScheduledTasks",
  method: "get",
  path: "/scheduled-tasks",
  tags,
  summary: "List scheduled tasks",
  ...needs("read"),
  request: {
    query: z.strictObject({
      isActive: maybe("Only those that fire, or only those that do not").optional(),
      name: textOf({ most: 200 })
        .optional()
        .openapi({ description: "Part of the name, in any case" }),
      ...pageQuery(["createdAt", "name"]),
    }),
  },
  responses: {
    200: json(
      z
        .object({ tasks: z.array(ScheduleBody), pagination: Pagination })
        .openapi("ScheduledTaskPage"),
      "One page of scheduled tasks",
    ),
  },
});

const preview = route({
  operationId: "previewSchedule",
  method: "get",
  path: "/scheduled-tasks/preview",
  tags,
  summary: "Explain a cron expression, and when it fires next",
  description:
    "For forms, during typing: nothing is created. What is wrong with the expression or the time zone is " +
    "answered as when creating a scheduled task.",
  ...needs("read"),
  request: { query: z.strictObject({ schedule: CronExpression, timezone: Timezone.optional() }) },
  responses: { 200: json(SchedulePreview, "A sentence and the next times") },
});

const get = route({
  operationId: "getScheduledTask",
  method: "get",
  path: "/scheduled-tasks/{id}",
  tags,
  summary: "Get a scheduled task",
  ...needs("read"),
  request: { params: Params },
  responses: { ...resource(ScheduleBody, "The scheduled task"), ...failures(404) },
});

const update = route({
  operationId: "updateScheduledTask",
  method: "patch",
  path: "/scheduled-tasks/{id}",
  tags,
  summary: "Change a scheduled task",
  description:
    "A new `schedule`, `timezone` or activation counts from now. Runs that have begun are not changed.",
  ...needs("write"),
  request: {
    params: Params,
    body: optionalBody(ScheduleUpdate),
  },
  responses: { 200: json(ScheduleBody, "The scheduled task"), ...failures(404) },
});

const remove = route({
  operationId: "deleteScheduledTask",
  method: "delete",
  path: "/scheduled-tasks/{id}",
  tags,
  summary: "Delete a scheduled task and its run history",
  description:
    "Batches of its runs stay, and continue if they are running. One that was made and not started is removed.",
  ...needs("write"),
  request: { params: Params },
  responses: { 200: done("The scheduled task was deleted"), ...failures(404) },
});

const enable = route({
  operationId: "enableScheduledTask",
  method: "post",
  path: "/scheduled-tasks/{id}/enable",
  tags,
  summary: "Enable a scheduled task",
  description:
    "It fires from now on; fires that it missed while it was disabled are not made up for.",
  ...needs("write"),
  request: { params: Params },
  responses: { 200: json(ScheduleBody, "The scheduled task"), ...failures(404) },
});

const disable = route({
  operationId: "disableScheduledTask",
  method: "post",
  path: "/scheduled-tasks/{id}/disable",
  tags,
  summary: "Disable a scheduled task",
  description:
    "It no longer fires. A run that has begun continues unless `cancelRuns` is set; runs that wait for it are cancelled.",
  ...needs("write"),
  request: {
    params: Params,
    query: z.strictObject({ cancelRuns: flag("Also cancel the runs that have begun") }),
  },
  responses: { 200: json(ScheduleBody, "The scheduled task"), ...failures(404) },
});

const run = route({
  operationId: "runScheduledTask",
  method: "post",
  path: "/scheduled-tasks/{id}/run",
  tags,
  summary: "Run a scheduled task now",
  description:
    "Also one that is disabled. Its `overlapPolicy` holds: 409 where the run before has not ended and the " +
    "policy is `skip`.",
  ...needs("write"),
  request: {
    params: Params,
    body: optionalBody(
      z
        .strictObject({
          isDryRun: z.boolean().optional().openapi({
            description: "For this run; by default, the setting of the scheduled task",
          }),
        })
        .openapi("ScheduledTaskRunOptions"),
    ),
  },
  responses: { 200: json(RunBody, "The run"), ...failures(404, 409) },
});

const runs = route({
  operationId: "listScheduledTaskRuns",
  method: "get",
  path: "/scheduled-tasks/{id}/runs",
  tags,
  summary: "List the runs of a scheduled task, the latest first",
  description: "Every fire has a row, also those that were skipped or missed, with the reason.",
  ...needs("read"),
  request: {
    params: Params,
    query: z.strictObject(PAGE_AND_LIMIT),
  },
  responses: {
    200: json(
      z.object({ runs: z.array(RunBody), pagination: Pagination }).openapi("ScheduledTaskRunPage"),
      "One page of runs",
    ),
    ...failures(404),
  },
});

export const scheduleRoutes = createRouter()
  .openapi(create, async (c) => {
    const schedule = await service.createSchedule(c.var.ctx, c.var.caller, c.req.valid("json"));
    return c.json(success(c, toScheduleBody(schedule), "Scheduled task created successfully"), 201);
  })
  .openapi(list, async (c) => {
    const query = c.req.valid("query");
    const { schedules, total } = await service.listSchedules(c.var.ctx, query, toPage(query));
    return c.json(
      success(c, {
        tasks: schedules.map(toScheduleBody),
        pagination: pagination(query, total, schedules, nameOrTime(query.sort)),
      }),
      200,
    );
  })
  // Registered before the route that would treat `preview` as an id.
  .openapi(preview, async (c) => {
    const { schedule, timezone = "UTC" } = c.req.valid("query");
    const timing = { schedule, timezone };
    const { sentence, fires } = await service.previewSchedule(c.var.ctx, timing, NEXT_RUNS);
    return c.json(success(c, { ...timing, sentence, nextRuns: fires.map(toIso) }), 200);
  })
  .openapi(get, async (c) => {
    const schedule = await service.getSchedule(c.var.ctx, c.req.valid("param").id);
    return answerResource(c, toScheduleBody(schedule));
  })
  .openapi(update, async (c) => {
    const { id } = c.req.valid("param");
    const schedule = await service.updateSchedule(c.var.ctx, id, c.req.valid("json"));
    return c.json(success(c, toScheduleBody(schedule), "Scheduled task updated successfully"), 200);
  })
  .openapi(remove, async (c) => {
    await service.deleteSchedule(c.var.ctx, c.req.valid("param").id);
    return c.json(successOnly(c, "Scheduled task deleted successfully"), 200);
  })
  .openapi(enable, async (c) => {
    const { id } = c.req.valid("param");
    const schedule = await service.updateSchedule(c.var.ctx, id, { isActive: true });
    return c.json(success(c, toScheduleBody(schedule), "Scheduled task enabled"), 200);
  })
  .openapi(disable, async (c) => {
    const { id } = c.req.valid("param");
    const { cancelRuns } = c.req.valid("query");
    const schedule = await service.updateSchedule(
      c.var.ctx,
      id,
      { isActive: false },
      { cancelsRuns: cancelRuns },
    );
    return c.json(success(c, toScheduleBody(schedule), "Scheduled task disabled"), 200);
  })
  .openapi(run, async (c) => {
    const { isDryRun } = c.req.valid("json");
    const made = await service.runSchedule(c.var.ctx, c.req.valid("param").id, { isDryRun });
    return c.json(success(c, toRunBody(made), "Scheduled task run started"), 200);
  })
  .openapi(runs, async (c) => {
    const query = { ...c.req.valid("query"), sort: "run", order: "desc" as const };
    const { id } = c.req.valid("param");
    const found = await service.listScheduleRuns(c.var.ctx, id, toPage(query));
    return c.json(
      success(c, {
        runs: found.runs.map(toRunBody),
        pagination: pagination(query, found.total, found.runs, ({ run }) => [run.seq, run.seq]),
      }),
      200,
    );
  });
