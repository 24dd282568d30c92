/** What an answer reports about one limit; `null` where it says nothing useful. */
export type Reported = { limit: number | null; remaining: number | null; resetMs: number | null };

/** What an answer reports about the provider's limits, whatever the dialect. */
export type RateLimitSignals = {
  requests: Reported | null;
  tokens: Reported | null;
  /** How long the provider asks to wait. */
  retryAfterMs: number | null;
  /** Which limit a refusal says was hit; `calls`: that of calls (or of their tokens) at once. */
  scarce: "requests" | "tokens" | "calls" | null;
};
