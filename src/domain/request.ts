import { numberOf, parseExactOrNone } from "../lib/exact-json.ts";
import { isJsonObject, type Json, type JsonObject } from "../lib/json.ts";
import { type ServiceTier, tierOf } from "./flex.ts";
import { isReasoningModel } from "./models.ts";

/**
 * The provider endpoint that a task goes to, as OpenAI's batch files name it: any path that a provider has. Chat,
 * responses, completions and embeddings are understood; requests to other paths are forwarded unread.
 */
export type Endpoint = `/v1/${string}`;

export const COUNTED_ENDPOINTS = [
  "/v1/chat/completions",
  "/v1/completions",
  "/v1/responses",
  "/v1/embeddings",
] as const;
const COUNTED: ReadonlySet<string> = new Set(COUNTED_ENDPOINTS);

/**
 * Whether the texts of a request and its answer show how many tokens are charged. Other endpoints may charge by the
 * image, by the second or not at all, unless their answers report usage.
 */
export function isCounted(endpoint: string): boolean {
  return COUNTED.has(endpoint);
}

/**
 * Whether a request is for a response that is made in the background: its answer comes before the response exists, whose
 * content and cost nobody would fetch.
 */
export function isInBackground(endpoint: Endpoint, body: JsonObject): boolean {
  return endpoint === "/v1/responses" && body["background"] === true;
}

export const NOT_IN_BACKGROUND =
  "Responses in the background cannot be fetched through this server. Leave out 'background', or put the request in a batch without it.";

/** The model of a request that names none: OpenAI has one for moderations. */
export function usualModel(endpoint: Endpoint): string | undefined {
  return endpoint === "/v1/moderations" ? "omni-moderation-latest" : undefined;
}

/** Members whose numbers go to the provider, or come back, as they were written. */
export const PASSED_ON: ReadonlySet<string> = new Set([
  "parameters",
  "metadata",
  "messages",
  "body",
]);

/** A task's request in the fields of this API. It is stored as the provider's request and read back from it. */
export type TaskRequest = {
  prompt: string | null;
  messages: JsonObject[] | null;
  model: string;
  temperature: number | null;
  maxTokens: number | null;
  serviceTier: ServiceTier | null;
  parameters: JsonObject;
};

/** The chat request for these fields: `messages` is sent, `prompt` alone becomes one user message. */
export function toChatBody(request: TaskRequest): JsonObject {
  return {
    model: request.model,
    messages: request.messages ?? [{ role: "user", content: request.prompt }],
    ...(request.temperature === null ? {} : { temperature: request.temperature }),
    ...(request.maxTokens === null
      ? {}
      : isReasoningModel(request.model)
        ? { max_completion_tokens: request.maxTokens }
        : { max_tokens: request.maxTokens }),
    ...(request.serviceTier === null ? {} : { service_tier: request.serviceTier }),
    ...request.parameters,
  };
}

/**
 * The inverse of `toChatBody`, and a view of the other endpoints: members that are not fields of this API are
 * parameters.
 */
export function fromProviderBody(
  endpoint: Endpoint,
  body: JsonObject,
): Omit<TaskRequest, "prompt"> {
  const { model, messages, temperature, ...rest } = body;
  const limit = MAX_TOKENS_KEYS[endpoint]?.find((key) => numberOf(rest[key]) !== undefined);
  const { [limit ?? ""]: maxTokens, ...others } = rest;
  const serviceTier = tierOf(body);
  const { service_tier: _tier, ...withoutTier } = others;
  const parameters = serviceTier === null ? others : withoutTier;
  return {
    model: String(model),
    messages: Array.isArray(messages) ? (messages as JsonObject[]) : null,
    temperature: numberOf(temperature) ?? null,
    maxTokens: numberOf(maxTokens) ?? null,
    serviceTier,
    parameters,
  };
}

/** The same request for another model, which may have another name for the limit of its answer. */
export function withModel(body: string, model: string): string {
  const request = parseExactOrNone(body);
  if (!isJsonObject(request)) return body;
  const { max_tokens, max_completion_tokens, ...rest } = request;
  const limit = max_completion_tokens ?? max_tokens;
  if (limit === undefined) return JSON.stringify({ ...rest, model });
  const isChat = "messages" in request;
  const name = isChat && isReasoningModel(model) ? "max_completion_tokens" : "max_tokens";
  return JSON.stringify({ ...rest, model, [name]: limit });
}

/** The same request at the provider's usual tier of service. */
export function withoutTier(body: string): string {
  const request = parseExactOrNone(body);
  if (!isJsonObject(request)) return body;
  const { service_tier: _tier, ...rest } = request;
  return JSON.stringify(rest);
}

const MAX_TOKENS_KEYS: Partial<Record<Endpoint, string[]>> = {
  "/v1/chat/completions": ["max_completion_tokens", "max_tokens"],
  "/v1/responses": ["max_output_tokens"],
  "/v1/completions": ["max_tokens"],
};

/** All text that a request sends, for counting tokens and for the simulator's answer. */
export function promptText(body: JsonObject): string {
  const input: Json | undefined = body["messages"] ?? body["input"] ?? body["prompt"];
  const parts = [body["instructions"], input];
  return parts.map(textOf).filter(Boolean).join("\n");
}

function textOf(value: Json | undefined): string {
  if (typeof value === "string") return value;
  if (Array.isArray(value)) return value.map(textOf).filter(Boolean).join("\n");
  if (typeof value === "object" && value !== null) return textOf(value["content"] ?? value["text"]);
  return "";
}

/** The prompt that made a body of one user message, or `null` if the body was made from messages. */
export function promptOf(body: JsonObject): string | null {
  const messages = body["messages"];
  const only = Array.isArray(messages) && messages.length === 1 ? messages[0] : undefined;
  return isJsonObject(only) && only["role"] === "user" && typeof only["content"] === "string"
    ? only["content"]
    : null;
}
