import { z } from "@hono/zod-openapi";

import { readLaneName } from "../../domain/flex.ts";
import { executionId, type FinalStatus } from "../../domain/task.ts";
import type { Json } from "../../lib/json.ts";
import { isJsonObject, parseJson } from "../../lib/json.ts";
import { type ExecutionRecord, getExecution } from "../../services/executions.ts";
import { answerResource, resource } from "../etag.ts";
import { failures } from "../failures.ts";
import { route } from "../route.ts";
import { createRouter, needs, Time, toIso, toIsoOrNull, orNull } from "../router.ts";
import { Result, TaskError, TaskStatusName, toError, toResult } from "./task-body.ts";

const Attempt = z
  .object({
    attempt: z.number().int(),
    startedAt: Time.nullable(),
    endedAt: Time.nullable(),
    outcome: z
      .enum(["running", "completed", "failed", "cancelled", "interrupted", "throttled"])
      .openapi({
        description:
          "`interrupted`: the process that made the call ended before it was answered, and after five of " +
          "these (`MAX_INTERRUPTIONS`) the task fails as `INTERRUPTED_TOO_OFTEN`; `throttled`: the " +
          "provider asked to come later, or was not back yet when it was tried again, which counts as no attempt",
      }),
    code: z.string().nullable(),
    message: z.string().nullable(),
    providerStatus: z.number().int().nullable(),
    requestId: z
      .string()
      .nullable()
      .openapi({ description: "The provider's own id of the request" }),
    provider: z.string().nullable(),
    model: z.string().nullable().openapi({
      description:
        "The model that was called or answered; a fallback model differs from the requested one",
    }),
  })
  .openapi("ExecutionAttempt");

export const ExecutionBody = z
  .object({
    id: z.string(),
    taskId: z.string(),
    status: TaskStatusName,
    isDryRun: z.boolean(),
    cached: z.boolean().openapi({
      description:
        "No call was made: it has the answer to an identical request, with `provider`, `model` and " +
        "the provider's `requestId` of the call that gave it",
    }),
    provider: z.string().nullable(),
    model: z.string().nullable(),
    fallbackFrom: z.string().nullable().openapi({
      description: "The requested model, if a fallback model was called instead",
    }),
    escalatedFrom: z.string().nullable().openapi({
      description:
        "The model that was called first, if its answer was not good enough and `escalateTo` was called",
    }),
    repaired: z.boolean().openapi({
      description:
        "The answer matches the schema because the model was asked again with what was wrong with an earlier one",
    }),
    adjusted: z.array(z.string()).openapi({
      description: "Parts of the request that the provider refused, so it was sent without them",
      example: ["max_tokens sent as max_completion_tokens"],
    }),
    queuedAt: Time,
    startedAt: Time.nullable(),
    completedAt: Time.nullable(),
    attempts: z.array(Attempt),
    result: orNull(Result),
    error: orNull(TaskError),
  })
  .openapi("Execution");

const get = route({
  operationId: "getExecution",
  method: "get",
  path: "/executions/{id}",
  tags: ["tasks"],
  summary: "Get an execution",
  ...needs("read"),
  request: { params: z.object({ id: z.string().max(100) }) },
  responses: { ...resource(ExecutionBody, "The execution with its attempts"), ...failures(404) },
});

export const executionRoutes = createRouter().openapi(get, async (c) => {
  const record = await getExecution(c.var.ctx, c.req.valid("param").id);
  return answerResource(c, toExecutionBody(record));
});

export function toExecutionBody(record: ExecutionRecord): z.infer<typeof ExecutionBody> {
  const { task, ended, queued } = record;
  const row = ended ?? queued;
  if (!row) throw new Error("an execution is ended or queued");
  const started = queued?.owner ? ("running" as const) : ("pending" as const);
  return {
    id: executionId(task.seq, row.run),
    taskId: task.id,
    status: ended?.status ?? started,
    isDryRun: row.isDryRun,
    cached: ended?.isCached ?? false,
    provider: ended?.provider ?? null,
    model: ended?.model ?? (queued && readLaneName(queued.model).model) ?? null,
    fallbackFrom: ended?.fallbackFrom ?? null,
    escalatedFrom: ended?.escalatedFrom ?? null,
    repaired: ended?.isRepaired ?? false,
    adjusted: toTexts(ended?.adjusted ?? null),
    queuedAt: toIso(row.queuedAt),
    startedAt: toIsoOrNull(row.startedAt),
    completedAt: toIsoOrNull(ended?.completedAt ?? null),
    attempts: toAttempts(record),
    result: ended && toResult(task.endpoint, ended, task.maxRepairs !== null),
    error: ended && toError(ended),
  };
}

function toTexts(json: string | null): string[] {
  const value = json === null ? [] : parseJson(json);
  return Array.isArray(value) ? value.map(String) : [];
}

/** The recorded attempts, and the last one, which is part of the execution itself. */
function toAttempts({ ended, queued }: ExecutionRecord): z.infer<typeof Attempt>[] {
  const log = parseJson((ended ?? queued)?.log ?? "[]");
  const earlier = (Array.isArray(log) ? log : []).map(toAttempt);
  if (queued?.owner)
    return [...earlier, lastAttempt(queued.attempt, queued.claimedAt, null, "running")];
  const made = earlier.filter(({ outcome }) => outcome !== "throttled").length;
  if (!ended || ended.attempts === made) return earlier;
  const last = lastAttempt(ended.attempts, ended.claimedAt, ended.completedAt, ended.status);
  const error = toError(ended);
  return [
    ...earlier,
    {
      ...last,
      provider: ended.provider,
      model: ended.model,
      requestId: ended.requestId,
      code: error?.code ?? null,
      message: error?.message ?? null,
      providerStatus: error?.providerStatus ?? null,
    },
  ];
}

function lastAttempt(
  attempt: number,
  startedAt: number | null,
  endedAt: number | null,
  outcome: "running" | FinalStatus,
): z.infer<typeof Attempt> {
  return {
    attempt,
    startedAt: toIsoOrNull(startedAt),
    endedAt: toIsoOrNull(endedAt),
    outcome,
    code: null,
    message: null,
    providerStatus: null,
    requestId: null,
    provider: null,
    model: null,
  };
}

const OUTCOMES_ON_RECORD = ["interrupted", "throttled"] as const;

function toAttempt(entry: Json): z.infer<typeof Attempt> {
  const reported = isJsonObject(entry) ? entry : {};
  const text = (key: string) => (typeof reported[key] === "string" ? reported[key] : null);
  const number = (key: string) => (typeof reported[key] === "number" ? reported[key] : null);
  return {
    attempt: number("attempt") ?? 0,
    startedAt: toIsoOrNull(number("startedAt")),
    endedAt: toIsoOrNull(number("endedAt")),
    outcome: OUTCOMES_ON_RECORD.find((outcome) => outcome === reported["outcome"]) ?? "failed",
    code: text("code"),
    message: text("message"),
    providerStatus: number("providerStatus"),
    requestId: text("requestId"),
    provider: text("provider"),
    model: text("model"),
  };
}
