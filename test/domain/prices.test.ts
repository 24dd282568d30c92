import { describe, expect, test } from "bun:test";

import { findListing, LIST_DATE, listedModels, priceAt } from "../../src/domain/price-list/list.ts";
import { costUsd, listAgeIfOld, priceOf } from "../../src/domain/prices.ts";
import { readUsage } from "../../src/domain/usage.ts";

/*
 * Costs worked out by hand from published prices. Above the rows of each provider are the address of its prices and the
 * day on which they had been read: by the maintainers of the list where nothing else is said. In thousands of tokens:
 * prompt, of it cached and written to the cache; completion, of it reasoning.
 */
type Row = [
  model: string,
  tokens: { in: number; cached?: number; written?: number; out: number; reasoning?: number },
  usd: number,
  /** `at`: a day, for which noon counts, or a time. */
  more?: { tier?: string; at?: string; baseUrl?: string },
];

const GROQ = "https://api.groq.com/openai/v1";

const PRICED: Row[] = [
  // OpenAI: https://developers.openai.com/api/docs/pricing, 2026-09-23
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
  ["gpt-image-1", { in: 0.05, out: 1.056 }, 0.00025 + 0.04224],
  // Anthropic: https://www.anthropic.com/pricing#api, 2026-09-23
  ["claude-opus-4-5", { in: 100, out: 10 }, 0.5 + 0.25],
  ["claude-haiku-4-5", { in: 100, cached: 80, written: 10, out: 10 }, 0.01 + 0.008 + 0.0125 + 0.05],
  ["claude-sonnet-4-5", { in: 250, out: 10 }, 250 * 0.006 + 10 * 0.0225],
  // Google: https://ai.google.dev/gemini-api/docs/pricing, 2026-09-23
  ["gemini-2.5-pro", { in: 100, out: 10 }, 0.125 + 0.1],
  ["gemini-2.5-pro", { in: 300, cached: 100, out: 10 }, 0.5 + 0.025 + 0.15],
  ["models/gemini-2.5-flash", { in: 100, out: 10 }, 0.03 + 0.025],
  ["gemini-2.5-flash", { in: 100, out: 30, reasoning: 25 }, 0.03 + 0.075],
  ["gemini-embedding-001", { in: 1000, out: 0 }, 0.15],
  // Mistral: https://mistral.ai/pricing/api, 2026-09-23
  ["mistral-large-latest", { in: 100, out: 10 }, 0.2 + 0.06, { at: "2024-12-01" }],
  ["mistral-large-2512", { in: 1000, cached: 400, out: 100 }, 0.3 + 0.02 + 0.15],
  ["mistral-medium-latest", { in: 100, out: 10 }, 0.04 + 0.02, { at: "2026-06-15" }],
  ["mistral-medium-latest", { in: 100, cached: 100, out: 10 }, 0.015 + 0.075],
  ["magistral-medium-2509", { in: 100, out: 20, reasoning: 18 }, 0.2 + 0.1],
  ["codestral-2508", { in: 1000, cached: 500, out: 100 }, 0.15 + 0.015 + 0.09],
  ["mistral-embed", { in: 1000, out: 0 }, 0.1],
  // Groq: https://console.groq.com/docs/models, 2026-09-23. Its flex tier costs as much as the usual one.
  ["llama-3.3-70b-versatile", { in: 100, out: 10 }, 0.059 + 0.0079, { baseUrl: GROQ }],
  [
    "llama-3.3-70b-versatile",
    { in: 100, out: 10 },
    0.059 + 0.0079,
    { baseUrl: GROQ, tier: "flex" },
  ],
  ["llama-3.1-8b-instant", { in: 1000, out: 1000 }, 0.05 + 0.08, { baseUrl: GROQ }],
  [
    "openai/gpt-oss-120b",
    { in: 100, cached: 60, out: 10 },
    0.006 + 0.0045 + 0.006,
    { baseUrl: GROQ },
  ],
  ["openai/gpt-oss-20b", { in: 1000, out: 100, reasoning: 90 }, 0.075 + 0.03, { baseUrl: GROQ }],
  ["qwen/qwen3-32b", { in: 100, out: 100, reasoning: 60 }, 0.029 + 0.059, { baseUrl: GROQ }],
  // DeepSeek: https://api-docs.deepseek.com/quick_start/pricing. Of 2025-08, with cheaper nights; the names were
  // retired on 2026-07-24.
  [
    "deepseek-chat",
    { in: 1000, cached: 400, out: 100 },
    0.162 + 0.028 + 0.11,
    { at: "2025-08-20" },
  ],
  [
    "deepseek-chat",
    { in: 1000, cached: 400, out: 100 },
    0.081 + 0.014 + 0.055,
    { at: "2025-08-20T20:00:00Z" },
  ],
  ["deepseek-reasoner", { in: 100, out: 10, reasoning: 8 }, 0.055 + 0.0219, { at: "2025-08-20" }],
  // Of 2026-04-30, before there were peak hours.
  [
    "deepseek-v4-flash",
    { in: 1000, cached: 500, out: 100 },
    0.07 + 0.0014 + 0.028,
    { at: "2026-05-01" },
  ],
  ["deepseek-v4-pro", { in: 1000, cached: 1000, out: 100 }, 0.003625 + 0.087, { at: "2026-06-01" }],
  // Of 2026-09-23. From 9 to 12 and from 14 to 18 o'clock in Beijing all costs twice as much.
  ["deepseek-v4-flash", { in: 1000, cached: 500, out: 100 }, 0.11 + 0.0035 + 0.066],
  [
    "deepseek-v4-pro",
    { in: 100, out: 100, reasoning: 80 },
    0.132 + 0.396,
    { at: "2026-09-23T06:00:00Z" },
  ],
  [
    "deepseek-v4-pro",
    { in: 100, out: 100, reasoning: 80 },
    0.066 + 0.198,
    { at: "2026-09-23T10:00:00Z" },
  ],
  // xAI: https://docs.x.ai/docs/models, 2026-09-23. Prompts of 200,000 tokens and more cost twice as much.
  ["grok-4", { in: 100, cached: 50, out: 10 }, 0.15 + 0.0375 + 0.15],
  ["grok-3-mini", { in: 100, out: 40, reasoning: 35 }, 0.03 + 0.02],
  ["grok-4.3", { in: 100, cached: 50, out: 10 }, 0.0625 + 0.01 + 0.025],
  ["grok-4.3", { in: 200, cached: 100, out: 10 }, 0.25 + 0.04 + 0.05],
  ["grok-4.5", { in: 199.999, out: 10 }, 0.399998 + 0.06],
  ["grok-code-fast-1", { in: 1000, cached: 900, out: 10 }, 0.02 + 0.018 + 0.015],
];

