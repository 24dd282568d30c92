import { isJsonObject, type Json, type JsonObject } from "../lib/json.ts";
import type { Endpoint } from "./request.ts";

export type Usage = {
  promptTokens: number;
  completionTokens: number;
  totalTokens: number;
  cachedTokens?: number;
  reasoningTokens?: number;
};

export type Answer = {
  content: string | null;
  finishReason: string | null;
  model: string | null;
  usage: Usage | null;
  toolCalls: Json[] | null;
};

/**
 * What a provider's answer says, read tolerantly: a field that is missing or odd is null.
 * `undefined` where it is no answer of that endpoint at all (no choices, no output, no data).
 */
export function readAnswer(endpoint: Endpoint, response: Json | undefined): Answer | undefined {
  if (!isJsonObject(response)) return undefined;
  const told = READERS[endpoint](response);
  if (!told) return undefined;
  return {
    finishReason: null,
    toolCalls: null,
    model: typeof response["model"] === "string" ? response["model"] : null,
    usage: readUsage(response["usage"]),
    ...told,
  };
}

type Told = { content: string | null; finishReason?: string | null; toolCalls?: Json[] | null };

const READERS: Record<Endpoint, (response: JsonObject) => Told | undefined> = {
  "/v1/chat/completions": (response) => {
    const choice = firstOf(response["choices"]);
    const message = choice?.["message"];
    if (!choice || !isJsonObject(message)) return undefined;
    const calls = message["tool_calls"];
    return {
      content: contentText(message["content"]),
      finishReason: stringOrNull(choice["finish_reason"]),
      toolCalls: Array.isArray(calls) && calls.length > 0 ? calls : null,
    };
  },
  "/v1/completions": (response) => {
    const choice = firstOf(response["choices"]);
    if (!choice) return undefined;
    return {
      content: stringOrNull(choice["text"]),
      finishReason: stringOrNull(choice["finish_reason"]),
    };
  },
  "/v1/responses": (response) => {
    const output = response["output"];
    if (!Array.isArray(output)) return undefined;
    const items = output.filter(isJsonObject);
    const text = items
      .filter((item) => item["type"] === "message")
      .map((item) => contentText(item["content"]) ?? "")
      .join("");
    const calls = items.filter((item) => item["type"] === "function_call");
    return {
      content: text === "" && calls.length > 0 ? null : text,
      finishReason: stringOrNull(response["status"]),
      toolCalls: calls.length > 0 ? calls : null,
    };
  },
  "/v1/embeddings": (response) => {
    const data = response["data"];
    if (!Array.isArray(data) || data.length === 0) return undefined;
    const vectors = data.filter(isJsonObject).map((item) => item["embedding"] ?? null);
    return { content: JSON.stringify(vectors.length === 1 ? vectors[0] : vectors) };
  },
};

/** Chat and completions say `prompt_tokens`, responses say `input_tokens`; details are optional everywhere. */
export function readUsage(usage: Json | undefined): Usage | null {
  if (!isJsonObject(usage)) return null;
  const prompt = count(usage["prompt_tokens"] ?? usage["input_tokens"]);
  const completion = count(usage["completion_tokens"] ?? usage["output_tokens"]) ?? 0;
  if (prompt === undefined) return null;
  const cached = detail(
    usage["prompt_tokens_details"] ?? usage["input_tokens_details"],
    "cached_tokens",
  );
  const reasoning = detail(
    usage["completion_tokens_details"] ?? usage["output_tokens_details"],
    "reasoning_tokens",
  );
  return {
    promptTokens: prompt,
    completionTokens: completion,
    totalTokens: count(usage["total_tokens"]) ?? prompt + completion,
    ...(cached === undefined ? {} : { cachedTokens: cached }),
    ...(reasoning === undefined ? {} : { reasoningTokens: reasoning }),
  };
}

function detail(value: Json | undefined, key: string): number | undefined {
  return isJsonObject(value) ? count(value[key]) : undefined;
}

function count(value: Json | undefined): number | undefined {
  return typeof value === "number" && Number.isFinite(value) && value >= 0
    ? Math.round(value)
    : undefined;
}

function firstOf(value: Json | undefined): JsonObject | undefined {
  const first = Array.isArray(value) ? value[0] : undefined;
  return isJsonObject(first) ? first : undefined;
}

function stringOrNull(value: Json | undefined): string | null {
  return typeof value === "string" ? value : null;
}

/** Content is a string, null, or a list of parts of which those with text count. */
function contentText(content: Json | undefined): string | null {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return null;
  return content
    .map((part) => (isJsonObject(part) && typeof part["text"] === "string" ? part["text"] : ""))
    .join("");
}
