import { matchesModel } from "./models.ts";
import {
  findListing,
  LIST_DATE,
  LIST_SOURCE,
  type Listing,
  listedModels,
  priceAt,
  type Shop,
} from "./price-list/list.ts";
import type { Usage } from "./usage.ts";

/** USD per million tokens. Unless given, cached tokens cost as input, and reasoning tokens as output. */
type Rates = {
  input: number;
  cachedInput?: number | undefined;
  cacheWrite?: number | undefined;
  output: number;
  reasoning?: number | undefined;
};

/**
 * `steps`: other rates for the whole request if its prompt has more tokens than a threshold; the lowest threshold
 * first.
 */
export type Price = Rates & {
  steps?: (Rates & { above: number })[] | undefined;
  /** The prices of service tiers, as a share of the standard tier. */
  tiers?: Record<string, number> | undefined;
};

/** Prices by pattern of model; the first that matches counts. */
export type PriceTable = [pattern: string, price: Price][];

/** Whether a call is free, has a known price, or has an unknown one. */
export type KnownPrice = "free" | "known" | "unknown";
/** What is known of the price of a lane's calls. Those of a dry run are free, because the simulator answers them. */
export type LanePrice = KnownPrice | "dryRun";

/** A price and its source: the list with its date, or the configuration. */
export type PriceTag = { price: Price; source: string; date: string | null };

/**
 * OpenAI's other tiers as shares of the standard price (https://developers.openai.com/api/docs/pricing, 2026-09):
 * flex and batch cost half of it; priority differs by model and costs twice as much for the newest.
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

/** The date of the list. Prices that it announces for later count from then on. */
const LIST_MS = Date.parse(`${LIST_DATE}T12:00:00Z`);

/** The price of a provider's model at a time: the configured one, else that of the list; `undefined` if unknown. */
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
  const last = listedTags.get(listing);
  if (last?.price === price) return last.tag;
  const tag = listedTag(listing, model, price);
  listedTags.set(listing, { price, tag });
  return tag;
}

/** The last tag of each listing, because every answer is priced. A listing is that of one model name at one shop. */
const listedTags = new WeakMap<Listing, { price: Price; tag: PriceTag }>();

function listedTag({ seller }: Listing, model: string, price: Price): PriceTag {
  const source = seller.page ?? LIST_SOURCE;
  if (seller.id !== "openai") return { price, source, date: LIST_DATE };
  const priority = OPENAI_TIERS.find(([pattern]) => matchesModel([pattern], model))?.[1] ?? 1;
  const tiers = { flex: HALF, batch: HALF, priority };
  return { price: { ...price, tiers }, source, date: LIST_DATE };
}

/** No call costs this much. */
const MOST_USD = 1e6;

/** What a call costs in USD, or `null` if the model's price is unknown. `tier` is that of the answer. */
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

/**
 * Whether the price of a provider's calls for a model is known before they are made. The built-in provider is free.
 */
export function knownPrice(
  provider: Shop & { kind: "openai" | "simulator"; prices: PriceTable },
  model: string,
  atMs: number,
): KnownPrice {
  if (provider.kind === "simulator") return "free";
  const price = priceOf(model, provider.prices, provider, atMs);
  if (!price) return "unknown";
  return isFree(price) ? "free" : "known";
}

export function isFree(price: Price): boolean {
  const { tiers: _, steps = [], ...rates } = price;
  const dollars = [rates, ...steps].flatMap(({ input, cacheWrite = 0, output, reasoning = 0 }) => [
    input,
    cacheWrite,
    output,
    reasoning,
  ]);
  return dollars.every((usd) => usd === 0);
}

/** OpenAI's models with a known price; the simulator lists them as its own. */
export function pricedModels(): string[] {
  return listedModels()
    .filter(({ seller }) => seller.id === "openai")
    .map(({ model }) => model.id);
}

const DAY_MS = 86_400_000;
const OLD_AFTER_DAYS = 90;

/** The age of the price list in days, if it is so old that prices may have changed; otherwise `null`. */
export function listAgeIfOld(nowMs: number): number | null {
  const days = Math.floor((nowMs - Date.parse(`${LIST_DATE}T00:00:00Z`)) / DAY_MS);
  return days > OLD_AFTER_DAYS ? days : null;
}
