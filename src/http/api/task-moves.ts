import { z } from "@hono/zod-openapi";

import { isFinal } from "../../domain/task.ts";
import * as service from "../../services/tasks.ts";
import { holdWait } from "../connections.ts";
import { failures } from "../failures.ts";
import { readWait, waitApplied } from "../headers.ts";
import { route } from "../route.ts";
import { createRouter, json, needs, optionalBody, success } from "../router.ts";
import { DryRunQuery, dryRunOf, ExecutionStarted, waitHeader } from "./run-options.ts";
import { PriorityName, TaskBody, toTaskBody } from "./task-body.ts";
import { TaskParams } from "./tasks.ts";

const ExecuteOptions = z
  .strictObject({
    isDryRun: z.boolean().optional().openapi({ description: "Let the simulator answer" }),
    priority: PriorityName.optional(),
  })
  .openapi("TaskExecuteOptions");

const execute = route({
  operationId: "executeTask",
  method: "post",
  path: "/tasks/{id}/execute",
  tags: ["tasks"],
  summary: "Execute a task",
  description:
    "A finished task is executed again; its earlier executions are kept. With `cache` it has the stored " +
    "answer again, which may be its own.",
  ...needs("write"),
  request: {
    params: TaskParams,
    headers: waitHeader("the task has ended"),
    query: z.strictObject({ isDryRun: DryRunQuery }),
    body: optionalBody(ExecuteOptions),
  },
  responses: {
    200: json(
      z.union([ExecutionStarted, TaskBody]),
      "The execution, or the task if the request waited for it",
      "Preference-Applied",
    ),
    ...failures(404, 409),
  },
});

const cancel = route({
  operationId: "cancelTask",
  method: "post",
  path: "/tasks/{id}/cancel",
  tags: ["tasks"],
  summary: "Cancel a task that has not finished",
  ...needs("write"),
  request: { params: TaskParams },
  responses: { 200: json(TaskBody, "The cancelled task"), ...failures(404, 409) },
});

export const taskMoveRoutes = createRouter()
  .openapi(execute, async (c) => {
    const { id } = c.req.valid("param");
    const { priority, ...options } = c.req.valid("json");
    const isDryRun = dryRunOf(c.req.valid("query"), options);
    const payer = c.var.caller.key;
    const { executionId } = await service.executeTask(c.var.ctx, id, { isDryRun, priority, payer });
    c.set("executionId", executionId);
    const waitMs = readWait(c);
    if (waitMs > 0) {
      const record = await holdWait(c, (signal) =>
        service.waitForTask(c.var.ctx, id, waitMs, signal),
      );
      if (record && isFinal(record.task.status)) {
        waitApplied(c);
        return c.json(success(c, toTaskBody(record), "Task executed"), 200);
      }
    }
    return c.json(
      success(c, { executionId, status: "running" as const }, "Task execution started"),
      200,
    );
  })
  .openapi(cancel, async (c) => {
    const record = await service.cancelTask(c.var.ctx, c.req.valid("param").id);
    return c.json(success(c, toTaskBody(record), "Task cancelled"), 200);
  });
