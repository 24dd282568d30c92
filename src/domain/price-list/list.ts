import type { Price } from "../prices.ts";
import json from "./list.json" with { type: "json" };

/** How a seller names a model, as the list has it. */
type Match =
  | { equals: string }
  | { starts_with: string }
  | { ends_with: string }
  | { contains: string }
  | { regex: string }
  | { or: Match[] }
  | { and: Match[] };

/** When a price holds. One without dates holds whenever no later one does. */
type Period = {
  when?: { type: string; start_date?: string; start_time?: string; end_time?: string };
  price: Price;
};

export type ListedModel = { id: string; match: Match; context?: number; periods: Period[] };

type Seller = {
  id: string;
  /** A regular expression for its address. */
  api: string;
  page: string | null;
  /** It also sells models of others under their names. */
  alsoAs?: string[];
  models: ListedModel[];
};

/** The prices of models at their makers and at resellers; made by `bun run prices:update`. */
// The script that makes the file writes nothing else, and the test of the list reads all of it.
const LIST = json as { source: string; date: string; sellers: Seller[] };

export const LIST_SOURCE = LIST.source;
/** The day of the list, as YYYY-MM-DD. */
export const LIST_DATE = LIST.date;

/** The seller of a model, by the address or the name of the provider. */
export type Shop = { baseUrl?: string; name?: string };

export type Listing = { model: ListedModel; seller: Seller };

/** These sell the models of others, so the name of a model does not identify its provider. */
const RESELLERS = new Set(["azure", "openrouter", "aws", "together", "fireworks", "cerebras"]);

/** The prefixes that gateways put before the name of a model. */
const ALIASES: Record<string, string> = {
  gemini: "google",
  vertex_ai: "google",
  xai: "x-ai",
  mistralai: "mistral",
  moonshot: "moonshotai",
  bedrock: "aws",
  together_ai: "together",
  fireworks_ai: "fireworks",
};

const found = new Map<string, Listing | null>();
const MOST_REMEMBERED = 10_000;

/**
 * Finds a model in the list: at the seller with the shop's address or name; otherwise the shop may be a gateway, so
 * the model is looked up by name at the makers. Models of local servers have names with tags (`llama3.2:latest`) or
 * folders, which no maker uses.
 */
export function findListing(model: string, shop: Shop): Listing | undefined {
  const key = `${shop.baseUrl ?? ""} ${shop.name ?? ""} ${model}`;
  let known = found.get(key);
  if (known === undefined) {
    known = look(model.toLowerCase().replace(/^models\//, ""), shop) ?? null;
    if (found.size >= MOST_REMEMBERED) found.clear();
    found.set(key, known);
  }
  return known ?? undefined;
}

/** All models of the makers. */
export function listedModels(): Listing[] {
  return LIST.sellers
    .filter(({ id }) => !RESELLERS.has(id))
    .flatMap((seller) => seller.models.map((model) => ({ model, seller })));
}

/** What a model costs at a time. */
export function priceAt({ periods }: ListedModel, atMs: number): Price | undefined {
  return periods.findLast(({ when }) => when === undefined || holds(when, atMs))?.price;
}

function look(model: string, { baseUrl, name }: Shop): Listing | undefined {
  const own = sellerAt(baseUrl) ?? LIST.sellers.find(({ id }) => id === name && id !== "openai");
  if (own) return at(own, model);
  const [, prefix = "", rest = ""] = /^([\w-]+)\/(.+)$/.exec(model) ?? [];
  const named = LIST.sellers.find(({ id }) => id === (ALIASES[prefix] ?? prefix));
  if (named) return at(named, rest);
  if (model.includes("/") || /:(?!ft)/.test(model.replace(/^ft:/, ""))) return undefined;
  for (const seller of LIST.sellers) {
    const listed = RESELLERS.has(seller.id) ? undefined : of(seller, model);
    if (listed) return { seller, model: listed };
  }
  return undefined;
}

function sellerAt(baseUrl: string | undefined): Seller | undefined {
  if (baseUrl === undefined) return undefined;
  return LIST.sellers.find(({ api }) => new RegExp(`^(?:${api})`, "i").test(baseUrl));
}

/** A variant (`:nitro`, `:online`) that is not in the list costs the same as the model. */
function at(seller: Seller, model: string): Listing | undefined {
  const others = LIST.sellers.filter(({ id }) => seller.alsoAs?.includes(id));
  for (const name of new Set([model, model.replace(/:[\w-]+$/, "")]))
    for (const one of [seller, ...others]) {
      const listed = of(one, name);
      if (listed) return { seller: one, model: listed };
    }
  return undefined;
}

function of({ models }: Seller, model: string): ListedModel | undefined {
  return models.find(({ match }) => matches(match, model));
}

function matches(match: Match, model: string): boolean {
  if ("or" in match) return match.or.some((one) => matches(one, model));
  if ("and" in match) return match.and.every((one) => matches(one, model));
  if ("equals" in match) return match.equals.toLowerCase() === model;
  if ("starts_with" in match) return model.startsWith(match.starts_with.toLowerCase());
  if ("ends_with" in match) return model.endsWith(match.ends_with.toLowerCase());
  if ("contains" in match) return model.includes(match.contains.toLowerCase());
  return new RegExp(match.regex, "i").test(model);
}

function holds(
  { start_date, start_time, end_time }: NonNullable<Period["when"]>,
  atMs: number,
): boolean {
  const time = new Date(atMs).toISOString();
  if (start_date !== undefined) return time.slice(0, 10) >= start_date;
  if (start_time === undefined || end_time === undefined) return true;
  const clock = time.slice(11, 19);
  const [from, to] = [start_time.slice(0, 8), end_time.slice(0, 8)];
  return from <= to ? clock >= from && clock < to : clock >= from || clock < to;
}
