import { BoundedMap } from "../lib/bounded-map.ts";
import { sha256Hex } from "../lib/hash.ts";
import { asJsonObject, type Json, type JsonObject } from "../lib/json.ts";
import { AttachmentError, partsOf, withParts } from "./attachments.ts";
import { flexMinutesOf } from "./flex.ts";
import { DEFAULT_REPAIRS, responseFormatOf } from "./output.ts";
import { type TaskRequest, toChatBody } from "./request.ts";
import {
  asMessages,
  type BatchConfig,
  MOST_PROMPT_CHARACTERS,
  type TaskInput,
} from "./task-input.ts";
import { parseTemplate, type Template } from "./template.ts";
import { NUL } from "./text.ts";

/** A request as it is stored: the provider's body, and the prompt if the body does not contain it. */
export type Composed = {
  model: string;
  body: JsonObject;
  prompt: string | null;
  /** How long it waits for the flex tier; `null` if it does not request flex. */
  flexMinutes: number | null;
  /** How often an answer that does not match `output` is repaired; `null` if answers are not checked. */
  maxRepairs: number | null;
  escalateTo: string | null;
};

/** A batch has one model as a rule. */
const MODELS_REMEMBERED = 100;

/** The input cannot be made into a request; `field` says where to look. */
export class ComposeError extends Error {
  override readonly name = "ComposeError";
  readonly field: string;

  constructor(field: string, message: string) {
    super(message);
    this.field = field;
  }
}

/** Makes the requests of one batch. */
export type Composer = (task: TaskInput, variables: ReadonlyMap<string, string>) => Composed;

/**
 * Makes provider requests from tasks, their batch's configuration and the variables of their rows. `promptTemplate`
 * becomes the prompt, `systemPrompt` the first message unless the task has a system message already. Throws
 * `ComposeError` if there is nothing to send, a variable is missing, or a filled-in template would be too long.
 */
export function createComposer(config: BatchConfig, defaultModel: string): Composer {
  const fillPrompt = filler("promptTemplate", config);
  const fillSystem = filler("systemPrompt", config);
  const withCacheKey = cacheKeys(config);
  const format = config.output && responseFormatOf(config.output);
  return (task, variables) => {
    const prompt = fillPrompt && !task.messages ? fillPrompt(variables) : task.prompt;
    const system = fillSystem && { role: "system", content: fillSystem(variables) };
    const asked = toRequest(task, config, { prompt, system, format, defaultModel });
    const request = { ...asked, messages: attach(config, variables, asked) };
    const body = withCacheKey(toChatBody(request));
    return {
      model: request.model,
      body,
      prompt: request.messages === null ? null : storablePrompt(task, prompt),
      flexMinutes: flexMinutesOf(body, task.flexDeadlineMinutes ?? config.flexDeadlineMinutes),
      maxRepairs: format ? (config.maxRepairs ?? DEFAULT_REPAIRS) : null,
      escalateTo: escalationFrom(request.model, config),
    };
  };
}

/**
 * The prompt of a request with messages. With U+0000, at which SQLite would end it, it is only in the messages that
 * were made from it, as JSON. Throws `ComposeError` if it is beside messages of the client's.
 */
function storablePrompt(task: TaskInput, prompt: string | undefined): string | null {
  if (!prompt?.includes(NUL)) return prompt ?? null;
  if (!task.messages) return null;
  throw new ComposeError("prompt", "must not contain the character U+0000 beside messages");
}

/** Adds a row's attachments to the messages of its request. */
function attach(
  { attachments }: BatchConfig,
  variables: ReadonlyMap<string, string>,
  { messages, prompt }: TaskRequest,
): JsonObject[] | null {
  if (!attachments) return messages;
  try {
    const parts = partsOf(attachments, variables);
    if (parts.length === 0) return messages;
    const attached = withParts(messages ?? [{ role: "user", content: prompt }], parts);
    if (attached) return attached;
  } catch (error) {
    if (error instanceof AttachmentError) throw new ComposeError(error.column, error.message);
    throw error;
  }
  throw new ComposeError(
    "messages",
    "has no message of the user that config.attachments could be added to",
  );
}

/** A single request. */
export function composeRequest(
  task: TaskInput,
  config: BatchConfig,
  variables: ReadonlyMap<string, string>,
  defaultModel: string,
): Composed {
  return createComposer(config, defaultModel)(task, variables);
}

