import { z } from "@hono/zod-openapi";

import type { Execution } from "../../db/schema/executions.ts";
import { parsedAnswer } from "../../domain/answer-json.ts";
import { readAnswer } from "../../domain/answer.ts";
import { SERVICE_TIERS } from "../../domain/flex.ts";
import { schemaIn, withoutOutput } from "../../domain/output.ts";
import { fromProviderBody, promptOf } from "../../domain/request.ts";
import type { Endpoint } from "../../domain/request.ts";
import {
  executionId,
  isFinal,
  priorityName,
  PRIORITIES,
  TASK_STATUSES,
} from "../../domain/task.ts";
import type { Usage } from "../../domain/usage.ts";
import { parseExactOrNone } from "../../lib/exact-json.ts";
import { isJsonObject, type JsonObject, parseJson } from "../../lib/json.ts";
import type { TaskRecord, TaskSummary } from "../../store/tasks.ts";
import { Time, toIso, toIsoOrNull, orNull, FreeObject } from "../router.ts";

export const TaskStatusName = z.enum(TASK_STATUSES).openapi("TaskStatus");
export const PriorityName = z.enum(PRIORITIES).openapi("Priority");

export const ServiceTierName = z.enum(SERVICE_TIERS).openapi("ServiceTier");

const ToolCall = FreeObject.openapi("ToolCall", { description: "As the provider reports it" });

const ParsedAnswer = FreeObject.openapi("ParsedAnswer", {
  description: "With `output`: the JSON object of the answer",
});

const TokenUsage = z
  .object({
    promptTokens: z.number().int(),
    completionTokens: z.number().int(),
    totalTokens: z.number().int(),
    cachedTokens: z.number().int().optional(),
    reasoningTokens: z.number().int().optional(),
    cacheWriteTokens: z.number().int().optional(),
    estimated: z.literal(true).optional().openapi({
      description: "The provider reported no usage; the server counted the tokens of the texts",
    }),
  })
  .openapi("TokenUsage", {
    description: "Of all calls of the execution, like `costUsd`: failed attempts and repairs count",
  });

export const Result = z
  .object({
    content: z.string().nullable(),
    parsed: ParsedAnswer.optional(),
    reasoning: z.string().optional().openapi({
      description: "The model's reasoning, if the provider returns it",
    }),
    finishReason: z
      .string()
      .nullable()
      .openapi({
        description:
          "OpenAI's word for it if there is one; with `length` and `content_filter` the " +
          "answer was cut off",
      }),
    model: z.string().nullable(),
    usage: orNull(TokenUsage),
    costUsd: z
      .number()
      .nullable()
      .openapi({ description: "Null if the price of any of its calls is unknown" }),
    cached: z.boolean().openapi({
      description:
        "The answer to an identical request was reused: `usage` is that of the original call, and costs nothing again",
    }),
    toolCalls: z.array(ToolCall).optional(),
    isDryRun: z.literal(true).optional().openapi({ description: "The simulator answered" }),
    /** The provider's answer, unchanged. */
    raw: FreeObject.optional(),
  })
  .openapi("TaskResult");

export const TaskError = z
  .object({
    code: z.string().openapi({ example: "PROVIDER_RATE_LIMITED" }),
    message: z.string(),
    providerStatus: z.number().int().nullable(),
    retryable: z.boolean(),
  })
  .openapi("TaskError");

export const CancelReason = z.enum(["skipped"]).nullable().openapi({
  description: "`skipped`: it was cancelled because `onlyIf` of its batch is false for its row",
});

const Summary = {
  id: z.string().openapi({ example: "task-001" }),
  status: TaskStatusName,
  model: z.string(),
  batchId: z.string().nullable(),
  priority: PriorityName,
  attempts: z.number().int(),
  createdAt: Time,
  updatedAt: Time,
  startedAt: Time.nullable(),
  completedAt: Time.nullable(),
};

/** A task in a list, without texts, which only the task itself has. */
export const TaskListItem = z.object(Summary).openapi("TaskSummary");

export const TaskBody = z
  .object({
    ...Summary,
    prompt: z.string().nullable(),
    messages: z.array(FreeObject).nullable(),
    provider: z.string().nullable(),
    temperature: z.number().nullable(),
    maxTokens: z.number().int().nullable(),
    parameters: FreeObject,
    metadata: orNull(FreeObject),
    maxRetries: z.number().int().nullable(),
    timeoutMs: z.number().int().nullable(),
    serviceTier: orNull(ServiceTierName),
    flexDeadlineMinutes: z.number().nullable().openapi({
      description: "With `flex`: how long it waits for capacity before it takes the standard tier",
    }),
    cache: z.boolean().openapi({ description: "Answers to identical requests are reused" }),
    output: orNull(FreeObject).openapi({
      description:
        "The JSON Schema that the answer must match, also if `output` was given as names",
    }),
    maxRepairs: z.number().int().nullable(),
    escalateTo: z.string().nullable(),
    executionId: z.string().nullable().openapi({ description: "The latest execution" }),
    result: orNull(Result),
    error: orNull(TaskError),
    reason: CancelReason,
    queuedAt: Time.nullable(),
  })
  .openapi("Task");

