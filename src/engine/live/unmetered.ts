import type { KnownPrice } from "../../domain/prices.ts";
import type { Route } from "../../domain/provider.ts";
import type { Endpoint } from "../../domain/request.ts";
import { BoundedMap } from "../../lib/bounded-map.ts";

type PricedWay = { way: Route; price: KnownPrice };

/** The most models to remember, because clients may invent names. */
const MOST_MODELS = 1000;

/**
 * Remembers which models answered at an endpoint without usage, although it may not charge for tokens. The price of
 * their next calls there is unknown, whatever the list says of the model.
 */
export function createUnmetered() {
  const known = new BoundedMap<string, true>(MOST_MODELS);
  const nameOf = ({ provider, model }: Route, endpoint: Endpoint) =>
    `${provider}/${model} ${endpoint}`;
  return {
    add(way: Route, endpoint: Endpoint): void {
      known.set(nameOf(way, endpoint), true);
    },
    applyTo(ways: PricedWay[], endpoint: Endpoint): PricedWay[] {
      if (known.size === 0) return ways;
      return ways.map((one) =>
        known.has(nameOf(one.way, endpoint)) ? { ...one, price: "unknown" } : one,
      );
    },
  };
}

export type Unmetered = ReturnType<typeof createUnmetered>;
