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
import { type BatchConfig, TaskInput } from "../domain/task-input.ts";
import { priorityRank } from "../domain/task.ts";
import { ModelName } from "../domain/text.ts";
import { mayReferToUploads, readUploadRef } from "../domain/upload-refs.ts";
import { sha256Hex } from "../lib/hash.ts";
import { canonicalJson, type JsonObject } from "../lib/json.ts";
import type { NewRow } from "../store/ingest.ts";
import type { BaseAnswers } from "./base-answers.ts";

/** `code`: what OpenAI's Batch API calls it. */
type FieldIssue = { field: string; message: string; code?: string };

/** One entry of a batch's input, ready to be stored, or what is wrong with it. `row` counts from 1. */
export type PreparedRow = {
  row: number;
  value: NewRow | null;
  issues: FieldIssue[];
  /** The `custom_id` of a line, where it may be that of no other line. */
  customId?: string;
  /** Set where its request refers to uploads; `complete` takes the request with all that is known of them. */
  uploads?: {
    body: JsonObject;
    complete: (body: JsonObject) => void;
    /** Where in the row a reference comes from. */
    fieldOf: (url: string) => string;
  };
};

/** Reads the input from its start; called once for each pass. */
export type RowSource = () => AsyncIterable<PreparedRow> | Iterable<PreparedRow>;

/** `ids`: the row `1` of batch `b` is the task `b.1`. It may turn out while rows are checked that it must be so. */
export type RowScope = { ids: boolean; keys: boolean };

/** What preparing needs to know of the batch. */
export type RowContext = {
  batchId: string;
  config: BatchConfig;
  compose: Composer;
  /** Rows for which it is false are skipped. */
  onlyIf: Condition | null;
  defaultModel: Context["config"]["defaultModel"];
  /** What of the rows holds within the batch alone, so that the same file can be the input of many batches. */
  scope: RowScope;
  /** The answers of its `baseBatch`. */
  base: BaseAnswers | null;
  /** Set where the rows are lines as OpenAI's Batch API takes them, and no others. */
  openAi: OpenAiTerms | null;
  /** The columns of `config.attachments` that a row was seen to have. */
  seenColumns: Set<string>;
};

const CHAT = "/v1/chat/completions";
/** The longest id that the API takes. */
const MAX_ID = 100;

/** Checks the fields that a row of a file gives and makes the task of them. `cells` is what is kept of the row. */
export function prepareFields(
  context: RowContext,
  row: number,
  fields: unknown,
  variables: ReadonlyMap<string, string>,
  cells: string | null,
): PreparedRow {
  const parsed = TaskInput.safeParse(fields);
  if (parsed.success) return prepareTask(context, row, parsed.data, variables, cells);
  const issues = parsed.error.issues.map(({ path, message }) => ({
    field: path.join("."),
    message,
  }));
  return { row, value: null, issues };
}

/** Makes a task of an input that was checked before. */
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
      ...requestOf(body),
      prompt,
      metadata: task.metadata ? JSON.stringify(task.metadata) : null,
      cells,
      idempotencyKey:
        task.idempotencyKey === undefined ? null : scoped(task.idempotencyKey, scope.keys),
      fingerprint:
        task.idempotencyKey === undefined ? null : sha256Hex(canonicalJson(["row", task])),
      isSkipped,
    };
    return {
      row,
      value,
      issues: [],
      ...uploadsOf(value, body, requestOf, columnOf(config, variables)),
    };
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

/** A row that is not sent need not be one that can be: its cells may be empty for the very reason that it is skipped. */
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
 * Makes a task of an OpenAI batch line, whose body is sent as it is. Its `custom_id` is unique in its
 * file alone, so it is no id here; it comes back with the results.
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
  const unusable = (["output", "attachments", "onlyIf"] as const).find(
    (field) => config[field] !== undefined,
  );
  if (unusable) {
    const message = `is sent as it is, so that config.${unusable} does not apply to it; give the line a prompt instead`;
    return { row, value: null, issues: [{ field: "body", message }] };
  }
  const model = given ?? config.model ?? defaultModel;
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
  return { row, value, issues: [], ...uploadsOf(value, sent, requestOf, () => "body") };
}

/** What is to be completed of a row, if anything is. */
function uploadsOf(
  value: NewRow,
  body: JsonObject,
  requestOf: (body: JsonObject) => Partial<NewRow>,
  fieldOf: (url: string) => string,
): Pick<PreparedRow, "uploads"> {
  if (!mayReferToUploads(value.body)) return {};
  return {
    uploads: {
      body,
      complete(whole) {
        Object.assign(value, requestOf(whole));
      },
      fieldOf,
    },
  };
}

/** The column that names an upload, or else the messages do. */
function columnOf({ attachments = [] }: BatchConfig, variables: ReadonlyMap<string, string>) {
  return (url: string): string => {
    const { id = url } = readUploadRef(url) ?? {};
    return (
      attachments.find(({ column }) => variables.get(column)?.includes(id))?.column ?? "messages"
    );
  };
}

/** Under which key its answer is kept, if it is to be, and the answer that it takes over. */
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
