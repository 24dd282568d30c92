import type { Context } from "../context.ts";
import { cacheKeyOf } from "../domain/cache-key.ts";
import {
  type Composed,
  ComposeError,
  type Composer,
  escalationFrom,
  unknownVariables,
} from "../domain/compose.ts";
import type { Condition } from "../domain/condition.ts";
import { flexMinutesOf } from "../domain/flex.ts";
import type { ProviderLine } from "../domain/jsonl-line.ts";
import type { OpenAiTerms } from "../domain/openai-batch.ts";
import { isInBackground, NOT_IN_BACKGROUND, usualModel } from "../domain/request.ts";
import { type BatchConfig, TaskInput } from "../domain/task-input.ts";
import { priorityRank } from "../domain/task.ts";
import { ModelName } from "../domain/text.ts";
import { mayReferToUploads, readUploadRef } from "../domain/upload-refs.ts";
import { sha256Hex } from "../lib/hash.ts";
import { canonicalJson, type JsonObject } from "../lib/json.ts";
import { rowIssuesOf } from "../lib/zod-issues.ts";
import type { NewRow } from "../store/new-batch.ts";
import type { BaseAnswers } from "./base-answers.ts";

/** `code`: the code in OpenAI's Batch API. */
type FieldIssue = { field: string; message: string; code?: string };

/** One entry of a batch's input, ready to be stored, or what is wrong with it. `row` counts from 1. */
export type PreparedRow = {
  row: number;
  value: NewRow | null;
  issues: FieldIssue[];
  /** Its approximate size in the database, without what is known of its uploads. */
  bytes?: number;
  /** The `custom_id` of a line, if it must be unique. */
  customId?: string;
  /** Set if its request refers to uploads; `complete` receives the request with the facts about them. */
  uploads?: {
    body: JsonObject;
    complete: (body: JsonObject) => void;
    /** The field of the row that a reference comes from. */
    fieldOf: (url: string) => string;
  };
};

/** Rows that are made one at a time, to save memory. A portion must be consumed before the next one is requested. */
export type RowPortion = Iterable<PreparedRow>;

/**
 * Reads the input from its start; called once for each pass. Rows come in portions, because awaiting each one would
 * take longer than making it.
 */
export type RowSource = () => AsyncIterable<RowPortion> | Iterable<RowPortion>;

/** `ids`: the row `1` of batch `b` is the task `b.1`. It may be set while rows are checked. */
export type RowScope = { ids: boolean; keys: boolean };

/** The facts about the batch that preparing a row needs. */
export type RowContext = {
  batchId: string;
  config: BatchConfig;
  compose: Composer;
  /** Rows for which this is false are skipped. */
  onlyIf: Condition | null;
  defaultModel: Context["config"]["defaultModel"];
  /**
   * Whether ids and keys of the rows are unique only within the batch, so that the same file can be the input of many
   * batches.
   */
  scope: RowScope;
  /** The answers of its `baseBatch`. */
  base: BaseAnswers | null;
  /** Set if the rows must be lines in the format of OpenAI's Batch API. */
  openAi: OpenAiTerms | null;
  /** The columns of `config.attachments` that some row has. */
  seenColumns: Set<string>;
};

const CHAT = "/v1/chat/completions";
/** The longest id that the API takes. */
const MAX_ID = 100;

/** Checks the fields of a row of a file and makes its task. `cells` is the stored row. */
export function prepareFields(
  context: RowContext,
  row: number,
  fields: unknown,
  variables: ReadonlyMap<string, string>,
  cells: string | null,
): PreparedRow {
  const parsed = TaskInput.safeParse(fields);
  if (parsed.success) return prepareTask(context, row, parsed.data, variables, cells);
  const issues = rowIssuesOf(parsed.error.issues);
  return { row, value: null, issues };
}

/** Makes a task from an input that was already checked. */
export function prepareTask(
  context: RowContext,
  row: number,
  task: TaskInput,
  variables: ReadonlyMap<string, string>,
  cells: string | null,
): PreparedRow {
  const { batchId, config, scope, base, seenColumns } = context;
  for (const { column } of config.attachments ?? [])
    if (variables.has(column)) seenColumns.add(column);
  try {
    const isSkipped = isRowSkipped(context.onlyIf, variables);
    const { model, body, prompt, flexMinutes, maxRepairs, escalateTo } = isSkipped
      ? composeSkipped(context, task, variables)
      : context.compose(task, variables);
    const requestOf = (sent: JsonObject) => ({
      body: JSON.stringify(sent),
      ...keysOf(isSkipped ? null : base, task.cache ?? config.cache, escalateTo, () =>
        cacheKeyOf(CHAT, sent, maxRepairs !== null),
      ),
    });
    // Without `...`, which would take as long as the rest of this function.
    const request = requestOf(body);
    const scoped = (own: string, isScoped: boolean) => (isScoped ? `${batchId}.${own}` : own);
    const id = task.id === undefined ? undefined : scoped(task.id, scope.ids);
    const value: NewRow = {
      id: id === undefined || id.length > MAX_ID ? `${batchId}-${row}` : id,
      position: 0,
      model,
      priority: priorityRank(task.priority ?? "normal"),
      maxRetries: task.maxRetries ?? config.maxRetries ?? null,
      timeoutMs: task.timeoutMs ?? config.timeoutMs ?? null,
      flexMinutes,
      maxRepairs,
      escalateTo,
      endpoint: CHAT,
      body: request.body,
      cacheKey: request.cacheKey,
      baseTask: request.baseTask,
      baseRun: request.baseRun,
      prompt,
      metadata: task.metadata ? JSON.stringify(task.metadata) : null,
      cells,
      idempotencyKey:
        task.idempotencyKey === undefined ? null : scoped(task.idempotencyKey, scope.keys),
      fingerprint:
        task.idempotencyKey === undefined ? null : sha256Hex(canonicalJson(["row", task])),
      isSkipped,
    };
    const prepared: PreparedRow = { row, value, issues: [] };
    if (mayReferToUploads(value.body))
      prepared.uploads = uploadsOf(value, body, requestOf, columnOf(config, variables));
    return prepared;
  } catch (error) {
    if (!(error instanceof ComposeError)) throw error;
    return { row, value: null, issues: [{ field: error.field, message: error.message }] };
  }
}

