import type { JsonObject } from "../lib/json.ts";
import type { ServiceTier } from "./flex.ts";

/** A request whose tokens are to be counted: the provider's body, as JSON. */
export type Measurable = { model: string; body: string };

export type RequestSize = {
  promptTokens: number;
  /** The most tokens that the answer may have; `null` if the request sets no limit. */
  maxOutputTokens: number | null;
  /** The requested service tier; `null` if there is none, or the request was not parsed. */
  tier: ServiceTier | null;
};

/** Counts tokens in a thread of its own, because a text can take a tokenizer a tenth of a second. */
export type TokenCounter = {
  /**
   * The sizes of requests, in their order. Never rejects: if the thread needs more than `withinMs`, or dies, the
   * sizes are estimated from the requests' lengths.
   */
  measure(requests: readonly Measurable[], withinMs: number): Promise<RequestSize[]>;
  /** Ends the thread; later counts are estimates. */
  stop(): void;
};

/** English text; others have fewer. */
const CHARACTERS_PER_TOKEN = 4;

/** The content of a data URL is not text. */
const DATA_URLS = /"data:[^"]*"/g;

/** A quick estimate of a request's size, from its length. */
export function guessSize({ body }: Measurable): RequestSize {
  const text = body.includes('"data:') ? body.replaceAll(DATA_URLS, '""') : body;
  const promptTokens = Math.ceil(text.length / CHARACTERS_PER_TOKEN);
  return { promptTokens, maxOutputTokens: null, tier: null };
}

/** The most tokens that the answer may have, by the request as it is sent; `null` if it sets no limit. */
export function maxTokensOf(body: JsonObject): number | null {
  for (const key of ["max_completion_tokens", "max_tokens", "max_output_tokens"]) {
    const value = body[key];
    if (typeof value === "number" && value >= 0) return value;
  }
  return null;
}
