import { isJsonObject, type Json, type JsonObject } from "../lib/json.ts";
import { finishOf, finishWordIn } from "./finish.ts";
import type { Endpoint } from "./request.ts";
import { readUsage, type Usage, type UsageReport } from "./usage.ts";

export type Answer = {
  content: string | null;
  /** The model's reasoning, if the provider returns it. */
  reasoning: string | null;
  /** The model's refusal, in its own words. */
  refusal: string | null;
  /** OpenAI's word for it if there is one; `wordForFinish` is the provider's own. */
  finishReason: string | null;
  wordForFinish: string | null;
  model: string | null;
  usage: Usage | null;
  usageReported: UsageReport["reported"];
  toolCalls: Json[] | null;
  /** The service tier that served the request, if the provider reports it. */
  serviceTier: string | null;
};

/**
 * Reads a provider's answer tolerantly: a field that is missing or malformed is null. `undefined` if it is not an
 * answer of that endpoint at all (no choices, no output, no data).
 */
export function readAnswer(endpoint: Endpoint, response: Json | undefined): Answer | undefined {
  if (!isJsonObject(response)) return undefined;
  const reported = (READERS[endpoint] ?? readOther)(response);
  if (!reported) return undefined;
  const { content, reasoning = null, refusal = null, toolCalls = null, finish = null } = reported;
  const word = wordOrNull(finish);
  const { reported: usageReported, usage } = readUsage(usageIn(response));
  return {
    content,
    reasoning,
    refusal,
    toolCalls,
    finishReason: finishOf(word) ?? word,
    wordForFinish: word,
    model: wordOrNull(response["model"]),
    usage,
    usageReported,
    serviceTier: wordOrNull(response["service_tier"]),
  };
}

/** Whether an answer was cut off, so that its text is not whole. */
export function isTruncated({ finishReason }: Pick<Answer, "finishReason">): boolean {
  return finishReason === "length" || finishReason === "content_filter";
}

type Reported = Pick<Answer, "content"> &
  Partial<Pick<Answer, "reasoning" | "refusal" | "toolCalls">> & { finish?: string | null };

const READERS: Partial<Record<Endpoint, (response: JsonObject) => Reported | undefined>> = {
  "/v1/chat/completions": (response) => {
    const choices = objectsIn(response["choices"]);
    const reported = choices.map(readChoice);
    return reported.find(saysSomething) ?? reported[0];
  },
  "/v1/completions": (response) => {
    const [choice] = objectsIn(response["choices"]);
    if (!choice) return undefined;
    return {
      content: textOrNull(choice["text"]) ?? readChoice(choice).content,
      finish: finishWordIn(choice),
    };
  },
  "/v1/responses": (response) => {
    const output = response["output"];
    if (!Array.isArray(output)) return undefined;
    const items = output.filter(isJsonObject);
    const parts: Json[] = items
      .filter(({ type }) => type === "message")
      .flatMap(({ content = null }) => content);
    const calls = items.filter(({ type }) => String(type).endsWith("_call"));
    const thoughts = items.filter(({ type }) => type === "reasoning");
    const text = contentText(parts) ?? "";
    return {
      content: text === "" && calls.length > 0 ? null : text,
      reasoning: joined(thoughts.map(({ summary, content }) => contentText(content ?? summary))),
      refusal: joined(
        parts.map((part) => (isJsonObject(part) ? textOrNull(part["refusal"]) : null)),
      ),
      finish: finishOfResponse(response),
      toolCalls: calls.length > 0 ? calls : null,
    };
  },
  "/v1/embeddings": (response) => {
    const data = response["data"];
    if (!Array.isArray(data) || data.length === 0) return undefined;
    const vectors = data.filter(isJsonObject).map((item) => item["embedding"] ?? null);
    if (vectors.every(isEmptyVector)) return { content: null };
    return { content: JSON.stringify(vectors.length === 1 ? vectors[0] : vectors) };
  },
};

function isEmptyVector(vector: Json): boolean {
  return vector === null || vector === "" || (Array.isArray(vector) && vector.length === 0);
}

/** For an unknown endpoint the text of the answer is the whole response. */
function readOther(response: JsonObject): Reported {
  return { content: JSON.stringify(response) };
}

function readChoice(choice: JsonObject): Reported {
  const message = isJsonObject(choice["message"]) ? choice["message"] : {};
  const calls = message["tool_calls"] ?? choice["tool_calls"];
  // `function_call`, the predecessor of `tool_calls`.
  const call = message["function_call"];
  const text = contentText(message["content"]);
  return {
    content: textOrNull(text) ?? textOrNull(choice["text"]) ?? mediaText(message) ?? text,
    reasoning:
      contentText(message["reasoning_content"]) ??
      contentText(message["reasoning"]) ??
      contentText(message["thinking"]) ??
      thoughtText(message["content"]),
    refusal: textOrNull(message["refusal"]),
    finish: finishWordIn(choice),
    toolCalls:
      callsIn(calls) ?? (isJsonObject(call) ? [{ type: "function", function: call }] : null),
  };
}