function isRowSkipped(onlyIf: Condition | null, variables: ReadonlyMap<string, string>): boolean {
  if (!onlyIf) return false;
  const missing = onlyIf.names.filter((name) => !variables.has(name));
  if (missing.length > 0)
    throw new ComposeError("onlyIf", unknownVariables(missing, [...variables.keys()]));
  return !onlyIf.isTrueOf(variables);
}

/** A skipped row need not make a valid request: its cells may be empty, which may be why it is skipped. */
function composeSkipped(
  { compose, config, defaultModel }: RowContext,
  task: TaskInput,
  variables: ReadonlyMap<string, string>,
): Composed {
  try {
    return compose(task, variables);
  } catch (error) {
    if (!(error instanceof ComposeError)) throw error;
    const model = task.model ?? config.model ?? defaultModel;
    const nothing = { prompt: null, flexMinutes: null, maxRepairs: null, escalateTo: null };
    return { model, body: { model, messages: [] }, ...nothing };
  }
}

/**
 * Makes a task from an OpenAI batch line, whose body is sent unchanged. Its `custom_id` is unique only in its file,
 * so it is not the task's id; results contain it.
 */
export function prepareProviderLine(
  context: RowContext,
  row: number,
  { endpoint, body }: ProviderLine,
  cells: string,
): PreparedRow {
  const { batchId, config, defaultModel, base } = context;
  const given = body["model"];
  if (given !== undefined && (typeof given !== "string" || !ModelName.safeParse(given).success)) {
    const message = "must be a string of 1 to 200 characters, none of them U+0000";
    return { row, value: null, issues: [{ field: "body.model", message }] };
  }
  if (isInBackground(endpoint, body)) {
    const issue = {
      code: "unsupported_value",
      field: "body.background",
      message: NOT_IN_BACKGROUND,
    };
    return { row, value: null, issues: [issue] };
  }
  const unusable = (["output", "attachments", "onlyIf"] as const).find(
    (field) => config[field] !== undefined,
  );
  if (unusable) {
    const message = `is sent as it is, so that config.${unusable} does not apply to it; give the line a prompt instead`;
    return { row, value: null, issues: [{ field: "body", message }] };
  }
  const model = given ?? config.model ?? usualModel(endpoint) ?? defaultModel;
  const sent = given === undefined ? { ...body, model } : body;
  const escalateTo = escalationFrom(model, config);
  const requestOf = (asked: JsonObject) => ({
    body: JSON.stringify(asked),
    ...keysOf(base, config.cache, escalateTo, () => cacheKeyOf(endpoint, asked, false)),
  });
  const value: NewRow = {
    id: `${batchId}-${row}`,
    position: 0,
    model,
    priority: priorityRank("normal"),
    maxRetries: config.maxRetries ?? null,
    timeoutMs: config.timeoutMs ?? null,
    flexMinutes: flexMinutesOf(sent, config.flexDeadlineMinutes),
    maxRepairs: null,
    escalateTo,
    endpoint,
    ...requestOf(sent),
    prompt: null,
    metadata: null,
    cells,
    idempotencyKey: null,
    fingerprint: null,
    isSkipped: false,
  };
  const prepared: PreparedRow = { row, value, issues: [] };
  if (mayReferToUploads(value.body))
    prepared.uploads = uploadsOf(value, sent, requestOf, () => "body");
  return prepared;
}

/** The uploads of a row that are still to be filled in. */
function uploadsOf(
  value: NewRow,
  body: JsonObject,
  requestOf: (body: JsonObject) => Partial<NewRow>,
  fieldOf: (url: string) => string,
): PreparedRow["uploads"] & object {
  return {
    body,
    complete(whole) {
      Object.assign(value, requestOf(whole));
    },
    fieldOf,
  };
}

/** The column that names an upload, or `messages`. */
function columnOf({ attachments = [] }: BatchConfig, variables: ReadonlyMap<string, string>) {
  return (url: string): string => {
    const { id = url } = readUploadRef(url) ?? {};
    return (
      attachments.find(({ column }) => variables.get(column)?.includes(id))?.column ?? "messages"
    );
  };
}

/** The key under which its answer is cached, if any, and the answer that it reuses. */
function keysOf(
  base: RowContext["base"],
  isReusable: boolean | undefined,
  escalateTo: string | null,
  makeKey: () => string,
): Pick<NewRow, "cacheKey" | "baseTask" | "baseRun"> {
  const key = isReusable || base ? makeKey() : null;
  const found = key === null ? null : (base?.(key, escalateTo) ?? null);
  return {
    cacheKey: isReusable ? key : null,
    baseTask: found?.task ?? null,
    baseRun: found?.run ?? null,
  };
}
