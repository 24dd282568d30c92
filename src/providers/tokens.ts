import { promptText } from "../domain/request.ts";
import type { JsonObject } from "../lib/json.ts";

type Tokenizer = { countTokens: (text: string) => number };

/** Models of the generation before GPT-4o have another vocabulary. */
const OLD_VOCABULARY = /^(gpt-4(?!o|\.1|\.5)|gpt-3\.5|text-embedding)/;

/** What chat wraps around each message, and the start of the answer (OpenAI cookbook, counting tokens). */
const TOKENS_PER_MESSAGE = 3;
const TOKENS_PER_REPLY = 3;

const loaded = new Map<string, Promise<Tokenizer>>();

/**
 * Counts tokens as the model does; models that OpenAI does not publish a vocabulary for are counted
 * with that of GPT-4o. A vocabulary takes half a second and 60 MB to load, so each is loaded when
 * first asked for and kept.
 */
export async function countTokens(model: string, text: string): Promise<number> {
  return (await tokenizerFor(model)).countTokens(text);
}

/** Tokens of a whole request, message framing included. */
export async function countPromptTokens(model: string, body: JsonObject): Promise<number> {
  const text = await countTokens(model, promptText(body));
  const messages = body["messages"];
  return Array.isArray(messages)
    ? text + messages.length * TOKENS_PER_MESSAGE + TOKENS_PER_REPLY
    : text;
}

function tokenizerFor(model: string): Promise<Tokenizer> {
  const name = OLD_VOCABULARY.test(model) ? "cl100k_base" : "o200k_base";
  let tokenizer = loaded.get(name);
  if (!tokenizer) {
    tokenizer =
      name === "cl100k_base"
        ? import("gpt-tokenizer/encoding/cl100k_base")
        : import("gpt-tokenizer/encoding/o200k_base");
    loaded.set(name, tokenizer);
  }
  return tokenizer;
}
