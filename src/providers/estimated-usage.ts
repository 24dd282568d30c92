import type { Answer } from "../domain/answer.ts";
import { type Endpoint, promptText } from "../domain/request.ts";
import type { Usage } from "../domain/usage.ts";
import { isJsonObject, type JsonObject, parseJson } from "../lib/json.ts";
import { countTokens } from "./tokens.ts";

/** What chat wraps around each message, and the start of the answer. */
const TOKENS_PER_MESSAGE = 3;
const TOKENS_PER_REPLY = 3;

/*
 * Tokens are counted in pieces, because some texts (a genome, a long word) take a tokenizer a time that
 * grows with the square of their length. Of a long text so many pieces are counted, spread evenly.
 */
const PIECE = 256;
const MOST_PIECES = 32;

/** What an answer of an endpoint that nothing is known of may have taken; it may be an image. */
const MOST_OF_OTHERS = 4096;

const KNOWN: ReadonlySet<string> = new Set([
  "/v1/chat/completions",
  "/v1/completions",
  "/v1/responses",
]);

/**
 * What a call has taken whose provider does not tell it: the tokens of the texts that went out and came
 * back. Images and the like, and what a model thought without telling, are not in it.
 */
export async function estimateUsage(
  { endpoint, body }: { endpoint: Endpoint; body: string },
  answer: Answer,
): Promise<Usage> {
  const parsed = parseJson(body);
  const request = isJsonObject(parsed) ? parsed : {};
  const model = String(request["model"]);
  const promptTokens = (await estimateTokens(model, textOfRequest(request))) + framing(request);
  const completionTokens =
    endpoint === "/v1/embeddings" ? 0 : await completionOf(endpoint, model, answer);
  return {
    promptTokens,
    completionTokens,
    totalTokens: promptTokens + completionTokens,
    estimated: true,
  };
}

/** Tokens of a text; of a long one according to a sample. */
export async function estimateTokens(model: string, text: string): Promise<number> {
  const pieces = Math.ceil(text.length / PIECE);
  const counted = Math.min(pieces, MOST_PIECES);
  let [tokens, characters] = [0, 0];
  for (let i = 0; i < counted; i++) {
    const from = Math.floor((i * pieces) / counted) * PIECE;
    const piece = text.slice(from, from + PIECE);
    tokens += await countTokens(model, piece);
    characters += piece.length;
  }
  return characters === 0 ? 0 : Math.ceil((tokens * text.length) / characters);
}

async function completionOf(endpoint: Endpoint, model: string, answer: Answer): Promise<number> {
  const { content, reasoning, refusal, toolCalls } = answer;
  const calls = toolCalls === null ? null : JSON.stringify(toolCalls);
  const text = [content, reasoning, refusal, calls].filter((part) => part !== null).join("\n");
  const tokens = await estimateTokens(model, text);
  return KNOWN.has(endpoint) ? tokens : Math.min(tokens, MOST_OF_OTHERS);
}

/** What a model reads of a request: its messages, and the tools and schemas that it is given. */
function textOfRequest(request: JsonObject): string {
  const others = [request["tools"], request["functions"], request["response_format"]]
    .filter((part) => part !== undefined && part !== null)
    .map((part) => JSON.stringify(part));
  return [promptText(request), ...others].join("\n");
}

function framing({ messages }: JsonObject): number {
  return Array.isArray(messages) ? messages.length * TOKENS_PER_MESSAGE + TOKENS_PER_REPLY : 0;
}
