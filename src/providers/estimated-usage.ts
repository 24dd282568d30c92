import type { Answer } from "../domain/answer.ts";
import { attachedTokens } from "../domain/attachments.ts";
import { type Endpoint, isCounted, promptText } from "../domain/request.ts";
import type { Usage } from "../domain/usage.ts";
import { isJsonObject, type JsonObject, parseJson } from "../lib/json.ts";
import { countTokens, framingTokens } from "./tokens.ts";

/** The parts of an answer that are counted. */
type Said = Pick<Answer, "content" | "reasoning" | "refusal" | "toolCalls">;

/**
 * Estimates the usage of a call that got no answer, which the provider may have made nevertheless: its prompt, and the
 * part of a stream that had arrived.
 */
export function estimateUnanswered(
  request: { endpoint: Endpoint; body: string },
  arrived: string,
): Promise<Usage> {
  const content = arrived === "" ? null : arrived;
  return estimateUsage(request, { content, reasoning: null, refusal: null, toolCalls: null });
}

/**
 * Estimates the usage of a call if the provider does not report it: the tokens of the request's and the answer's
 * texts, and an estimate for images and documents. Hidden reasoning is not included. The answer of an unknown endpoint,
 * which may be an image, counts for nothing, because its bytes say nothing about tokens.
 */
export async function estimateUsage(
  { endpoint, body }: { endpoint: Endpoint; body: string },
  answer: Said,
): Promise<Usage> {
  const parsed = parseJson(body);
  const request = isJsonObject(parsed) ? parsed : {};
  const model = String(request["model"]);
  const text = await countTokens(model, textOfRequest(request));
  const promptTokens = text + framingTokens(request) + attachedTokens(request);
  const hasTextAsAnswer = isCounted(endpoint) && endpoint !== "/v1/embeddings";
  const completionTokens = hasTextAsAnswer ? await completionOf(model, answer) : 0;
  return {
    promptTokens,
    completionTokens,
    totalTokens: promptTokens + completionTokens,
    estimated: true,
  };
}

async function completionOf(model: string, answer: Said): Promise<number> {
  const { content, reasoning, refusal, toolCalls } = answer;
  const calls = toolCalls === null ? null : JSON.stringify(toolCalls);
  const text = [content, reasoning, refusal, calls].filter((part) => part !== null).join("\n");
  return countTokens(model, text);
}

/** The text that a model reads: the messages, tools and schemas of a request. */
function textOfRequest(request: JsonObject): string {
  const others = [request["tools"], request["functions"], request["response_format"]]
    .filter((part) => part !== undefined && part !== null)
    .map((part) => JSON.stringify(part));
  return [promptText(request), ...others].join("\n");
}
