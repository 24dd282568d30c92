import { isJsonObject, type JsonObject } from "../lib/json.ts";

/** Why an answer ended, in OpenAI's words; `null` if the provider gave no reason. */
export type Finish = "stop" | "length" | "tool_calls" | "content_filter" | "error";

/** The words of various servers for each reason, compared without case. */
const WORDS: Record<Finish, readonly string[]> = {
  stop: ["stop", "eos", "eos_token", "end_turn", "stop_sequence", "completed", "complete", "done"],
  length: [
    "length",
    "max_tokens",
    "max_output_tokens",
    "model_length",
    "max_length",
    "model_context_window_exceeded",
    "token_limit",
  ],
  tool_calls: ["tool_calls", "tool_use", "tool_call", "function_call"],
  content_filter: [
    "content_filter",
    "content_filtered",
    "safety",
    "image_safety",
    "prohibited_content",
    "image_prohibited_content",
    "recitation",
    "image_recitation",
    "blocklist",
    "spii",
    "language",
    "sensitive",
    "refusal",
    "guardrail_intervened",
    "guardrails",
    "model_armor",
    "violation",
    "error_toxic",
  ],
  error: [
    "error",
    "network_error",
    "insufficient_system_resource",
    "malformed_function_call",
    "abort",
    "aborted",
    "error_limit",
  ],
};

const BY_WORD = new Map(
  Object.entries(WORDS).flatMap(([finish, words]) =>
    words.map((word) => [word, finish as Finish] as const),
  ),
);

/** The reason that a provider's word stands for; `undefined` for unknown words. */
export function finishOf(word: string | null): Finish | undefined {
  const text = word?.toLowerCase().replace(/^finish_?reason_/, "") ?? "";
  // Gemini appends its own reason: `content_filter: SAFETY`.
  return BY_WORD.get(text) ?? BY_WORD.get(text.split(":", 1)[0]?.trim() ?? "");
}

/** A choice's word for why it ended. SGLang puts it into an object, and Gemini's streams name the member in camel case. */
export function finishWordIn(choice: JsonObject): string | null {
  for (const word of [choice["finish_reason"], choice["finishReason"]]) {
    const text = isJsonObject(word) ? word["type"] : word;
    if (typeof text === "string" && text !== "") return text;
  }
  return null;
}
