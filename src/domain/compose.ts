import { sha256Hex } from "../lib/hash.ts";
import { asJsonObject, type JsonObject } from "../lib/json.ts";
import { flexMinutesOf } from "./flex.ts";
import { type TaskRequest, toChatBody } from "./request.ts";
import { asMessages, type BatchConfig, type TaskInput } from "./task-input.ts";
import { fillTemplate, placeholders } from "./template.ts";

/** What is stored of a request: the provider's body, and the prompt where the body does not tell it. */
export type Composed = {
  model: string;
  body: JsonObject;
  prompt: string | null;
  /** How long it waits for the flex tier; `null` where it asks for no flex. */
  flexMinutes: number | null;
};

/** The input cannot be made into a request; `field` says where to look. */
export class ComposeError extends Error {
  override readonly name = "ComposeError";
  readonly field: string;

  constructor(field: string, message: string) {
    super(message);
    this.field = field;
  }
}

/**
 * Makes a provider request from a task, its batch's configuration and the variables of its row.
 * `promptTemplate` makes the prompt, `systemPrompt` the first message unless the task has a system
 * message already. Throws `ComposeError` where there is nothing to send or a variable is missing.
 */
export function composeRequest(
  task: TaskInput,
  config: BatchConfig,
  variables: ReadonlyMap<string, string>,
  defaultModel: string,
): Composed {
  const prompt =
    config.promptTemplate !== undefined && !task.messages
      ? fill("promptTemplate", config.promptTemplate, variables)
      : task.prompt;
  if (!task.messages && !prompt?.trim())
    throw new ComposeError("prompt", "give a prompt or messages");
  const system =
    config.systemPrompt === undefined
      ? undefined
      : { role: "system", content: fill("systemPrompt", config.systemPrompt, variables) };
  const messages = withSystem(system, task.messages ? asMessages(task.messages) : null, prompt);
  const request: TaskRequest = {
    prompt: prompt ?? null,
    messages,
    model: task.model ?? config.model ?? defaultModel,
    temperature: task.temperature ?? config.temperature ?? null,
    maxTokens: task.maxTokens ?? config.maxTokens ?? null,
    serviceTier: task.serviceTier ?? config.serviceTier ?? null,
    parameters: asJsonObject({ ...config.parameters, ...task.parameters }),
  };
  const twice = ["max_tokens", "max_completion_tokens"].find((name) => name in request.parameters);
  if (request.maxTokens !== null && twice)
    throw new ComposeError("parameters", `${twice} is given twice; maxTokens is the field for it`);
  if (request.serviceTier !== null && "service_tier" in request.parameters)
    throw new ComposeError(
      "parameters",
      "service_tier is given twice; serviceTier is the field for it",
    );
  const body = withCacheKey(toChatBody(request), config);
  return {
    model: request.model,
    body,
    prompt: messages === null ? null : (prompt ?? null),
    flexMinutes: flexMinutesOf(body, task.flexDeadlineMinutes ?? config.flexDeadlineMinutes),
  };
}

/**
 * Tasks of one template begin alike: one key brings them to where the provider has that beginning in its
 * cache (https://developers.openai.com/api/docs/guides/prompt-caching).
 */
function withCacheKey(body: JsonObject, { systemPrompt, promptTemplate }: BatchConfig): JsonObject {
  if (systemPrompt === undefined && promptTemplate === undefined) return body;
  if ("prompt_cache_key" in body) return body;
  const template = JSON.stringify([body["model"] ?? null, systemPrompt, promptTemplate]);
  return { ...body, prompt_cache_key: `gtr-${sha256Hex(template).slice(0, 32)}` };
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

function fill(field: string, template: string, variables: ReadonlyMap<string, string>): string {
  const missing = placeholders(template).filter((name) => !variables.has(name));
  if (missing.length > 0)
    throw new ComposeError(field, unknownVariables(missing, [...variables.keys()]));
  return fillTemplate(template, variables);
}

/** Says which variables a template asks for in vain, and which there are. */
export function unknownVariables(missing: string[], known: string[]): string {
  const names = missing.map((name) => `{{${name}}}`).join(", ");
  const plural = missing.length > 1 ? "variables" : "variable";
  return `unknown ${plural} ${names}; there ${known.length === 1 ? "is" : "are"} ${known.join(", ") || "none"}`;
}
