import type { ServiceTier } from "./flex.ts";

/** A request whose tokens are to be counted: the provider's body, as JSON. */
export type Measurable = { model: string; body: string };

export type RequestSize = {
  promptTokens: number;
  /** The most that the answer may have; `null` where the request sets no limit. */
  maxOutputTokens: number | null;
  /** The tier that the request asks for; `null` where it names none, or was not read. */
  tier: ServiceTier | null;
};

/** Counts tokens in a thread of its own, because a text can take a tokenizer a tenth of a second. */
export type TokenCounter = {
  /**
   * The sizes of requests, in their order. Never rejects: where the thread needs more than `withinMs`, or
   * dies, they are estimated from the requests' lengths.
   */
  measure(requests: readonly Measurable[], withinMs: number): Promise<RequestSize[]>;
  /** Ends the thread; later counts are estimates. */
  stop(): void;
};

/** English text; others have fewer. */
const CHARACTERS_PER_TOKEN = 4;

/** What is sent as a data URL is no text. */
const DATA_URLS = /"data:[^"]*"/g;

/** The size of a request at a glance. */
export function guessSize({ body }: Measurable): RequestSize {
  const text = body.includes('"data:') ? body.replaceAll(DATA_URLS, '""') : body;
  const promptTokens = Math.ceil(text.length / CHARACTERS_PER_TOKEN);
  return { promptTokens, maxOutputTokens: null, tier: null };
}
