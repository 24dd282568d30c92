import { describe, expect, test } from "bun:test";

import { priceOf } from "../../src/domain/prices.ts";
import { withModel } from "../../src/domain/request.ts";
import { limitsFor, routesOf } from "../../src/domain/routes.ts";

const providers = [
  { models: ["llama-*", "shared"] },
  { models: ["gpt-4*", "shared"] },
  { models: null },
];

describe("calls for a model go", () => {
  test("to the providers that name it, in their order, and to the one for all others only if none does", () => {
    const at = (model: string) =>
      routesOf({ providers, fallbacks: [] }, model).map(({ provider }) => provider);
    expect(at("llama-3")).toEqual([0]);
    expect(at("GPT-4o")).toEqual([1]);
    expect(at("shared")).toEqual([0, 1]);
    expect(at("o3")).toEqual([2]);
    expect(routesOf({ providers: providers.slice(0, 2), fallbacks: [] }, "o3")).toEqual([]);
  });

  test("then to its fallback, which has no further fallback", () => {
    const fallbacks: [string, string[]][] = [
      ["gpt-4o", ["llama-3", "o3"]],
      ["gpt-*", ["shared"]],
      ["llama-3", ["gpt-4"]],
    ];
    expect(routesOf({ providers, fallbacks }, "gpt-4o")).toEqual([
      { provider: 1, model: "gpt-4o" },
      { provider: 0, model: "llama-3" },
      { provider: 2, model: "o3" },
    ]);
  });
});

test("the first matching pattern of limits and prices counts, and other prices are the list's", () => {
  const limits: Parameters<typeof limitsFor>[0]["limits"] = [
    ["gpt-4o", { rpm: 1, tpm: null }],
    ["gpt-*", { rpm: 2, tpm: 3 }],
  ];
  expect(limitsFor({ limits }, "gpt-4o").rpm).toBe(1);
  expect(limitsFor({ limits }, "gpt-5").rpm).toBe(2);
  expect(limitsFor({ limits }, "o3")).toEqual({ rpm: null, tpm: null });
  const own = { input: 7, output: 8 };
  expect(priceOf("gpt-4o", [["gpt-4*", own]])).toBe(own);
  expect(priceOf("gpt-5", [["gpt-4*", own]])?.input).toBe(1.25);
});

test("a request for another model keeps everything, with the token limit under that model's parameter name", () => {
  const body = { model: "gpt-4o", messages: [], max_tokens: 9, seed: 1 };
  expect(JSON.parse(withModel(JSON.stringify(body), "llama-3"))).toEqual({
    ...body,
    model: "llama-3",
  });
  expect(JSON.parse(withModel(JSON.stringify(body), "o3"))).toEqual({
    model: "o3",
    messages: [],
    seed: 1,
    max_completion_tokens: 9,
  });
});
