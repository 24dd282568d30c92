import { costUsd, isFree, priceOf } from "../domain/prices.ts";
import type { Provider } from "../domain/provider.ts";
import { type Endpoint, isCounted } from "../domain/request.ts";
import type { Usage } from "../domain/usage.ts";

export type Priced = {
  endpoint: Endpoint;
  /** The model that was called, and the one that the answer names. */
  called: string;
  model: string;
  usage: Usage;
  at: number;
  serviceTier: string | null;
};

/**
 * The cost of an answer: by the price of the model that it names, if there is one, else by that of the called model.
 * An answer without usage may name a wrong model, too, so it costs the higher of both. At an endpoint that may not
 * charge for tokens, the cost of an answer without usage is `null`, which is unknown, unless the model is free.
 */
export function costOfAnswer(
  provider: Provider,
  { endpoint, called, model, usage, at, serviceTier }: Priced,
): number | null {
  const priceAt = (name: string) => priceOf(name, provider.prices, provider, at);
  if (usage.estimated && !isCounted(endpoint)) {
    const price = priceAt(called);
    return price && isFree(price) ? 0 : null;
  }
  const costAt = (name: string) => costUsd(priceAt(name), usage, serviceTier);
  const own = costAt(model);
  if (own !== null && !usage.estimated) return own;
  const asked = costAt(called);
  return own !== null && asked !== null ? Math.max(own, asked) : (own ?? asked);
}
