import { describe, expect, test } from "bun:test";

import { findListing, LIST_DATE, listedModels, priceAt } from "../../src/domain/price-list/list.ts";
import { costUsd, listAgeIfOld, priceOf } from "../../src/domain/prices.ts";
import { readUsage } from "../../src/domain/usage.ts";

/*
 * Costs worked out by hand from the published prices of
 *   OpenAI    https://developers.openai.com/api/docs/pricing
 *   Anthropic https://www.anthropic.com/pricing#api
 *   Google    https://ai.google.dev/gemini-api/docs/pricing
 *   Mistral   https://mistral.ai/pricing/api
 *   Groq      https://console.groq.com/docs/models
 *   xAI       https://docs.x.ai/docs/models
 * as the list of 2026-09-23 has them. In thousands of tokens: prompt, of it cached and written to the
 * cache; completion, of it reasoning.
 */
type Row = [
  model: string,
  tokens: { in: number; cached?: number; written?: number; out: number; reasoning?: number },
  usd: number,
  more?: { tier?: string; at?: string; baseUrl?: string },
];

const PRICED: Row[] = [
  // OpenAI: input / cached / output
  ["gpt-4o", { in: 1000, out: 1000 }, 2.5 + 10],
  ["gpt-4o", { in: 1000, cached: 400, out: 100 }, 0.6 * 2.5 + 0.4 * 1.25 + 1],
  ["gpt-4o-2024-08-06", { in: 10, out: 1 }, 0.025 + 0.01],
  ["gpt-4o-2024-05-13", { in: 1000, out: 1000 }, 20],
  ["gpt-4o-mini", { in: 1000, cached: 1000, out: 0 }, 0.075],
  ["gpt-4.1", { in: 100, out: 10 }, 0.2 + 0.08],
  ["gpt-4.1-mini", { in: 100, cached: 50, out: 10 }, 0.02 + 0.005 + 0.016],
  ["gpt-4.1-nano", { in: 100, out: 10 }, 0.01 + 0.004],
  ["gpt-5", { in: 10.12, out: 4.308, reasoning: 2.809 }, 0.01265 + 0.04308],
  ["gpt-5-mini", { in: 100, cached: 100, out: 10 }, 0.0025 + 0.02],
  ["gpt-5-nano", { in: 100, out: 100 }, 0.005 + 0.04],
  ["gpt-5.1", { in: 100, out: 10 }, 0.125 + 0.1],
  ["gpt-5.2", { in: 100, out: 10 }, 0.175 + 0.14],
  ["o3", { in: 100, out: 10, reasoning: 8 }, 0.2 + 0.08],
  ["o4-mini", { in: 100, cached: 20, out: 10 }, 0.088 + 0.0055 + 0.044],
  // Long prompts cost more from 272,000 tokens on, the whole of them.
  ["gpt-5.4", { in: 200, out: 10 }, 0.5 + 0.15],
  ["gpt-5.4", { in: 300, cached: 100, out: 10 }, 200 * 0.005 + 100 * 0.0005 + 10 * 0.0225],
  ["gpt-5.4-mini", { in: 100, cached: 50, out: 10 }, 0.0375 + 0.00375 + 0.045],
  ["gpt-5.4-nano", { in: 100, out: 10 }, 0.02 + 0.0125],
  ["gpt-5.5", { in: 100, out: 10 }, 0.5 + 0.3],
  // New models charge 1.25 times the input price for writes to the cache.
  ["gpt-5.6-sol", { in: 100, cached: 40, written: 40, out: 10 }, 0.08 + 0.016 + 0.2 + 0.2],
  ["gpt-5.6-sol", { in: 100, out: 10 }, 0.5 + 0.3, { at: "2026-08-01" }],
  ["gpt-6-sol", { in: 100, written: 100, out: 10 }, 0.25 + 0.1],
  ["gpt-6-luna", { in: 400, out: 100 }, 400 * 0.0002 + 100 * 0.00075],
  ["gpt-6-astra", { in: 100, cached: 50, out: 10 }, 0.5 + 0.05 + 0.5],
  // The tier of the answer: flex is half, priority more.
  ["gpt-5", { in: 100, out: 10 }, (0.125 + 0.1) / 2, { tier: "flex" }],
  ["gpt-5", { in: 100, out: 10 }, 0.125 + 0.1, { tier: "default" }],
  ["gpt-5", { in: 100, out: 10 }, 0.25 + 0.2, { tier: "priority" }],
  ["gpt-5-mini", { in: 100, out: 10 }, 0.045 + 0.036, { tier: "priority" }],
  ["text-embedding-3-small", { in: 1000, out: 0 }, 0.02],
  ["text-embedding-3-large", { in: 1000, out: 0 }, 0.13],
  // Anthropic
  ["claude-opus-4-5", { in: 100, out: 10 }, 0.5 + 0.25],
  ["claude-haiku-4-5", { in: 100, cached: 80, written: 10, out: 10 }, 0.01 + 0.008 + 0.0125 + 0.05],
  ["claude-sonnet-4-5", { in: 250, out: 10 }, 250 * 0.006 + 10 * 0.0225],
  // Google
  ["gemini-2.5-pro", { in: 100, out: 10 }, 0.125 + 0.1],
  ["gemini-2.5-pro", { in: 300, cached: 100, out: 10 }, 0.5 + 0.025 + 0.15],
  ["models/gemini-2.5-flash", { in: 100, out: 10 }, 0.03 + 0.025],
  // Others
  ["mistral-large-latest", { in: 100, out: 10 }, 0.2 + 0.06, { at: "2024-12-01" }],
  ["grok-4", { in: 100, cached: 50, out: 10 }, 0.15 + 0.0375 + 0.15],
  [
    "llama-3.3-70b-versatile",
    { in: 100, out: 10 },
    0.059 + 0.0079,
    { baseUrl: "https://api.groq.com/openai/v1" },
  ],
];

