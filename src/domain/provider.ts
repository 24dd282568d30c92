import type { Limits } from "./pacer.ts";
import type { PriceTable } from "./prices.ts";

/** The configuration of a provider's models. Of several patterns, the first that matches counts. */
export type Terms = {
  name: string;
  /** Patterns of the models that it serves (`gpt-4*`); `null`: all that no other provider serves. */
  models: string[] | null;
  /** Limits per minute, which apply to each model and key separately. */
  limits: [pattern: string, limits: Limits][];
  /** Prices of its models that replace or extend the built-in list. */
  prices: PriceTable;
  /** The most calls in flight over all its models; `null`: no limit. */
  maxConcurrency: number | null;
};

/** A model API that receives calls. It is passed to worker threads as it is. */
export type Provider = Terms &
  (
    | {
        kind: "openai";
        baseUrl: string;
        /** One or more; calls are spread over them. */
        apiKeys: string[];
        headers: Record<string, string>;
      }
    | { kind: "simulator"; latencyMs: number; failureRate: number; mismatchRate: number }
  );

/** The keys of a provider; the simulator counts as one with one key. */
export function keysOf(provider: Provider): readonly string[] {
  return provider.kind === "openai" ? provider.apiKeys : [""];
}

/** What alerts call a key of a provider, by its index. */
export function accountName({ name }: Pick<Provider, "name">, key: number): string {
  return key === 0 ? name : `${name} (key ${key + 1})`;
}

/** Which model a call goes to, at which provider (by its place in the configuration). */
export type Route = { provider: number; model: string };

/** Models to be called in place of others whose providers are unavailable, by pattern. */
export type Fallbacks = [pattern: string, models: string[]][];

/**
 * The name of the simulator if it replaces the providers because none is configured, so that its answers do not
 * count; otherwise `null`.
 */
export function standInOf(config: {
  simulator: Pick<Provider, "name">;
  providers: readonly Pick<Provider, "kind">[];
}): string | null {
  return config.providers.some(({ kind }) => kind !== "simulator") ? config.simulator.name : null;
}
