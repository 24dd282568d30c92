import { attachedTokens } from "../domain/attachments.ts";
import { promptText } from "../domain/request.ts";
import type { JsonObject } from "../lib/json.ts";

type Tokenizer = {
  countTokens: (text: string, options?: { disallowedSpecial: Set<string> }) => number;
};

/** Texts that look like control tokens are counted as ordinary text. */
const AS_TEXT = { disallowedSpecial: new Set<string>() };

/** Models before GPT-4o have another vocabulary. */
const OLD_VOCABULARY = /^(gpt-4(?!o|\.1|\.5)|gpt-3\.5|text-embedding)/;

/** The tokens around each message, and before the answer (OpenAI cookbook, counting tokens). */
const TOKENS_PER_MESSAGE = 3;
const TOKENS_PER_REPLY = 3;

/** Tokens of longer texts are estimated from a sample. */
const MOST_CHARACTERS = 40_000;
/**
 * The tokenizer processes a run of letters or of spaces as a whole, in time that grows with the square of its length.
 */
const LONG_RUN = /\S{257}|\s{257}/;
/** The sample consists of pieces that are spread evenly. It takes at most 80 ms of CPU time. */
const PIECE = 256;
const MOST_PIECES = 32;

const loaded = new Map<string, Promise<Tokenizer>>();

/**
 * Counts tokens as the model does; models that OpenAI does not publish a vocabulary for are counted with that of
 * GPT-4o. A text with long runs is counted in pieces, and a long text by a sample, so no text takes more than 300 ms.
 * That is still too long for the main thread, so call it in worker threads. A vocabulary takes half a second and 60
 * MB to load, so each is loaded on first use and kept.
 */
export async function countTokens(model: string, text: string): Promise<number> {
  const tokenizer = await tokenizerFor(model);
  if (text.length <= MOST_CHARACTERS && !LONG_RUN.test(text))
    return tokenizer.countTokens(text, AS_TEXT);
  const pieces = Math.ceil(text.length / PIECE);
  const counted = Math.min(pieces, MOST_PIECES);
  let [tokens, characters] = [0, 0];
  for (let i = 0; i < counted; i++) {
    const from = Math.floor((i * pieces) / counted) * PIECE;
    const piece = text.slice(from, from + PIECE);
    tokens += tokenizer.countTokens(piece, AS_TEXT);
    characters += piece.length;
  }
  return Math.ceil((tokens * text.length) / characters);
}

/** Tokens of a whole request, including message framing; those of images and documents are estimates. */
export async function countPromptTokens(model: string, body: JsonObject): Promise<number> {
  const text = await countTokens(model, promptText(body));
  return text + framingTokens(body) + attachedTokens(body);
}

/** The tokens that a chat needs besides the texts of its messages. */
export function framingTokens({ messages }: JsonObject): number {
  return Array.isArray(messages) ? messages.length * TOKENS_PER_MESSAGE + TOKENS_PER_REPLY : 0;
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
