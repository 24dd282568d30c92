import type { Limits } from "./pacer.ts";
import type { PriceTable } from "./prices.ts";

/** What is agreed with a provider about its models; of patterns, the first that matches counts. */
export type Terms = {
  name: string;
  /** Patterns of the models that it takes (`gpt-4*`); `null`: whatever no other provider takes. */
  models: string[] | null;
  /** Limits of a minute, each for every model and key by itself. */
  limits: [pattern: string, limits: Limits][];
  /** What its models cost where the built-in list is wrong or silent. */
  prices: PriceTable;
  /** Most calls in flight, over all its models; `null`: any number. */
  maxConcurrency: number | null;
};

/** A model API that calls go to. Handed to worker threads as it stands. */
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

/** Which model a call goes to, at which provider (by its place in the configuration). */
export type Route = { provider: number; model: string };

/** Models to be called in place of others whose providers are unavailable, by pattern. */
export type Fallbacks = [pattern: string, models: string[]][];

/** The name of the simulator where it only stands in for providers, so that its answers count for nothing; else `null`. */
export function standInOf(config: {
  simulator: Pick<Provider, "name">;
  providers: readonly Pick<Provider, "kind">[];
}): string | null {
  return config.providers.some(({ kind }) => kind !== "simulator") ? config.simulator.name : null;
}
