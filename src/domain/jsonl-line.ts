import { z } from "zod";

import { numberOf, settle } from "../lib/exact-json.ts";
import { checkJson } from "../lib/json-limits.ts";
import { namesInOrder } from "../lib/json-names.ts";
import { isJsonObject, type Json, type JsonObject } from "../lib/json.ts";
import { rowIssuesOf } from "../lib/zod-issues.ts";
import { type CellIssue, meaningOf, readLabels, readField } from "./columns.ts";
import { type Endpoint, PASSED_ON } from "./request.ts";

/** A line in the format of OpenAI's batch files. Its body goes to the provider unchanged. */
export type ProviderLine = { kind: "provider"; endpoint: Endpoint; body: JsonObject };

/** A line that describes a task: its fields, and everything in it as variables for templates. */
type TaskLine = {
  kind: "task";
  fields: Record<string, unknown>;
  variables: ReadonlyMap<string, string>;
};

export type ReadLine = { names: string[]; issues: CellIssue[] } & (
  | { line: ProviderLine | TaskLine }
  | { line: null }
);

/** Fields of a task that a JSONL line may have and a CSV has no column for. */
const FURTHER_FIELDS = new Set([
  "parameters",
  "priority",
  "maxRetries",
  "timeoutMs",
  "cache",
  "serviceTier",
  "flexDeadlineMinutes",
]);

/** A path below `/v1`. Whether the endpoint exists is up to the provider. */
const EndpointPath = z.custom<Endpoint>(
  (value) => typeof value === "string" && /^\/v1(\/[A-Za-z0-9][\w.:-]{0,99}){1,8}$/.test(value),
  "must be a path such as /v1/chat/completions",
);

/** Endpoints that Azure's batch files name without `/v1`. */
const AZURE_PATHS = new Set(["/chat/completions", "/completions", "/embeddings", "/responses"]);

/**
 * OpenAI's batch input line (https://platform.openai.com/docs/api-reference/batch/request-input). In
 * Azure's the path has no `/v1` (https://learn.microsoft.com/azure/ai-services/openai/how-to/batch);
 * Mistral's have neither method nor path (https://docs.mistral.ai/capabilities/batch/).
 */
const OpenAiLine = z.object({
  custom_id: z.union([z.string().min(1), z.number()]),
  method: z.literal("POST", "must be POST").optional(),
  url: z
    .preprocess(
      (url) => (typeof url === "string" && AZURE_PATHS.has(url) ? `/v1${url}` : url),
      EndpointPath,
    )
    .optional(),
  body: z.record(z.string(), z.unknown()),
});

/**
 * Reads one line of a JSONL file: an OpenAI batch line if it has `custom_id` and `body`, else a task object. Names
 * are matched like CSV columns, and members that are not fields are variables. `checked` is the parsed text, if it was
 * parsed already.
 */
export function readJsonlLine(text: string, checked = checkJson(text)): ReadLine {
  const refused = (field: string, message: string): ReadLine => ({
    line: null,
    names: [],
    issues: [{ field, message }],
  });
  if ("notJson" in checked) return refused("", `is not valid JSON: ${checked.notJson}`);
  if ("fault" in checked) return refused(checked.fault.path, checked.fault.message);
  const { value } = checked;
  if (!isJsonObject(value)) return refused("", "must be a JSON object");
  const names = namesInOrder(text, value);
  return "custom_id" in value && "body" in value
    ? { names, ...readOpenAiLine(value) }
    : { names, ...readTaskLine(value) };
}

function readOpenAiLine(value: JsonObject) {
  const parsed = OpenAiLine.safeParse(settle(value, PASSED_ON));
  const body = value["body"];
  if (!parsed.success || !isJsonObject(body)) {
    return { line: null, issues: rowIssuesOf(parsed.error?.issues ?? []) };
  }
  const endpoint = parsed.data.url ?? (body["messages"] && "/v1/chat/completions");
  if (endpoint === undefined) {
    const message = "must be given where the body has no messages, such as /v1/embeddings";
    return { line: null, issues: [{ field: "url", message }] };
  }
  return { line: { kind: "provider" as const, endpoint: endpoint as Endpoint, body }, issues: [] };
}

function readTaskLine(value: JsonObject) {
  const fields: Record<string, unknown> = {};
  const issues: CellIssue[] = [];
  const variables = variablesOf(value);
  for (const [name, member] of Object.entries(value)) {
    const read = readMember(name, member);
    if (read === null) continue;
    if (FURTHER_FIELDS.has(name)) {
      fields[name] = read;
      continue;
    }
    const issue = readField(fields, name, read);
    if (issue) issues.push(issue);
  }
  readLabels(fields);
  return issues.length > 0
    ? { line: null, issues }
    : { line: { kind: "task" as const, fields, variables }, issues: [] };
}

/** Text fields in which a number is accepted as it is written. */
const TEXTS = new Set(["id", "idempotencyKey"]);

function readMember(name: string, member: Json): Json {
  if (PASSED_ON.has(name)) return member;
  if (TEXTS.has(meaningOf(name) ?? "") && numberOf(member) !== undefined)
    return JSON.stringify(member);
  return settle(member, PASSED_ON);
}

/**
 * The variables that a line offers to templates: texts and numbers as they are written, other values as JSON, and `null`
 * as an empty text. Objects and lists that describe the task, such as `messages`, are none.
 */
function variablesOf(value: JsonObject): ReadonlyMap<string, string> {
  const variables = new Map<string, string>();
  for (const [name, member] of Object.entries(value))
    if (typeof member === "string") variables.set(name, member);
    else if (member === null) variables.set(name, "");
    else if (typeof member !== "object" || numberOf(member) !== undefined || !isOfTask(name))
      variables.set(name, JSON.stringify(member));
  return variables;
}

function isOfTask(name: string): boolean {
  return FURTHER_FIELDS.has(name) || meaningOf(name) !== undefined;
}
