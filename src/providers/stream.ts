import type { Endpoint } from "../domain/request.ts";
import { isJsonObject, type Json, type JsonObject } from "../lib/json.ts";

/**
 * Reads a streamed answer to its end and puts together what the provider would have sent in one
 * piece. `undefined` where the stream ended before the provider said that it was done.
 */
export async function assembleStream(
  endpoint: Endpoint,
  chunks: AsyncIterable<unknown>,
  onDelta: (text: string) => void,
): Promise<JsonObject | undefined> {
  if (endpoint === "/v1/responses") return assembleResponse(chunks, onDelta);
  return assembleChoices(endpoint, chunks, onDelta);
}

async function assembleResponse(
  events: AsyncIterable<unknown>,
  onDelta: (text: string) => void,
): Promise<JsonObject | undefined> {
  for await (const event of events) {
    if (!isJsonObject(event)) continue;
    if (event["type"] === "response.output_text.delta" && typeof event["delta"] === "string")
      onDelta(event["delta"]);
    if (/^response\.(completed|incomplete|failed)$/.test(String(event["type"])))
      return isJsonObject(event["response"]) ? event["response"] : undefined;
  }
  return undefined;
}

type Choice = {
  content: string | null;
  refusal: string | null;
  toolCalls: JsonObject[];
  finish: string | null;
};

async function assembleChoices(
  endpoint: Endpoint,
  chunks: AsyncIterable<unknown>,
  onDelta: (text: string) => void,
): Promise<JsonObject | undefined> {
  let head: JsonObject | undefined;
  let usage: Json = null;
  const choices = new Map<number, Choice>();
  for await (const chunk of chunks) {
    if (!isJsonObject(chunk)) continue;
    if (isJsonObject(chunk["error"])) return { error: chunk["error"] };
    const { choices: parts, usage: told, object: _object, ...rest } = chunk;
    head ??= rest;
    if (isJsonObject(told)) usage = told;
    for (const part of Array.isArray(parts) ? parts.filter(isJsonObject) : [])
      addPart(choices, part, onDelta);
  }
  const ended = [...choices.values()];
  if (ended.length === 0 || ended.some((choice) => choice.finish === null)) return undefined;
  return endpoint === "/v1/completions"
    ? { ...head, object: "text_completion", choices: [...choices].map(toTextChoice), usage }
    : { ...head, object: "chat.completion", choices: [...choices].map(toChatChoice), usage };
}

function addPart(choices: Map<number, Choice>, part: JsonObject, onDelta: (text: string) => void) {
  const index = typeof part["index"] === "number" ? part["index"] : 0;
  let choice = choices.get(index);
  if (!choice) {
    choice = { content: null, refusal: null, toolCalls: [], finish: null };
    choices.set(index, choice);
  }
  const delta = isJsonObject(part["delta"]) ? part["delta"] : {};
  const text = delta["content"] ?? part["text"];
  if (typeof text === "string") {
    choice.content = (choice.content ?? "") + text;
    if (index === 0 && text !== "") onDelta(text);
  }
  if (typeof delta["refusal"] === "string")
    choice.refusal = (choice.refusal ?? "") + delta["refusal"];
  for (const call of Array.isArray(delta["tool_calls"])
    ? delta["tool_calls"].filter(isJsonObject)
    : [])
    addToolCall(choice.toolCalls, call);
  if (typeof part["finish_reason"] === "string") choice.finish = part["finish_reason"];
}

/** The first piece of a call names it; later ones with the same index append to its arguments. */
function addToolCall(calls: JsonObject[], piece: JsonObject): void {
  const index = typeof piece["index"] === "number" ? piece["index"] : calls.length;
  const fn = isJsonObject(piece["function"]) ? piece["function"] : {};
  const known = calls[index];
  if (!known) {
    const { index: _index, ...call } = piece;
    calls[index] = { ...call, function: { arguments: "", ...fn } };
    return;
  }
  const before = isJsonObject(known["function"]) ? known["function"] : {};
  const more = typeof fn["arguments"] === "string" ? fn["arguments"] : "";
  known["function"] = { ...before, arguments: String(before["arguments"] ?? "") + more };
}

function toTextChoice([index, { content, finish }]: [number, Choice]): JsonObject {
  return { index, text: content, logprobs: null, finish_reason: finish };
}

function toChatChoice([index, { content, refusal, toolCalls, finish }]: [
  number,
  Choice,
]): JsonObject {
  return {
    index,
    message: {
      role: "assistant",
      content,
      refusal,
      ...(toolCalls.length > 0 ? { tool_calls: toolCalls.filter(Boolean) } : {}),
    },
    finish_reason: finish,
  };
}
