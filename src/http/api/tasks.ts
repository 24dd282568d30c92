import { z } from "@hono/zod-openapi";

import { AnswerFields } from "../../domain/output.ts";
import { Id, IdempotencyKey, Message, RequestFields } from "../../domain/task-input.ts";
import { isFinal } from "../../domain/task.ts";
import { requireBudget } from "../../services/budgets.ts";
import { deleteTasksWhere } from "../../services/delete-tasks.ts";
import { listExecutions } from "../../services/executions.ts";
import * as service from "../../services/tasks.ts";
import { updateTask } from "../../services/update-task.ts";
import { holdWait } from "../connections.ts";
import { answerResource, resource } from "../etag.ts";
import { failures } from "../failures.ts";
import { idempotencyKeyOf, readWait, waitApplied } from "../headers.ts";
import { flag, Moment, pageQuery, Pagination, pagination, toPage } from "../paging.ts";
import { route } from "../route.ts";
import {
  createRouter,
  done,
  json,
  needs,
  optionalBody,
  orNull,
  requiredBody,
  success,
  successOnly,
  Time,
  toIso,
} from "../router.ts";
import { ExecutionBody, toExecutionBody } from "./executions.ts";
import { IdempotencyHeader, waitHeader } from "./run-options.ts";
import {
  PriorityName,
  TaskBody,
  ServiceTierName,
  TaskListItem,
  TaskStatusName,
  toListItem,
  toTaskBody,
} from "./task-body.ts";

const TaskId = Id.openapi({ example: "task-001" });
export const TaskParams = z.object({ id: TaskId.openapi({ param: { name: "id", in: "path" } }) });

const WaitHeader = waitHeader("the task has ended");

const TaskCreation = z
  .strictObject({
    id: TaskId.optional(),
    ...RequestFields,
    ...AnswerFields,
    batchId: Id.optional(),
    idempotencyKey: IdempotencyKey.optional(),
  })
  .openapi("TaskCreation", {
    example: {
      id: "task-001",
      prompt: "Write a haiku about programming",
      model: "gpt-4",
      temperature: 0.7,
      maxTokens: 1000,
      metadata: { category: "creative" },
    },
  });

const CreatedTask = z
  .object({
    id: z.string(),
    status: TaskStatusName,
    createdAt: Time,
    executionId: z.string().optional(),
  })
  .openapi("CreatedTask");

const create = route({
  operationId: "createTask",
  method: "post",
  path: "/tasks",
  tags: ["tasks"],
  summary: "Create a task",
  description:
    "`messages` is what is sent; `prompt` alone becomes one user message. With `?execute=true` the " +
    "task is queued in the same commit, and `Prefer: wait=N` holds the answer until it has ended.",
  ...needs("write"),
  request: {
    headers: IdempotencyHeader.extend(WaitHeader.shape),
    query: z.strictObject({
      execute: flag("Queue it at once"),
      isDryRun: flag("With `execute`: let the simulator answer"),
    }),
    body: requiredBody(TaskCreation),
  },
  responses: {
    201: json(
      z.union([CreatedTask, TaskBody]),
      "The new task; with all fields if the request waited for it",
      "Preference-Applied",
    ),
    200: json(
      z.union([CreatedTask, TaskBody]),
      "The task that the idempotency key made before",
      "Idempotency-Replayed",
      "Preference-Applied",
    ),
    ...failures(404, 409),
  },
});

const get = route({
  operationId: "getTask",
  method: "get",
  path: "/tasks/{id}",
  tags: ["tasks"],
  summary: "Get a task",
  ...needs("read"),
  request: { params: TaskParams },
  responses: { ...resource(TaskBody, "The task"), ...failures(404) },
});

const list = route({
  operationId: "listTasks",
  method: "get",
  path: "/tasks",
  tags: ["tasks"],
  summary: "List tasks",
  description: "Within a batch, tasks are in the order of its input.",
  ...needs("read"),
  request: {
    query: z.strictObject({
      status: TaskStatusName.optional(),
      batchId: Id.optional(),
      createdAfter: Moment.optional(),
      createdBefore: Moment.optional(),
      ...pageQuery(["createdAt", "id"]),
    }),
  },
  responses: {
    200: json(
      z.object({ tasks: z.array(TaskListItem), pagination: Pagination }).openapi("TaskPage"),
      "One page of tasks",
    ),
  },
});

const nullable = {
  prompt: RequestFields.prompt.unwrap().nullish(),
  messages: z.array(Message).min(1).max(10_000).nullish(),
  model: RequestFields.model.unwrap().nullish(),
  temperature: RequestFields.temperature.unwrap().nullish(),
  maxTokens: RequestFields.maxTokens.unwrap().nullish(),
  parameters: RequestFields.parameters.unwrap().nullish(),
  metadata: RequestFields.metadata.unwrap().nullish(),
  priority: orNull(PriorityName).optional(),
  maxRetries: RequestFields.maxRetries.unwrap().nullish(),
  timeoutMs: RequestFields.timeoutMs.unwrap().nullish(),
  serviceTier: orNull(ServiceTierName).optional(),
  flexDeadlineMinutes: RequestFields.flexDeadlineMinutes.unwrap().nullish(),
  cache: RequestFields.cache.unwrap().nullish(),
  output: AnswerFields.output.unwrap().nullish(),
  maxRepairs: AnswerFields.maxRepairs.unwrap().nullish(),
  escalateTo: AnswerFields.escalateTo.unwrap().nullish(),
};