/** Hugging Face's server may send one call instead of a list, and arguments that are not a text. */
function callsIn(value: Json | undefined): Json[] | null {
  const calls = Array.isArray(value) ? value : isJsonObject(value) ? [value] : [];
  return calls.length === 0 ? null : calls.map(withTextArguments);
}

function withTextArguments(call: Json): Json {
  const fn = isJsonObject(call) ? call["function"] : undefined;
  if (!isJsonObject(call) || !isJsonObject(fn) || !isJsonObject(fn["arguments"])) return call;
  return { ...call, function: { ...fn, arguments: JSON.stringify(fn["arguments"]) } };
}

/** What a message without text has instead: the transcript of speech, or the addresses of images. */
function mediaText({ audio, images }: JsonObject): string | null {
  const transcript = isJsonObject(audio) ? textOrNull(audio["transcript"]) : null;
  const urls = objectsIn(images).map(({ image_url: image }) =>
    isJsonObject(image) ? textOrNull(image["url"]) : textOrNull(image),
  );
  return transcript ?? textOrNull(urls.filter((url) => url !== null).join("\n"));
}

function saysSomething({ content, toolCalls, refusal }: Reported): boolean {
  return !!content?.trim() || toolCalls != null || refusal != null;
}

function finishOfResponse(response: JsonObject): string | null {
  const details = response["incomplete_details"];
  const reason = isJsonObject(details) ? textOrNull(details["reason"]) : null;
  const status = textOrNull(response["status"]);
  return status === "incomplete" ? (reason ?? "length") : status;
}

/** Usage stands at the top, in the first choice (Moonshot) or under a name of the server's own (Groq, Gemini). */
function usageIn(response: JsonObject): Json | undefined {
  const groq = response["x_groq"];
  const places = [
    response["usage"],
    objectsIn(response["choices"])[0]?.["usage"],
    isJsonObject(groq) ? groq["usage"] : undefined,
    response["usageMetadata"],
    response["usage_metadata"],
  ];
  return places.find(isJsonObject);
}

export function objectsIn(value: Json | undefined): JsonObject[] {
  return Array.isArray(value) ? value.filter(isJsonObject) : [];
}

/** The text, or `null` if it is empty. */
export function textOrNull(value: Json | undefined): string | null {
  return typeof value === "string" && value !== "" ? value : null;
}

/** As long as the names that clients may choose (`ModelName`). */
const LONGEST_WORD = 200;
const NUL = "\u0000";

/**
 * A name, an id or a code from a provider: a model, a finish reason, a request id. These are stored with each call and
 * appear in metrics, so a longer one is cut, and U+0000 is left out, at which SQLite would end it. `null` if it is empty.
 */
export function wordOrNull(value: Json | undefined): string | null {
  const text = textOrNull(value);
  if (text === null || (text.length <= LONGEST_WORD && !text.includes(NUL))) return text;
  return textOrNull(text.replaceAll(NUL, "").slice(0, LONGEST_WORD));
}

/** Content is a string, null, or a list of parts. The text parts count, without the reasoning. */
export function contentText(content: Json | undefined): string | null {
  if (typeof content === "string") return content;
  // Some providers return requested JSON already parsed.
  if (isJsonObject(content)) return textOrNull(content["text"]) ?? JSON.stringify(content);
  if (!Array.isArray(content)) return null;
  return content.map((part) => (isThought(part) ? "" : partText(part))).join("");
}

/** Mistral's reasoning models send their reasoning as a part of the content. */
export function thoughtText(content: Json | undefined): string | null {
  if (!Array.isArray(content)) return null;
  return joined(
    objectsIn(content)
      .filter(isThought)
      .map((part) => contentText(part["thinking"] ?? part["text"])),
  );
}

function isThought(part: Json): boolean {
  return isJsonObject(part) && /^(thinking|reasoning|thought)/.test(String(part["type"]));
}

function partText(part: Json): string {
  if (typeof part === "string") return part;
  if (!isJsonObject(part)) return "";
  const { text } = part;
  return textOrNull(isJsonObject(text) ? text["value"] : text) ?? "";
}

function joined(texts: (string | null)[]): string | null {
  const text = texts.filter((one) => one !== null).join("");
  return text === "" ? null : text;
}
