/** What an answer reports about one limit; `null` if nothing usable. */
export type Reported = { limit: number | null; remaining: number | null; resetMs: number | null };

/** What an answer reports about the provider's limits, whatever the dialect. */
export type RateLimitSignals = {
  requests: Reported | null;
  tokens: Reported | null;
  /** How long the provider asks to wait. */
  retryAfterMs: number | null;
  /** Which limit was hit, according to the refusal; `calls`: that of concurrent calls (or of their tokens). */
  scarce: "requests" | "tokens" | "calls" | null;
};