const patch = route({
  operationId: "updateTask",
  method: "patch",
  path: "/tasks/{id}",
  tags: ["tasks"],
  summary: "Change a task that is not running",
  description:
    "`null` removes a field, `metadata` is merged, everything else replaced. A finished task whose " +
    "request changes is pending again. A new `prompt` also replaces the text of the last user " +
    "message where that was the old prompt.",
  ...needs("write"),
  request: {
    params: TaskParams,
    body: optionalBody(z.strictObject(nullable).openapi("TaskUpdate")),
  },
  responses: { 200: json(TaskBody, "The changed task"), ...failures(404, 409) },
});

const remove = route({
  operationId: "deleteTask",
  method: "delete",
  path: "/tasks/{id}",
  tags: ["tasks"],
  summary: "Delete a task and its executions",
  ...needs("write"),
  request: {
    params: TaskParams,
    query: z.strictObject({
      force: flag("Delete it even if it is running; it is cancelled first"),
    }),
  },
  responses: { 200: done("The task was deleted"), ...failures(404, 409) },
});

const removeMany = route({
  operationId: "deleteTasks",
  method: "delete",
  path: "/tasks",
  tags: ["tasks"],
  summary: "Delete the tasks of a status that were created before a time",
  description:
    "With their executions and results, the oldest first, for five seconds at most: if `more` is true, send " +
    "the request again. Running tasks stay.",
  ...needs("write"),
  request: {
    query: z.strictObject({
      status: z.enum(["pending", "completed", "failed", "cancelled"]),
      createdBefore: Moment,
    }),
  },
  responses: {
    200: json(
      z.object({ deleted: z.number().int(), more: z.boolean() }).openapi("DeletedTasks"),
      "How many were deleted",
    ),
  },
});

const executions = route({
  operationId: "listTaskExecutions",
  method: "get",
  path: "/tasks/{id}/executions",
  tags: ["tasks"],
  summary: "List a task's executions, the oldest first",
  ...needs("read"),
  request: { params: TaskParams },
  responses: {
    200: json(
      z.object({ executions: z.array(ExecutionBody) }).openapi("ExecutionList"),
      "All executions with their attempts",
    ),
    ...failures(404),
  },
});

export const taskRoutes = createRouter()
  .openapi(create, async (c) => {
    const { execute: shouldExecute, isDryRun } = c.req.valid("query");
    const input = c.req.valid("json");
    if (!shouldExecute || isDryRun) await requireBudget(c.var.ctx, c.var.caller.key);
    const task = await service.createTask(
      c.var.ctx,
      c.var.caller,
      { ...input, idempotencyKey: idempotencyKeyOf(c, input.idempotencyKey) },
      shouldExecute ? { isDryRun, priority: undefined } : null,
    );
    if (task.isReplay) c.header("Idempotency-Replayed", "true");
    const status = task.isReplay ? 200 : 201;
    if (task.executionId !== null) c.set("executionId", task.executionId);
    const waitMs = readWait(c);
    if (task.executionId !== null && waitMs > 0) {
      const record = await holdWait(c, (signal) =>
        service.waitForTask(c.var.ctx, task.id, waitMs, signal),
      );
      if (record && isFinal(record.task.status)) {
        waitApplied(c);
        return c.json(success(c, toTaskBody(record), "Task created and executed"), status);
      }
    }
    const { executionId } = task;
    const data = { id: task.id, status: task.status, createdAt: toIso(task.createdAt) };
    return c.json(
      success(
        c,
        executionId === null ? data : { ...data, executionId },
        "Task created successfully",
      ),
      status,
    );
  })
  .openapi(get, async (c) => {
    const record = await service.getTask(c.var.ctx, c.req.valid("param").id);
    return answerResource(c, toTaskBody(record));
  })
  .openapi(removeMany, async (c) => {
    const { deleted, isMore } = await deleteTasksWhere(c.var.ctx, c.req.valid("query"));
    return c.json(success(c, { deleted, more: isMore }), 200);
  })
  .openapi(list, async (c) => {
    const query = c.req.valid("query");
    const { tasks, total } = await service.listTasks(c.var.ctx, query, toPage(query));
    return c.json(
      success(c, {
        tasks: tasks.map(toListItem),
        pagination: pagination(query, total, tasks, ({ sortValue, task }) => [sortValue, task.seq]),
      }),
      200,
    );
  })
  .openapi(patch, async (c) => {
    const record = await updateTask(c.var.ctx, c.req.valid("param").id, c.req.valid("json"));
    return c.json(success(c, toTaskBody(record), "Task updated successfully"), 200);
  })
  .openapi(remove, async (c) => {
    await service.deleteTask(c.var.ctx, c.req.valid("param").id, c.req.valid("query").force);
    return c.json(successOnly(c, "Task deleted successfully"), 200);
  })
  .openapi(executions, async (c) => {
    const records = await listExecutions(c.var.ctx, c.req.valid("param").id);
    return c.json(success(c, { executions: records.map(toExecutionBody) }), 200);
  });
