import { withInstruction } from "../domain/ask-for-json.ts";
import { schemaIn } from "../domain/output.ts";
import { BoundedMap } from "../lib/bounded-map.ts";
import { isJsonObject, type Json, type JsonObject, parseJson } from "../lib/json.ts";
import { type ErrorWords, readErrorWords } from "./error-words.ts";

/*
 * Three ways to request an object, the best first: a schema that the provider enforces (`json_schema`), JSON mode
 * (`json_object`), and only an instruction. With the latter two the schema is part of the prompt. A refusal is
 * remembered: that of a way for a model, or that of a schema for a model.
 */

const AS_JSON_MODE = "response_format json_schema sent as json_object and an instruction";
const AS_INSTRUCTION = "response_format omitted, the schema sent as an instruction";

/** Messages that mean that the format is refused, and that the content of this schema is refused. */
const OF_FORMAT =
  /response[ _]?format|json[ _-]?schema|json[ _]?object|structured[ _-]?output|json[ _]mode|guided|grammar|invalid schema/i;
const OF_SCHEMA =
  /invalid (json )?schema|in context=|grammar|keyword|propert(y|ies)\b|\$ref|too (large|many|deep|complex)/i;
/** Groq's code for an answer that does not match, which is not a refusal of the request. */
const OF_ANSWER = "json_validate_failed";

/** The most entries to remember, because clients may invent names and schemas. */
const MOST_REMEMBERED = 1000;

/**
 * The problem and the text of an answer that the provider itself reports as not matching; the text is beside the
 * error (https://console.groq.com/docs/structured-outputs). `null` for other errors.
 */
export function readMismatch(said: string | Json): { problem: string; text: string | null } | null {
  const words = readErrorWords(said);
  if (!words.codes.includes(OF_ANSWER)) return null;
  const body = typeof said === "string" ? parseJson(said) : said;
  const error = isJsonObject(body) && isJsonObject(body["error"]) ? body["error"] : body;
  const text = isJsonObject(error) ? error["failed_generation"] : null;
  return {
    problem: words.message ?? "the provider says that it does not match",
    text: typeof text === "string" ? text : null,
  };
}

export function createFormats() {
  const schemas = new BoundedMap<string, true>(MOST_REMEMBERED);
  const noSchemas = new BoundedMap<string, true>(MOST_REMEMBERED);
  const noJsonMode = new BoundedMap<string, true>(MOST_REMEMBERED);
  const modelOf = (body: JsonObject) => String(body["model"]);
  const nameOf = (body: JsonObject) => JSON.stringify([modelOf(body), schemaIn(body) ?? null]);

  return {
    knows: () => schemas.size + noSchemas.size > 0,

    /** The body in the form that the model accepts, and the list of changes. */
    apply(body: JsonObject): { body: JsonObject; adjusted: string[] } {
      const model = modelOf(body);
      if (!schemaIn(body) || !(noSchemas.has(model) || schemas.has(nameOf(body))))
        return { body, adjusted: [] };
      const { response_format: _format, ...rest } = withInstruction(body);
      return noJsonMode.has(model)
        ? { body: rest, adjusted: [AS_INSTRUCTION] }
        : {
            body: { ...rest, response_format: { type: "json_object" } },
            adjusted: [AS_JSON_MODE],
          };
    },

    /**
     * Learns from a refusal. Returns whether it is about the way in which the body requests its object; the next way
     * is then used.
     */
    learn(sent: JsonObject, status: number, words: ErrorWords): boolean {
      const format = sent["response_format"];
      if (!isJsonObject(format) || !isRefusal(status, words)) return false;
      const model = modelOf(sent);
      if (format["type"] === "json_object") noJsonMode.set(model, true);
      else if (OF_SCHEMA.test(words.message ?? "")) schemas.set(nameOf(sent), true);
      else noSchemas.set(model, true);
      return true;
    },
  };
}

function isRefusal(status: number, { message, param, codes }: ErrorWords): boolean {
  if ((status !== 400 && status !== 422) || codes.includes(OF_ANSWER)) return false;
  return /^(response_format|text\.format)\b/.test(param ?? "") || OF_FORMAT.test(message ?? "");
}
