import { describe, expect, test } from "bun:test";

import fc from "fast-check";

import { cacheKeyOf as keyOf } from "../../src/domain/cache-key.ts";
import type { Endpoint } from "../../src/domain/request.ts";
import type { Json, JsonObject } from "../../src/lib/json.ts";

const CHAT = "/v1/chat/completions";

const json = fc
  .jsonValue({ maxDepth: 4 })
  .map((value) => JSON.parse(JSON.stringify(value)) as Json);
const body = fc.dictionary(fc.string(), json) as fc.Arbitrary<JsonObject>;

/** The same value, its objects' keys put in the opposite order. */
function turned(value: Json): Json {
  if (Array.isArray(value)) return value.map(turned);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .toReversed()
      .map(([key, item]) => [key, turned(item)]),
  );
}

const cacheKeyOf = (endpoint: Endpoint, asked: JsonObject) => keyOf(endpoint, asked, false);

describe("the cache key", () => {
  test("is the same for the same request, with any order of its keys, streamed or not", () => {
    fc.assert(
      fc.property(body, fc.boolean(), json, (asked, stream, stream_options) => {
        const key = cacheKeyOf(CHAT, asked);
        expect(key).toMatch(/^[0-9a-f]{64}$/);
        expect(cacheKeyOf(CHAT, turned(asked) as JsonObject)).toBe(key);
        expect(cacheKeyOf(CHAT, { ...asked, stream, stream_options })).toBe(
          cacheKeyOf(CHAT, { ...asked, stream: false }),
        );
      }),
    );
  });

  test("differs for different requests", () => {
    fc.assert(
      fc.property(body, body, (a, b) => {
        const sameWay = { stream: null, stream_options: null };
        fc.pre(!Bun.deepEquals({ ...a, ...sameWay }, { ...b, ...sameWay }, true));
        expect(cacheKeyOf(CHAT, a)).not.toBe(cacheKeyOf(CHAT, b));
      }),
    );
  });

  test("differs for requests that look alike", () => {
    const asked = { model: "m", messages: [{ role: "user", content: "x" }] };
    const others: [Endpoint, JsonObject][] = [
      [CHAT, asked],
      ["/v1/responses", asked],
      [CHAT, { ...asked, temperature: 0 }],
      [CHAT, { ...asked, temperature: 0.1 }],
      [CHAT, { ...asked, temperature: "0" }],
      [CHAT, { ...asked, temperature: null }],
      [CHAT, { ...asked, stop: ["a", "b"] }],
      [CHAT, { ...asked, stop: ["b", "a"] }],
      [CHAT, { ...asked, tools: [{ stream: true }] }],
      [CHAT, { ...asked, tools: [{ stream: false }] }],
    ];
    expect(new Set(others.map(([endpoint, body]) => cacheKeyOf(endpoint, body))).size).toBe(
      others.length,
    );
  });

  test("differs if the answer is checked", () => {
    const asked = { model: "m", response_format: { type: "json_schema" } };
    expect(keyOf(CHAT, asked, true)).not.toBe(keyOf(CHAT, asked, false));
  });
});
