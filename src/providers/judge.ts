import { withoutThoughts } from "../domain/answer-json.ts";
import { type Answer, objectsIn, textOrNull } from "../domain/answer.ts";
import type { Failure } from "../domain/failure.ts";
import { isJsonObject, type Json, type JsonObject } from "../lib/json.ts";
import { failure } from "./classify.ts";
import { readErrorWords } from "./error-words.ts";
import { readLooseJson } from "./loose-json.ts";

/**
 * Why a complete answer has no content: the model refused, the answer was withheld, or the tokens were used up.
 * `null` if it has content; tool calls count as content.
 */
export function judgeAnswer({
  content,
  toolCalls,
  refusal,
  finishReason,
  wordForFinish,
  reasoning,
}: Answer): Failure | null {
  if (withoutThoughts(content) || toolCalls) return null;
  if (refusal?.trim()) return failure("refused", `The model refused: ${refusal.slice(0, 1900)}`);
  if (/^refusal$/i.test(wordForFinish ?? ""))
    return failure("refused", "The model refused and did not say why");
  if (finishReason === "content_filter")
    return failure(
      "content_filter",
      `The provider withheld the answer (${wordForFinish ?? "content filter"})`,
    );
  if (CONTEXT_FULL.test(wordForFinish ?? ""))
    return failure(
      "context_length",
      "The prompt and the answer do not fit into the model's context; the answer did not begin",
    );
  if (finishReason === "length")
    return failure(
      "truncated",
      reasoning || content?.trim()
        ? "The limit of tokens was used up by reasoning before the answer began; raise maxTokens"
        : "The limit of tokens was reached before the answer began; raise maxTokens",
    );
  return failure(
    "empty_response",
    reasoning
      ? "The provider's answer contains reasoning, but no result"
      : "The provider's answer contains no result",
  );
}

const CONTEXT_FULL = /^model_(context_window_exceeded|length)$/i;

/**
 * The error within an answer with a success status; `undefined` if there is none. Servers put it at the top, in a
 * choice, or into the status of a response.
 */
export function errorIn(response: Json | undefined): Json | undefined {
  if (Array.isArray(response)) return response.map(errorIn).find((error) => error !== undefined);
  if (!isJsonObject(response)) return undefined;
  if (saysSomething(response["error"])) return response;
  if (response["object"] === "error" || response["type"] === "error") return response;
  const inner = response["response"];
  if (response["type"] === "response.failed" && isJsonObject(inner)) return inner;
  if (response["object"] === "response" && response["status"] === "failed") return response;
  const base = response["base_resp"]; // MiniMax
  if (isJsonObject(base) && Number(base["status_code"]) > 0) return base;
  const blocked = blockReasonIn(response);
  if (blocked !== null)
    return { message: `The provider blocked the prompt (${blocked})`, code: "content_filter" };
  for (const choice of objectsIn(response["choices"])) {
    if (saysSomething(choice["error"])) return choice["error"];
    if (FAULTS.test(String(choice["finish_reason"])))
      return { message: `The provider gave the answer up (${String(choice["finish_reason"])})` };
  }
  return undefined;
}

/** For a blocked prompt Gemini returns no choices, but a reason. */
function blockReasonIn(response: JsonObject): string | null {
  if (objectsIn(response["choices"]).length > 0) return null;
  const feedback = response["promptFeedback"] ?? response["prompt_feedback"];
  return isJsonObject(feedback)
    ? textOrNull(feedback["blockReason"] ?? feedback["block_reason"])
    : null;
}

const FAULTS =
  /^(error|network_error|insufficient_system_resource|malformed_function_call|abort(ed)?)$/i;

function saysSomething(error: Json | undefined): error is Json {
  if (error === undefined || error === null || error === false || error === "") return false;
  return !isJsonObject(error) || Object.keys(error).length > 0;
}

/** The answer without what some gateways wrap it into: a list, a text, or an object of their own. */
export function unwrap(response: Json): Json {
  // The depth of what was parsed is limited, and so is this recursion.
  if (Array.isArray(response) && response.length === 1) return unwrap(response[0] ?? null);
  if (typeof response === "string") return readLooseJson(response) ?? response;
  if (!isJsonObject(response) || "choices" in response) return response;
  const inner = [response["data"], response["result"]].find(
    (value) => isJsonObject(value) && Array.isArray(value["choices"]),
  );
  return inner ?? response;
}

/** Whether an unusable answer contains an error message. */
export function looksLikeError(response: Json): boolean {
  if (!isJsonObject(response)) return false;
  const isAnswer = ["choices", "output", "data", "candidates"].some(
    (key) => (response[key] ?? null) !== null,
  );
  return (
    !isAnswer &&
    ["detail", "message", "Message", "errors", "error_msg", "msg"].some((key) => key in response) &&
    readErrorWords(response).message !== null
  );
}