describe("what a call costs", () => {
  test.each(PRICED)("%s for %j is %d USD", (model, tokens, usd, more = {}) => {
    const { in: prompt, cached = 0, written = 0, out, reasoning = 0 } = tokens;
    const at = more.at === undefined ? undefined : Date.parse(`${more.at}T12:00:00Z`);
    const shop = more.baseUrl === undefined ? {} : { baseUrl: more.baseUrl };
    const cost = costUsd(
      priceOf(model, [], shop, at),
      {
        promptTokens: prompt * 1000,
        completionTokens: out * 1000,
        totalTokens: (prompt + out) * 1000,
        cachedTokens: cached * 1000,
        cacheWriteTokens: written * 1000,
        reasoningTokens: reasoning * 1000,
      },
      more.tier,
    );
    expect(cost).toBeCloseTo(usd, 9);
  });

  test("is the same whether a server counts reasoning inside or outside of the completion", () => {
    const usage = (completion: number) =>
      readUsage({
        prompt_tokens: 10_120,
        completion_tokens: completion,
        total_tokens: 14_428,
        completion_tokens_details: { reasoning_tokens: 2809 },
      }).usage;
    const [inside, outside] = [usage(4308), usage(1499)];
    expect(inside).toEqual(outside);
  });

  test("is not known for models on one's own machine", () => {
    for (const model of ["llama3.2:latest", "qwen3:8b", "meta-llama/Llama-3.3-70B", "made-up"])
      expect(priceOf(model, [], { baseUrl: "http://localhost:11434/v1" })).toBeUndefined();
  });

  test("is that of the seller whose address is called, apart from variants and prefixes", () => {
    const sellerOf = (model: string, baseUrl: string) => findListing(model, { baseUrl })?.seller.id;
    expect(sellerOf("openai/gpt-4o:nitro", "https://openrouter.ai/api/v1")).toBe("openrouter");
    expect(sellerOf("gpt-4o", "https://me.openai.azure.com/openai/v1")).toBe("openai");
    expect(sellerOf("anthropic/claude-sonnet-4-5", "http://proxy.test/v1")).toBe("anthropic");
    expect(sellerOf("gemini/gemini-2.5-flash", "http://proxy.test/v1")).toBe("google");
  });
});

describe("the list of prices", () => {
  test("has a price for each of its models, by the name that it gives them", () => {
    expect(LIST_DATE).toMatch(/^\d{4}-\d\d-\d\d$/);
    for (const { model, seller } of listedModels()) {
      const price = priceAt(model, Date.parse(LIST_DATE));
      expect([seller.id, model.id, (price?.input ?? -1) >= 0]).toEqual([seller.id, model.id, true]);
    }
  });

  test("is outdated after 90 days", () => {
    const after = (days: number) => listAgeIfOld(Date.parse(LIST_DATE) + days * 86_400_000);
    expect([after(90), after(91)]).toEqual([null, 91]);
  });
});