function toRequest(
  task: TaskInput,
  config: BatchConfig,
  {
    prompt,
    system,
    format,
    defaultModel,
  }: {
    prompt: string | undefined;
    system: JsonObject | undefined;
    format: JsonObject | undefined;
    defaultModel: string;
  },
): TaskRequest {
  if (!task.messages && !prompt?.trim())
    throw new ComposeError("prompt", "give a prompt or messages");
  const messages = withSystem(system, task.messages ? asMessages(task.messages) : null, prompt);
  const request: TaskRequest = {
    prompt: prompt ?? null,
    messages,
    model: task.model ?? config.model ?? defaultModel,
    temperature: task.temperature ?? config.temperature ?? null,
    maxTokens: task.maxTokens ?? config.maxTokens ?? null,
    serviceTier: task.serviceTier ?? config.serviceTier ?? null,
    parameters: asJsonObject({
      ...config.parameters,
      ...task.parameters,
      ...(format ? { response_format: format } : {}),
    }),
  };
  if (format && "response_format" in { ...config.parameters, ...task.parameters })
    throw new ComposeError(
      "parameters",
      "response_format is given twice; output is the field for it",
    );
  const twice = ["max_tokens", "max_completion_tokens"].find((name) => name in request.parameters);
  if (request.maxTokens !== null && twice)
    throw new ComposeError("parameters", `${twice} is given twice; maxTokens is the field for it`);
  if (request.serviceTier !== null && "service_tier" in request.parameters)
    throw new ComposeError(
      "parameters",
      "service_tier is given twice; serviceTier is the field for it",
    );
  return request;
}

/** The model to escalate to if the answer is not good enough; none if it is the same model. */
export function escalationFrom(
  model: string,
  { escalateTo }: Pick<BatchConfig, "escalateTo">,
): string | null {
  return escalateTo === undefined || escalateTo === model ? null : escalateTo;
}

/**
 * Tasks of one template share a prefix. A common `prompt_cache_key` routes them to where the provider has that prefix
 * cached (https://developers.openai.com/api/docs/guides/prompt-caching).
 */
function cacheKeys({ systemPrompt, promptTemplate }: BatchConfig) {
  const known = new BoundedMap<Json, string>(MODELS_REMEMBERED);
  return (body: JsonObject): JsonObject => {
    if (systemPrompt === undefined && promptTemplate === undefined) return body;
    if ("prompt_cache_key" in body) return body;
    const model = body["model"] ?? null;
    let key = known.get(model);
    if (key === undefined) {
      const template = JSON.stringify([model, systemPrompt, promptTemplate]);
      known.set(model, (key = `gtr-${sha256Hex(template).slice(0, 32)}`));
    }
    return { ...body, prompt_cache_key: key };
  };
}

function withSystem(
  system: JsonObject | undefined,
  messages: JsonObject[] | null,
  prompt: string | undefined,
): JsonObject[] | null {
  if (!system) return messages;
  if (!messages) return [system, { role: "user", content: prompt ?? "" }];
  return messages.some(({ role }) => role === "system" || role === "developer")
    ? messages
    : [system, ...messages];
}

function filler(field: "promptTemplate" | "systemPrompt", config: BatchConfig) {
  const text = config[field];
  const template = text === undefined ? undefined : parseTemplate(text);
  return template && ((variables: ReadonlyMap<string, string>) => fill(field, template, variables));
}

function fill(field: string, template: Template, variables: ReadonlyMap<string, string>): string {
  const missing = template.names.filter((name) => !variables.has(name));
  if (missing.length > 0)
    throw new ComposeError(field, unknownVariables(missing, [...variables.keys()]));
  const length = template.lengthWith(variables);
  if (length > MOST_PROMPT_CHARACTERS)
    throw new ComposeError(
      field,
      `with the values of this row it would have ${length} characters; ${MOST_PROMPT_CHARACTERS} is the most`,
    );
  return template.render(variables);
}

/** The message for a template with unknown variables: which are missing, and which exist. */
export function unknownVariables(missing: string[], known: string[]): string {
  const names = missing.map((name) => `{{${name}}}`).join(", ");
  const plural = missing.length > 1 ? "variables" : "variable";
  return `unknown ${plural} ${names}; there ${known.length === 1 ? "is" : "are"} ${known.join(", ") || "none"}`;
}
