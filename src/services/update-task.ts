import type { Context } from "../context.ts";
import { SINGLE_TASKS } from "../domain/batch.ts";
import { cacheKeyOf } from "../domain/cache-key.ts";
import { escalationFrom } from "../domain/compose.ts";
import { flexMinutesOf, laneOfModel } from "../domain/flex.ts";
import { type AnswerFields, DEFAULT_REPAIRS, schemaIn, withoutOutput } from "../domain/output.ts";
import { fromProviderBody, promptOf } from "../domain/request.ts";
import { TaskInput } from "../domain/task-input.ts";
import { priorityRank } from "../domain/task.ts";
import { AppError, invalid } from "../errors.ts";
import { parseExactOrNone } from "../lib/exact-json.ts";
import { isJsonObject, type JsonObject } from "../lib/json.ts";
import { issuesOf } from "../lib/zod-issues.ts";
import { changeTask } from "../store/task-moves.ts";
import type { TaskRecord } from "../store/tasks.ts";
import { requireAnswerFields } from "./answer-fields.ts";
import { attachUploadsTo } from "./attached-uploads.ts";
import { requireSupportedModel } from "./models.ts";
import { writeStored } from "./stored-bytes.ts";
import { composeTask, getTask } from "./tasks.ts";
import { timesOf } from "./time.ts";

/** The fields to change; `null` removes one. `metadata` is merged (RFC 7396), all other fields are replaced. */
export type TaskPatch = {
  [K in keyof Omit<TaskInput, "id" | "idempotencyKey">]?: TaskInput[K] | null;
} & { [K in keyof AnswerFields]?: AnswerFields[K] | null };

/** How often the change is retried when others change the task at the same time. */
const MOST_TRIES = 10;

/**
 * Changes a task that is not running. If its request changes, a finished task becomes pending again. A new prompt
 * also replaces the text of the last user message if that was the old prompt, because the messages are what is sent.
 */
export async function updateTask(ctx: Context, id: string, patch: TaskPatch): Promise<TaskRecord> {
  for (let tries = 0; tries < MOST_TRIES; tries++) {
    const record = await getTask(ctx, id);
    if (record.task.status === "running")
      throw new AppError("TASK_RUNNING", `Task ${id} is running; cancel it first`);
    const next = await apply(ctx, record, patch);
    await requireAnswerFields(ctx, patch, "");
    if (patch.model) await requireSupportedModel(ctx, next.model);
    const change = changeTask({ id, ...next, ...timesOf(ctx) });
    const written = writeStored(ctx, record.task.apiKey ?? 0, change);
    if (record.queued) {
      const { flexMinutes } = next.settings;
      const model = laneOfModel(next.model, flexMinutes !== null && !record.queued.isDryRun);
      ctx.signals.emit("queued", { lane: record.queued.lane, model });
    }
    if ((await written).changed.rows.length === 0) continue;
    // In a running batch, a task that became pending must run.
    if (record.task.batch !== SINGLE_TASKS) ctx.signals.emit("batch", undefined);
    return getTask(ctx, id);
  }
  throw new AppError("TASK_RUNNING", `Task ${id} is being changed by others; try again`);
}

async function apply(ctx: Context, { task, input }: TaskRecord, patch: TaskPatch) {
  const before = {
    body: input.body,
    prompt: input.prompt,
    metadata: input.metadata,
    cacheKey: input.cacheKey,
  };
  const body = objectOf(input.body);
  const asksForMore = REQUEST_FIELDS.some((field) => field in patch);
  if (asksForMore && input.endpoint !== "/v1/chat/completions")
    throw invalid([
      {
        path: "",
        message: `a task for ${input.endpoint} can only change its metadata, priority and limits`,
      },
    ]);
  const minutes =
    patch.flexDeadlineMinutes === undefined ? task.flexMinutes : patch.flexDeadlineMinutes;
  const answers = answerFieldsOf(task, body, patch);
  const changed = asksForMore
    ? await compose(ctx, { ...merge(body, input.prompt, patch, task), ...answers })
    : { model: task.model, body, prompt: input.prompt };
  const isChecked = answers.output !== undefined;
  const isReusable = patch.cache === undefined ? input.cacheKey !== null : patch.cache;
  const text = asksForMore ? JSON.stringify(changed.body) : input.body;
  return {
    before,
    isOther: text !== input.body || isChecked !== (task.maxRepairs !== null),
    after: {
      body: text,
      prompt: changed.prompt,
      metadata: mergeMetadata(input.metadata, patch.metadata),
      cacheKey: isReusable ? cacheKeyOf(input.endpoint, changed.body, isChecked) : null,
    },
    model: changed.model,
    settingsBefore: task,
    settings: {
      priority:
        patch.priority === undefined ? task.priority : priorityRank(patch.priority ?? "normal"),
      maxRetries: patch.maxRetries === undefined ? task.maxRetries : patch.maxRetries,
      timeoutMs: patch.timeoutMs === undefined ? task.timeoutMs : patch.timeoutMs,
      flexMinutes: flexMinutesOf(changed.body, minutes),
      maxRepairs: isChecked ? (answers.maxRepairs ?? DEFAULT_REPAIRS) : null,
      escalateTo: escalationFrom(changed.model, answers),
    },
  };
}

