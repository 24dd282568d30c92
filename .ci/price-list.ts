/*
 * `bun run prices:update`: makes `src/domain/price-list/list.json` from the data in the pinned version of
 * `@pydantic/genai-prices`. The date of the list is the date on which that version was published. The program reads only
 * the file, and needs neither the package nor the network. To get a newer list, pin a newer version first.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { findProvider, type ModelInfo, type ModelPrice } from "@pydantic/genai-prices";

import packageJson from "../package.json" with { type: "json" };
import { answerHelp } from "../src/lib/script-help.ts";

answerHelp(import.meta.url);

const NAME = "@pydantic/genai-prices";
const FILE = join(import.meta.dir, "..", "src", "domain", "price-list", "list.json");

/** Sellers of models by the token, with an API like OpenAI's. For a bare model name, the first that has it counts. */
const SELLERS = [
  "openai",
  "anthropic",
  "google",
  "mistral",
  "deepseek",
  "x-ai",
  "groq",
  "cohere",
  "perplexity",
  "moonshotai",
  "azure",
  "openrouter",
  "aws",
  "together",
  "fireworks",
  "cerebras",
];

/** The program's name for a rate, and the list's. */
const RATES = [
  ["input", "input_mtok"],
  ["cachedInput", "cache_read_mtok"],
  ["cacheWrite", "cache_write_mtok"],
  ["output", "output_mtok"],
  ["reasoning", "output_reasoning_mtok"],
] as const;

const version = packageJson.devDependencies[NAME];
const sellers = SELLERS.map(toSeller);
const list = { source: `${NAME} ${version}`, date: await publishedOn(version), sellers };
writeFileSync(FILE, `${JSON.stringify(list)}\n`);
console.log(`${sellers.flatMap(({ models }) => models).length} models, as of ${list.date}`);

function toSeller(id: string) {
  const seller = findProvider({ providerId: id });
  if (!seller) throw new Error(`the list has no seller ${id}`);
  return {
    id,
    api: seller.api_pattern,
    page: seller.pricing_urls?.[0] ?? null,
    ...(seller.fallback_model_providers ? { alsoAs: seller.fallback_model_providers } : {}),
    models: seller.models.flatMap(toModel),
  };
}

function toModel({ id, match, context_window, prices }: ModelInfo) {
  const periods = (Array.isArray(prices) ? prices : [{ prices }]).flatMap(
    ({ constraint, prices: of }: { constraint?: object; prices: ModelPrice }) => {
      const price = toPrice(of);
      return price ? [{ ...(constraint ? { when: constraint } : {}), price }] : [];
    },
  );
  if (periods.length === 0) return [];
  return [{ id, match, ...(context_window ? { context: context_window } : {}), periods }];
}

/** `undefined` for a model that is not sold by text tokens. */
function toPrice(of: ModelPrice) {
  if (Object.keys(of).length === 0) return { input: 0, output: 0 };
  if (of["input_mtok"] === undefined && of["output_mtok"] === undefined) return undefined;
  const starts = new Set<number>();
  for (const [, key] of RATES) for (const { start } of tiersOf(of[key])) starts.add(start);
  const steps = [...starts]
    .toSorted((a, b) => a - b)
    .map((above) => Object.assign({ above }, ratesAt(of, above)));
  return { ...ratesAt(of, null), ...(steps.length > 0 ? { steps } : {}) };
}

function ratesAt(of: ModelPrice, above: number | null) {
  const rates = RATES.flatMap(([name, key]) => {
    const rate = of[key];
    if (rate === undefined) return name === "input" || name === "output" ? [[name, 0]] : [];
    const base = typeof rate === "number" ? rate : rate.base;
    const tier = tiersOf(rate).findLast(({ start }) => above !== null && start <= above);
    return [[name, tier?.price ?? base]];
  });
  return Object.fromEntries(rates);
}

function tiersOf(rate: ModelPrice[string]) {
  return typeof rate === "object" ? rate.tiers : [];
}

async function publishedOn(wanted: string): Promise<string> {
  const asked = Bun.spawnSync([process.execPath, "info", NAME, "time", "--json"]);
  const at = JSON.parse(asked.stdout.toString())[wanted];
  if (typeof at !== "string") throw new Error(`the registry has no publication date of ${wanted}`);
  return at.slice(0, 10);
}
