import { matchesModel } from "./models.ts";
import type { Usage } from "./usage.ts";

/** USD per million tokens. Cached input costs as input, and reasoning as output, where nothing else is said. */
export type Price = {
  input: number;
  cachedInput?: number | undefined;
  output: number;
  reasoning?: number | undefined;
};

/** Prices by pattern of model; the first that matches counts. */
export type PriceTable = [pattern: string, price: Price][];

/**
 * USD per million tokens, from OpenAI's price list (standard tier). gpt-tokenizer also carries
 * prices, but on inspection version 4.0.0 has the same 10/30 for gpt-4o, gpt-4.1 and gpt-5 and none
 * for their mini variants, so it is not used for money. A model that is not here has no known price.
 */
const PRICES = new Map<string, Price>(
  Object.entries({
    "gpt-3.5-turbo": { input: 0.5, output: 1.5 },
    "gpt-3.5-turbo-instruct": { input: 1.5, output: 2 },
    "gpt-4": { input: 30, output: 60 },
    "gpt-4-32k": { input: 60, output: 120 },
    "gpt-4-turbo": { input: 10, output: 30 },
    "gpt-4-turbo-preview": { input: 10, output: 30 },
    "gpt-4o": { input: 2.5, cachedInput: 1.25, output: 10 },
    "gpt-4o-2024-05-13": { input: 5, output: 15 },
    "gpt-4o-mini": { input: 0.15, cachedInput: 0.075, output: 0.6 },
    "gpt-4.1": { input: 2, cachedInput: 0.5, output: 8 },
    "gpt-4.1-mini": { input: 0.4, cachedInput: 0.1, output: 1.6 },
    "gpt-4.1-nano": { input: 0.1, cachedInput: 0.025, output: 0.4 },
    "gpt-5": { input: 1.25, cachedInput: 0.125, output: 10 },
    "gpt-5-chat-latest": { input: 1.25, cachedInput: 0.125, output: 10 },
    "gpt-5-codex": { input: 1.25, cachedInput: 0.125, output: 10 },
    "gpt-5-mini": { input: 0.25, cachedInput: 0.025, output: 2 },
    "gpt-5-nano": { input: 0.05, cachedInput: 0.005, output: 0.4 },
    "gpt-5-pro": { input: 15, output: 120 },
    "gpt-5.1": { input: 1.25, cachedInput: 0.125, output: 10 },
    "gpt-5.2": { input: 1.75, cachedInput: 0.175, output: 14 },
    o1: { input: 15, cachedInput: 7.5, output: 60 },
    "o1-mini": { input: 1.1, cachedInput: 0.55, output: 4.4 },
    "o1-pro": { input: 150, output: 600 },
    o3: { input: 2, cachedInput: 0.5, output: 8 },
    "o3-mini": { input: 1.1, cachedInput: 0.55, output: 4.4 },
    "o3-pro": { input: 20, output: 80 },
    "o4-mini": { input: 1.1, cachedInput: 0.275, output: 4.4 },
    "text-embedding-3-large": { input: 0.13, output: 0 },
    "text-embedding-3-small": { input: 0.02, output: 0 },
    "text-embedding-ada-002": { input: 0.1, output: 0 },
  }),
);

/** What a provider takes for a model, if it is known: as it was configured, else by the list. */
export function priceOf(model: string, table: PriceTable): Price | undefined {
  return (
    table.find(([pattern]) => matchesModel([pattern], model))?.[1] ??
    PRICES.get(model) ??
    PRICES.get(model.replace(/-\d{4}(-\d{2}-\d{2})?$/, ""))
  );
}

/** What a call costs in USD, or `null` where the model's price is not known. */
export function costUsd(price: Price | undefined, usage: Usage): number | null {
  if (!price) return null;
  const cached = Math.min(usage.cachedTokens ?? 0, usage.promptTokens);
  const reasoning = Math.min(usage.reasoningTokens ?? 0, usage.completionTokens);
  const dollars =
    (usage.promptTokens - cached) * price.input +
    cached * (price.cachedInput ?? price.input) +
    (usage.completionTokens - reasoning) * price.output +
    reasoning * (price.reasoning ?? price.output);
  return Number((dollars / 1e6).toFixed(12));
}

/** Models with a known price; the simulator lists them as its own. */
export function pricedModels(): string[] {
  return [...PRICES.keys()];
}