async function compose(ctx: Context, input: Parameters<typeof composeTask>[1]) {
  const composed = composeTask(ctx, input);
  return { ...composed, body: await attachUploadsTo(ctx, composed.body) };
}

/** The fields that check the answer, with the patch applied. */
function answerFieldsOf(
  { maxRepairs, escalateTo }: TaskRecord["task"],
  body: JsonObject,
  patch: TaskPatch,
): AnswerFields {
  const now = { output: maxRepairs === null ? null : schemaIn(body), maxRepairs, escalateTo };
  const after = <K extends keyof AnswerFields>(name: K) =>
    (patch[name] === undefined ? now[name] : patch[name]) ?? undefined;
  return {
    output: after("output"),
    maxRepairs: after("maxRepairs"),
    escalateTo: after("escalateTo"),
  } as AnswerFields;
}

const REQUEST_FIELDS = [
  "prompt",
  "messages",
  "model",
  "temperature",
  "maxTokens",
  "serviceTier",
  "parameters",
  "output",
] as const;

/** The task's input with the patch applied, as if it were a new task. */
function merge(
  body: JsonObject,
  storedPrompt: string | null,
  patch: TaskPatch,
  { maxRepairs }: TaskRecord["task"],
): TaskInput {
  const now = fromProviderBody("/v1/chat/completions", withoutOutput(body, maxRepairs));
  const derived = promptOf(body);
  const prompt = patch.prompt === undefined ? (storedPrompt ?? derived) : patch.prompt;
  const messages =
    patch.messages === undefined
      ? storedPrompt === null && derived !== null
        ? null
        : replacePrompt(now.messages, storedPrompt, patch.prompt)
      : patch.messages;
  const parsed = TaskInput.safeParse(
    withoutNulls({
      prompt,
      messages,
      model: patch.model === undefined ? now.model : patch.model,
      temperature: patch.temperature === undefined ? now.temperature : patch.temperature,
      maxTokens: patch.maxTokens === undefined ? now.maxTokens : patch.maxTokens,
      serviceTier: patch.serviceTier === undefined ? now.serviceTier : patch.serviceTier,
      parameters: patch.parameters === undefined ? now.parameters : patch.parameters,
    }),
  );
  if (parsed.success) return parsed.data;
  // Requests of OpenAI batch lines are stored unchanged, and may have parts without a field here.
  throw invalid(
    issuesOf(parsed.error.issues, { whole: "the request" }).map(({ path, message }) => ({
      path,
      message: `${message} (in the stored request)`,
    })),
  );
}

function replacePrompt(
  messages: JsonObject[] | null,
  before: string | null,
  after: string | null | undefined,
): JsonObject[] | null {
  const last = messages?.findLastIndex(({ role }) => role === "user") ?? -1;
  const message = messages?.[last];
  if (!messages || !message || typeof after !== "string" || before === null) return messages;
  const { content = null } = message;
  if (content === before) return messages.with(last, { ...message, content: after });
  if (!Array.isArray(content)) return messages;
  const old = content.findIndex(
    (part) => isJsonObject(part) && part["type"] === "text" && part["text"] === before,
  );
  if (old < 0) return messages;
  const parts = content.with(old, { type: "text", text: after });
  return messages.with(last, { ...message, content: parts });
}

function mergeMetadata(stored: string | null, patch: TaskPatch["metadata"]): string | null {
  if (patch === undefined) return stored;
  if (patch === null) return null;
  const merged = withoutNulls({ ...objectOf(stored ?? "{}"), ...patch });
  return JSON.stringify(merged);
}

function withoutNulls(object: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(object).filter(([, value]) => value !== null && value !== undefined),
  );
}

function objectOf(text: string): JsonObject {
  const value = parseExactOrNone(text);
  return isJsonObject(value) ? value : {};
}
