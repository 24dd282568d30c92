import { matchesModel } from "./models.ts";
import {
  findListing,
  LIST_DATE,
  LIST_SOURCE,
  listedModels,
  priceAt,
  type Shop,
} from "./price-list/list.ts";
import type { Usage } from "./usage.ts";

/**
 * USD per million tokens. What a cache served or took costs as input, and reasoning as output, where
 * nothing else is said.
 */
type Rates = {
  input: number;
  cachedInput?: number | undefined;
  cacheWrite?: number | undefined;
  output: number;
  reasoning?: number | undefined;
};

/** `steps`: other rates, for the whole request, where its prompt has more tokens; the lowest first. */
export type Price = Rates & {
  steps?: (Rates & { above: number })[] | undefined;
  /** What the tiers of service cost, as a share of the standard one. */
  tiers?: Record<string, number> | undefined;
};

/** Prices by pattern of model; the first that matches counts. */
export type PriceTable = [pattern: string, price: Price][];

/** Whether a call is free, has a known price, or has an unknown one. */
export type KnownPrice = "free" | "known" | "unknown";
/** What calls of a lane cost; those of a dry run, which the simulator answers, are free as long as it is one. */
export type LanePrice = KnownPrice | "dryRun";

/** A price, and where it comes from: the list with its day, or somebody's own configuration. */
export type PriceTag = { price: Price; source: string; date: string | null };

/**
 * OpenAI's other tiers as shares of the standard price (https://developers.openai.com/api/docs/pricing,
 * 2026-09): flex and batch are half of it, priority is said model by model, and twice for the newest.
 */
const OPENAI_TIERS: [pattern: string, priority: number][] = [
  ["gpt-4o-mini*", 5 / 3],
  ["gpt-4o*", 1.7],
  ["gpt-4.1-nano*", 2],
  ["gpt-4.1*", 1.75],
  ["gpt-5-mini*", 1.8],
  ["o3*", 1.75],
  ["o4-mini*", 2 / 1.1],
  ["*", 2],
];
const HALF = 0.5;

/** The moment of the list: what it foretells counts where a later one is given. */
const LIST_MS = Date.parse(`${LIST_DATE}T12:00:00Z`);

/** What a provider takes for a model at a time, if it is known: as it was configured, else by the list. */
export function priceOf(
  model: string,
  table: PriceTable,
  shop: Shop = {},
  atMs = LIST_MS,
): Price | undefined {
  return tagOf(model, table, shop, atMs)?.price;
}

/** The same, with its source. */
export function tagOf(
  model: string,
  table: PriceTable,
  shop: Shop = {},
  atMs = LIST_MS,
): PriceTag | undefined {
  const own = table.find(([pattern]) => matchesModel([pattern], model))?.[1];
  if (own) return { price: own, source: "configuration", date: null };
  const listing = findListing(model, shop);
  const price = listing && priceAt(listing.model, atMs);
  if (!listing || !price) return undefined;
  const source = listing.seller.page ?? LIST_SOURCE;
  if (listing.seller.id !== "openai") return { price, source, date: LIST_DATE };
  const priority = OPENAI_TIERS.find(([pattern]) => matchesModel([pattern], model))?.[1] ?? 1;
  return {
    price: { ...price, tiers: { flex: HALF, batch: HALF, priority } },
    source,
    date: LIST_DATE,
  };
}

/** No call costs as much. */
const MOST_USD = 1e6;

/** What a call costs in USD, or `null` where the model's price is not known. `tier` is that of the answer. */
export function costUsd(
  price: Price | undefined,
  usage: Usage,
  tier: string | null | undefined = null,
): number | null {
  if (!price) return null;
  const rates = price.steps?.findLast(({ above }) => usage.promptTokens > above) ?? price;
  const cached = Math.min(usage.cachedTokens ?? 0, usage.promptTokens);
  const written = Math.min(usage.cacheWriteTokens ?? 0, usage.promptTokens - cached);
  const reasoning = Math.min(usage.reasoningTokens ?? 0, usage.completionTokens);
  const dollars =
    (usage.promptTokens - cached - written) * rates.input +
    cached * (rates.cachedInput ?? rates.input) +
    written * (rates.cacheWrite ?? rates.input) +
    (usage.completionTokens - reasoning) * rates.output +
    reasoning * (rates.reasoning ?? rates.output);
  const share = (tier ? price.tiers?.[tier] : undefined) ?? 1;
  const cost = Number(((dollars * share) / 1e6).toFixed(12));
  return cost >= 0 && cost <= MOST_USD ? cost : MOST_USD;
}

/** What can be said of the cost of a provider's calls for a model before they are made. The built-in provider is free. */
export function knownPrice(
  provider: Shop & { kind: "openai" | "simulator"; prices: PriceTable },
  model: string,
  atMs: number,
): KnownPrice {
  if (provider.kind === "simulator") return "free";
  const price = priceOf(model, provider.prices, provider, atMs);
  if (!price) return "unknown";
  const { tiers: _, steps = [], ...rates } = price;
  const dollars = [rates, ...steps].flatMap(({ input, cacheWrite = 0, output, reasoning = 0 }) => [
    input,
    cacheWrite,
    output,
    reasoning,
  ]);
  return dollars.every((usd) => usd === 0) ? "free" : "known";
}

/** OpenAI's models with a known price; the simulator lists them as its own. */
export function pricedModels(): string[] {
  return listedModels()
    .filter(({ seller }) => seller.id === "openai")
    .map(({ model }) => model.id);
}

const DAY_MS = 86_400_000;
const OLD_AFTER_DAYS = 90;

/** How old the list of prices is, in days, where that is so much that prices may have changed. */
export function listAgeIfOld(nowMs: number): number | null {
  const days = Math.floor((nowMs - Date.parse(`${LIST_DATE}T00:00:00Z`)) / DAY_MS);
  return days > OLD_AFTER_DAYS ? days : null;
}