export function toListItem({
  task,
  batchId,
}: Pick<TaskSummary, "task" | "batchId">): z.infer<typeof TaskListItem> {
  return {
    id: task.id,
    status: task.status,
    model: task.model,
    batchId: batchId || null,
    priority: priorityName(task.priority),
    attempts: task.attempts,
    createdAt: toIso(task.createdAt),
    updatedAt: toIso(task.updatedAt),
    startedAt: toIsoOrNull(task.startedAt),
    completedAt: toIsoOrNull(task.completedAt),
  };
}

export function toTaskBody(record: TaskRecord): z.infer<typeof TaskBody> {
  const { task, input, queued } = record;
  const body = objectOf(input.body);
  const { messages, temperature, maxTokens, serviceTier, parameters } = fromProviderBody(
    input.endpoint,
    withoutOutput(body, task.maxRepairs),
  );
  const execution = isFinal(task.status) ? record.execution : null;
  const run = queued?.run ?? task.run;
  return {
    ...toListItem(record),
    prompt: input.prompt ?? promptOf(body),
    messages,
    provider: execution?.provider ?? null,
    temperature,
    maxTokens,
    parameters,
    metadata: input.metadata === null ? null : objectOf(input.metadata),
    maxRetries: task.maxRetries,
    timeoutMs: task.timeoutMs,
    serviceTier,
    flexDeadlineMinutes: task.flexMinutes,
    cache: input.cacheKey !== null,
    output: task.maxRepairs === null ? null : (schemaIn(body) ?? null),
    maxRepairs: task.maxRepairs,
    escalateTo: task.escalateTo,
    executionId: run > 0 ? executionId(task.seq, run) : null,
    result: execution && toResult(input.endpoint, execution, task.maxRepairs !== null),
    error: execution && toError(execution),
    reason: reasonOf(task),
    queuedAt: toIsoOrNull(queuedAt(record)),
  };
}

export function reasonOf(
  task: Pick<TaskRecord["task"], "status" | "isSkipped">,
): z.infer<typeof CancelReason> {
  return task.status === "cancelled" && task.isSkipped ? "skipped" : null;
}

/** Tasks of a running batch count as queued from its start, before they enter the queue. */
function queuedAt({
  task,
  queued,
  execution,
  batchId,
  batchStatus,
  batchStartedAt,
}: TaskRecord): number | null {
  if (queued) return queued.queuedAt;
  if (isFinal(task.status)) return execution?.queuedAt ?? null;
  return batchId !== "" && batchStatus === "running" ? batchStartedAt : null;
}

/** The answer of an ended execution, or `null` if there is none. */
export function toResult(
  endpoint: Endpoint,
  execution: Execution,
  isChecked: boolean,
): z.infer<typeof Result> | null {
  if (execution.response === null) return null;
  const raw = parseJson(execution.response);
  const answer = readAnswer(endpoint, raw);
  if (!answer) return null;
  const isGood = isChecked && execution.status === "completed";
  const parsed = isGood ? parsedAnswer(answer.content) : null;
  return {
    content: answer.content,
    ...(answer.reasoning === null ? {} : { reasoning: answer.reasoning }),
    ...(parsed ? { parsed } : {}),
    finishReason: answer.finishReason,
    model: answer.model,
    usage: usageOf(execution, answer.usage),
    costUsd: execution.costUsd,
    cached: execution.isCached,
    ...(answer.toolCalls ? { toolCalls: answer.toolCalls.filter(isJsonObject) } : {}),
    ...(execution.isDryRun ? { isDryRun: true as const } : {}),
    ...(isJsonObject(raw) ? { raw } : {}),
  };
}

/** The usage of all calls of an execution, as its cost. That of its answer has more details if there was one call. */
function usageOf(execution: Execution, ofAnswer: Usage | null): Usage | null {
  const { promptTokens, completionTokens, cachedTokens, reasoningTokens, isEstimated } = execution;
  if (promptTokens === null) return ofAnswer;
  const completion = completionTokens ?? 0;
  if (ofAnswer?.promptTokens === promptTokens && ofAnswer.completionTokens === completion)
    return ofAnswer;
  return {
    promptTokens,
    completionTokens: completion,
    totalTokens: promptTokens + completion,
    ...(cachedTokens ? { cachedTokens } : {}),
    ...(reasoningTokens ? { reasoningTokens } : {}),
    ...(isEstimated ? { estimated: true as const } : {}),
  };
}

export function toError({ error }: Execution): z.infer<typeof TaskError> | null {
  return error === null ? null : TaskError.parse(parseJson(error));
}

function objectOf(text: string): JsonObject {
  const value = parseExactOrNone(text);
  return isJsonObject(value) ? value : {};
}