describe("what a call costs", () => {
  test.each(PRICED)("%s for %j is %d USD", (model, tokens, usd, more = {}) => {
    const { in: prompt, cached = 0, written = 0, out, reasoning = 0 } = tokens;
    const { at: day } = more;
    const time = day?.includes("T") === false ? `${day}T12:00:00Z` : day;
    const at = time === undefined ? undefined : Date.parse(time);
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

  test.each([
    ["gpt-5", 0.01265 + 0.04308],
    ["grok-3-mini", 0.003036 + 0.002154],
    ["deepseek-v4-pro", 0.0066792 + 0.00852984],
    ["gemini-2.5-flash", 0.003036 + 0.01077],
  ])(
    "of %s is the same whether reasoning is counted inside or outside of the completion",
    (model, usd) => {
      const usage = (completion: number) =>
        readUsage({
          prompt_tokens: 10_120,
          completion_tokens: completion,
          total_tokens: 14_428,
          completion_tokens_details: { reasoning_tokens: 2809 },
        }).usage;
      const [inside, outside] = [usage(4308), usage(1499)];
      expect(inside).toEqual(outside);
      for (const one of [inside, outside])
        expect(one && costUsd(priceOf(model, []), one)).toBeCloseTo(usd, 9);
    },
  );

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

  test("still has the entries that docs/providers.md calls outdated", () => {
    const at = Date.parse("2026-11-28T12:00:00Z");
    const now = (model: string) => priceOf(model, [], {}, at);
    expect(now("mistral-large-latest")?.input).toBe(4 * (now("mistral-large-2512")?.input ?? 0));
    expect(now("deepseek-chat")).toMatchObject({ input: 0.27, output: 1.1 });
    expect(now("deepseek-reasoner")).toMatchObject({ input: 0.55, output: 2.19 });
    expect(now("deepseek-v4-flash")).toMatchObject({ input: 0.22, output: 0.66 });
    expect(now("deepseek-flash")).toBeUndefined();
    // A Saturday, in the hours of the peak.
    const peak = Date.parse("2026-11-28T07:00:00Z");
    expect(priceOf("deepseek-v4-pro", [], {}, peak)?.input).toBe(1.32);
  });

  test("is outdated after 90 days", () => {
    const after = (days: number) => listAgeIfOld(Date.parse(LIST_DATE) + days * 86_400_000);
    expect([after(90), after(91)]).toEqual([null, 91]);
  });
});
