import { getLogger } from "@logtape/logtape";

import { promptText } from "../domain/request.ts";
import { background } from "../lib/background.ts";
import type { JsonObject } from "../lib/json.ts";

type Tokenizer = {
  countTokens: (text: string, options?: { disallowedSpecial: Set<string> }) => number;
};

/** What looks like a control token in a prompt is text like any other. */
const AS_TEXT = { disallowedSpecial: new Set<string>() };

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
  return (await tokenizerFor(model)).countTokens(text, AS_TEXT);
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

/** Texts beyond this are counted by their beginning: a megabyte would take 25 ms. */
const COUNTED_CHARS = 40_000;
const CHARS_PER_TOKEN = 4;
const ready = new Map<string, Tokenizer>();

/**
 * Tokens of a whole request at once: while the vocabulary is being loaded, and beyond the beginning
 * of a long text, from the number of characters.
 */
export function estimatePromptTokens(model: string, body: JsonObject): number {
  const text = promptText(body);
  const messages = body["messages"];
  const framing = Array.isArray(messages)
    ? messages.length * TOKENS_PER_MESSAGE + TOKENS_PER_REPLY
    : 0;
  const tokenizer = ready.get(model);
  if (!tokenizer) {
    const loading = tokenizerFor(model).then((loadedNow) => ready.set(model, loadedNow));
    background(getLogger(["gptrunner", "tokens"]), "The loading of a vocabulary", loading);
    return framing + Math.ceil(text.length / CHARS_PER_TOKEN);
  }
  const counted = tokenizer.countTokens(text.slice(0, COUNTED_CHARS), AS_TEXT);
  return framing + Math.ceil(counted * Math.max(1, text.length / COUNTED_CHARS));
}
