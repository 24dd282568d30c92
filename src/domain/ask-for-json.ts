import { parseExactOrNone } from "../lib/exact-json.ts";
import { isJsonObject, type Json, type JsonObject, parseJson } from "../lib/json.ts";
import { schemaIn } from "./output.ts";

/** An answer that did not match its schema, and why, as the next call quotes them. */
export type Repair = { text: string; problem: string };

/** The most characters of a faulty answer that are sent back to the model. */
const LONGEST_QUOTE = 20_000;

export function toRepair(text: string | null, problem: string): Repair {
  const said = text ?? "";
  const isLong = said.length > LONGEST_QUOTE;
  return { text: isLong ? `${said.slice(0, LONGEST_QUOTE).toWellFormed()} […]` : said, problem };
}

/**
 * Parses a stored repair. The text is read in pieces, so it can be malformed if the run was taken over by another
 * process meanwhile; that process ignores what this one does.
 */
export function readRepair(stored: string | null): Repair | null {
  const value = stored === null ? null : parseJson(stored);
  if (!isJsonObject(value)) return null;
  const { text, problem } = value;
  return typeof text === "string" && typeof problem === "string" ? { text, problem } : null;
}

/** The same request, followed by the faulty answer and what is wrong with it. */
export function withRepair(body: string, { text, problem }: Repair): string {
  const request = parseExactOrNone(body);
  if (!isJsonObject(request)) return body;
  const words = `This does not match the JSON Schema: ${problem}. ${instruction(request)}`;
  const messages: Json[] = Array.isArray(request["messages"]) ? request["messages"] : [];
  return JSON.stringify({
    ...request,
    messages: [
      ...messages,
      // Some providers refuse a message without text.
      ...(text.trim() === "" ? [] : [{ role: "assistant", content: text }]),
      { role: "user", content: words },
    ],
  });
}

/**
 * Adds the instruction to answer in JSON to the last user message, unless it is there already. Every model reads that
 * message.
 */
export function withInstruction(request: JsonObject): JsonObject {
  const words = instruction(request);
  const messages: Json[] = Array.isArray(request["messages"]) ? request["messages"] : [];
  const last = messages.findLastIndex((one) => isJsonObject(one) && one["role"] === "user");
  const message = messages[last];
  if (!isJsonObject(message))
    return { ...request, messages: [...messages, { role: "user", content: words }] };
  const { content = null } = message;
  if (typeof content === "string" && content.endsWith(words)) return request;
  const reported = Array.isArray(content)
    ? [...content, { type: "text", text: words }]
    : `${typeof content === "string" ? content : ""}\n\n${words}`;
  return { ...request, messages: messages.with(last, { ...message, content: reported }) };
}

function instruction(request: JsonObject): string {
  const schema = JSON.stringify(schemaIn(request) ?? {});
  return `Answer with one JSON object that matches this JSON Schema, and with nothing else: ${schema}`;
}
