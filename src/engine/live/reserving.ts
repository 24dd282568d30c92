import type { Context } from "../../context.ts";
import { PRICE_UNKNOWN } from "../../domain/batch.ts";
import { ASSUMED_OUTPUT_TOKENS } from "../../domain/estimate.ts";
import { costUsd, priceOf } from "../../domain/prices.ts";
import type { Route } from "../../domain/provider.ts";
import { guessSize, maxTokensOf } from "../../domain/token-counter.ts";
import { AppError } from "../../errors.ts";
import type { LiveRequest } from "../../services/live.ts";
import type { Upstreams } from "../upstreams.ts";
import type { createLiveBooks } from "./books.ts";
import type { Unmetered } from "./unmetered.ts";

export type Reserved = { reservation: number | null; barred: Route[] };

type ReservingOptions = {
  upstreams: Upstreams;
  books: ReturnType<typeof createLiveBooks>;
  unmetered: Unmetered;
};

/** Decides which routes a live call may take, and reserves the money for it. */
export function createReserving(
  { config, clock }: Pick<Context, "config" | "clock">,
  { upstreams, books, unmetered }: ReservingOptions,
) {
  /** How many calls wait for a reservation. */
  let waiting = 0;

  /** What a call may cost at the dearest of these routes, by the list; its answer may still be longer. */
  function likelyCost(ways: Route[], { text, model, body }: LiveRequest): number {
    const completionTokens = maxTokensOf(body) ?? ASSUMED_OUTPUT_TOKENS;
    const { promptTokens } = guessSize({ model, body: text });
    const usage = { promptTokens, completionTokens, totalTokens: promptTokens + completionTokens };
    return ways.reduce((most, way) => {
      const provider = config.providers[way.provider];
      const price = provider && priceOf(way.model, provider.prices, provider, clock.now());
      return Math.max(most, costUsd(price, usage) ?? 0);
    }, 0);
  }

  return {
    waiting: () => waiting,

    /**
     * Reserves money for a call that may cost something, and returns the routes that it may not take. With a budget these
     * are the routes whose price is unknown; once the budget is spent, all routes that cost something.
     */
    async reserve(lane: string, request: LiveRequest): Promise<Reserved> {
      const { caller, signal, endpoint } = request;
      const ways = caller.hasBudget ? unmetered.applyTo(upstreams.pricedWays(lane), endpoint) : [];
      const barred = ways.filter(({ price }) => price === "unknown").map(({ way }) => way);
      if (ways.length > 0 && barred.length === ways.length)
        throw new AppError("QUOTA_EXCEEDED", PRICE_UNKNOWN.message);
      const dear = ways.filter(({ price }) => price === "known").map(({ way }) => way);
      if (dear.length === 0) return { reservation: null, barred };
      waiting++;
      try {
        const usd = likelyCost(dear, request);
        return { reservation: await books.reserve(caller.key, usd, signal), barred };
      } catch (error) {
        const hasFree = dear.length + barred.length < ways.length;
        if (!hasFree || !(error instanceof AppError) || error.code !== "QUOTA_EXCEEDED")
          throw error;
        return { reservation: null, barred: [...barred, ...dear] };
      } finally {
        waiting--;
      }
    },
  };
}
