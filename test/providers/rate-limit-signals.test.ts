import { describe, expect, test } from "bun:test";

import fc from "fast-check";

import {
  goDurationMs,
  readRateLimits,
  readRefusal,
  retryAfterMs,
} from "../../src/providers/rate-limit-signals.ts";

const NOW = Date.parse("2026-01-01T00:00:00Z");
const limits = (headers: Record<string, string>) => readRateLimits(new Headers(headers), NOW);
const refusal = (headers: Record<string, string>, body: unknown = {}) =>
  readRefusal(new Headers(headers), JSON.stringify(body), NOW);

describe("the headers of", () => {
  test("OpenAI, with Go durations", () => {
    expect(
      limits({
        "x-ratelimit-limit-requests": "10000",
        "x-ratelimit-remaining-requests": "9999",
        "x-ratelimit-reset-requests": "6ms",
        "x-ratelimit-limit-tokens": "30000000",
        "x-ratelimit-remaining-tokens": "29999000",
        "x-ratelimit-reset-tokens": "1h2m3.5s",
      }),
    ).toMatchObject({
      requests: { limit: 10_000, remaining: 9999, resetMs: 6 },
      tokens: { limit: 30_000_000, remaining: 29_999_000, resetMs: 3_723_500 },
    });
  });

  test("Azure: remaining alone, and -1 or 0 where it has no limit", () => {
    expect(
      limits({ "x-ratelimit-remaining-requests": "17", "x-ratelimit-remaining-tokens": "-1" }),
    ).toMatchObject({ requests: { limit: null, remaining: 17, resetMs: null }, tokens: null });
    expect(
      limits({
        "x-ratelimit-limit-requests": "0",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-limit-tokens": "-1",
        "x-ratelimit-remaining-tokens": "-1",
      }),
    ).toBeNull();
    expect(retryAfterMs(new Headers({ "x-ms-retry-after-ms": "1250" }), NOW)).toBe(1250);
  });

  test("Mistral, Cerebras and DigitalOcean, whose names have the length of the window", () => {
    expect(
      limits({
        "x-ratelimit-limit-tokens-minute": "5000000",
        "x-ratelimit-remaining-tokens-minute": "4999911",
        "x-ratelimit-tokens-query-cost": "52",
        "x-ratelimit-limit-req-minute": "720",
        "x-ratelimit-remaining-req-minute": "717",
      }),
    ).toMatchObject({
      requests: { limit: 720, remaining: 717, resetMs: null },
      tokens: { limit: 5_000_000, remaining: 4_999_911, resetMs: null },
    });
    expect(
      limits({
        "x-ratelimit-limit-requests-day": "1000000000",
        "x-ratelimit-limit-tokens-minute": "1000000000",
        "x-ratelimit-remaining-requests-day": "999997455",
        "x-ratelimit-remaining-tokens-minute": "999998298",
        "x-ratelimit-reset-requests-day": "33011.382867097855",
        "x-ratelimit-reset-tokens-minute": "11.382867097854614",
      }),
    ).toMatchObject({
      requests: { limit: 1e9, remaining: 999_997_455, resetMs: expect.closeTo(33_011_382.87, 1) },
      tokens: { limit: 1e9, remaining: 999_998_298 },
    });
    expect(
      limits({
        "x-ratelimit-limit-tokens-per-minute": "1000",
        "x-ratelimit-remaining-tokens-per-minute": "10",
        "x-ratelimit-reset-tokens-per-minute": String(NOW / 1000 + 59),
      }),
    ).toMatchObject({ requests: null, tokens: { limit: 1000, remaining: 10, resetMs: 59_000 } });
  });

  test("Anthropic: RFC 3339 resets, and of input and output tokens the scarcer", () => {
    expect(
      limits({
        "anthropic-ratelimit-requests-limit": "50",
        "anthropic-ratelimit-requests-remaining": "49",
        "anthropic-ratelimit-requests-reset": "2026-01-01T00:00:01Z",
        "anthropic-ratelimit-input-tokens-limit": "40000",
        "anthropic-ratelimit-input-tokens-remaining": "39000",
        "anthropic-ratelimit-input-tokens-reset": "2026-01-01T00:00:02Z",
        "anthropic-ratelimit-output-tokens-limit": "8000",
        "anthropic-ratelimit-output-tokens-remaining": "1000",
        "anthropic-ratelimit-output-tokens-reset": "2026-01-01T00:00:50Z",
      }),
    ).toMatchObject({
      requests: { limit: 50, remaining: 49, resetMs: 1000 },
      tokens: { limit: 8000, remaining: 1000, resetMs: 50_000 },
    });
  });

  test("a provider whose clock is wrong, by its own clock", () => {
    expect(
      limits({
        date: "Wed, 31 Dec 2025 23:00:00 GMT",
        "anthropic-ratelimit-tokens-limit": "100",
        "anthropic-ratelimit-tokens-remaining": "1",
        "anthropic-ratelimit-tokens-reset": "2025-12-31T23:00:30Z",
      })?.tokens?.resetMs,
    ).toBe(30_000);
  });

  test("others: seconds, epoch seconds, epoch milliseconds", () => {
    const reset = (text: string) =>
      limits({ "x-ratelimit-limit-requests": "5", "x-ratelimit-reset-requests": text })?.requests
        ?.resetMs;
    expect(reset("7.5")).toBe(7500);
    expect(reset(String(NOW / 1000 + 9))).toBe(9000);
    expect(reset(String(NOW + 450))).toBe(450);
    expect(reset("soon")).toBeNull();
    expect(reset("99999999h")).toBeNull();
  });

  test("proxies that join values, and servers that group digits", () => {
    expect(
      limits({
        "x-ratelimit-limit-requests": "100, 100;w=60",
        "x-ratelimit-remaining-requests": "99, 99",
        "x-ratelimit-limit-tokens": "30,000",
        "x-ratelimit-remaining-tokens": "29,000",
      }),
    ).toMatchObject({
      requests: { limit: 100, remaining: 99 },
      tokens: { limit: 30_000, remaining: 29_000 },
    });
    expect(limits({ "x-ratelimit-limit-requests": "None" })).toBeNull();
  });

  test("vLLM and Ollama: nothing", () => {
    expect(limits({ "content-type": "application/json" })).toBeNull();
  });

  test("any provider: every value is read without an error", () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), fc.string(), (limit, remaining, reset) => {
        const headers = new Headers();
        for (const [name, value] of Object.entries({ limit, remaining, reset }))
          try {
            headers.set(`x-ratelimit-${name}-requests`, value);
          } catch {
            // No header at all.
          }
        const { requests } = readRateLimits(headers, NOW) ?? {};
        for (const value of Object.values(requests ?? {}))
          expect(value === null || (Number.isFinite(value) && value >= 0)).toBe(true);
      }),
    );
  });
});

describe("a refusal", () => {
  test.each([
    [{ "retry-after": "2" }, 2000],
    [{ "retry-after": "0.5" }, 500],
    [{ "retry-after": "Thu, 01 Jan 2026 00:00:07 GMT" }, 7000],
    [{ "retry-after": "-3" }, null],
    [{ "retry-after": "" }, null],
    [{ "retry-after": "later" }, null],
    [{ "retry-after-ms": "350", "retry-after": "1" }, 350],
    [{ "retry-after-ms": "-1", "retry-after": "1" }, 1000],
    [{ "retry-after": "1m30s" }, 90_000],
    [{ "retry-after": String(NOW / 1000 + 30) }, 30_000],
    [{ "llm_provider-retry-after": "7" }, 7000],
    [{ "x-ratelimit-reset": "20" }, 20_000],
    [{ "ratelimit-reset": "20" }, 20_000],
    [{ ratelimit: "limit=100, remaining=0, reset=20" }, 20_000],
    [{ ratelimit: '"default";r=0;t=20' }, 20_000],
    [{ "x-ratelimit-limit": "20", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "9" }, null],
  ] as const)("with %p asks for %p ms", (headers, ms) => {
    expect(refusal(headers as Record<string, string>).retryAfterMs).toBe(ms);
  });

  test("of Gemini has the delay in its body", () => {
    const body = [
      {
        error: {
          code: 429,
          message: "Resource has been exhausted",
          details: [
            { "@type": "type.googleapis.com/google.rpc.QuotaFailure" },
            { "@type": "type.googleapis.com/google.rpc.RetryInfo", retryDelay: "39s" },
          ],
        },
      },
    ];
    expect(refusal({}, body).retryAfterMs).toBe(39_000);
    expect(refusal({}, body[0]).retryAfterMs).toBe(39_000);
  });

  test("of OpenAI names the limit and the wait in its text", () => {
    const message =
      "Rate limit reached for gpt-4o in organization org-x on tokens per min (TPM): Limit 30,000, " +
      "Used 29500, Requested 1200. Please try again in 1.4s. Visit https://platform.openai.com";
    expect(refusal({}, { error: { message } })).toEqual({
      requests: null,
      tokens: { limit: 30_000, remaining: 0, resetMs: null },
      retryAfterMs: 1400,
      scarce: "tokens",
    });
    expect(refusal({}, { error: { message: "Please try again in 6m0s." } }).retryAfterMs).toBe(
      360_000,
    );
    expect(refusal({}, { error: { message: "Please retry after 12 seconds." } }).retryAfterMs).toBe(
      12_000,
    );
  });

  test("of OpenRouter has plain headers, with the reset in epoch milliseconds", () => {
    const headers = {
      "X-RateLimit-Limit": "20",
      "X-RateLimit-Remaining": "0",
      "X-RateLimit-Reset": String(NOW + 12_000),
    };
    expect(refusal(headers)).toMatchObject({
      requests: { limit: 20, remaining: 0, resetMs: 12_000 },
      tokens: null,
    });
  });

  test("of Kong has those of a draft", () => {
    const headers = {
      "x-ratelimit-limit-minute": "10",
      "x-ratelimit-remaining-minute": "0",
      "ratelimit-limit": "10",
      "ratelimit-remaining": "0",
      "ratelimit-reset": "33",
    };
    expect(refusal(headers)).toMatchObject({
      requests: { limit: 10, remaining: 0, resetMs: 33_000 },
      retryAfterMs: null,
    });
  });

  test("of OpenRouter may have the headers in its body instead", () => {
    const headers = {
      "X-RateLimit-Limit": "20",
      "X-RateLimit-Remaining": "0",
      "X-RateLimit-Reset": String(NOW + 12_000),
    };
    const body = { error: { message: "Rate limit exceeded", code: 429, metadata: { headers } } };
    expect(refusal({}, body)).toMatchObject({
      requests: { limit: 20, remaining: 0, resetMs: 12_000 },
    });
  });

  test.each([
    ["Hugging Face", { error: "Model m is currently loading", estimated_time: 20.5 }, 20_500],
    ["a gateway", { error: { message: "Slow down", retry_after: 3 } }, 3000],
    ["xAI", { code: "x", error: "Too many requests. Please try again in 2 minutes." }, 120_000],
    ["FastAPI", { detail: "Rate limit: please wait 5 seconds" }, 5000],
    ["Azure", { message: "Out of quota. Quota will be replenished in 00:01:05." }, 65_000],
    ["Azure, in days", { message: "Quota will be replenished in 2.00:00:01." }, 172_801_000],
  ])("of %s has the wait at a place of its own", (_server, body, wait) => {
    expect(refusal({}, body).retryAfterMs).toBe(wait);
  });

  test("that is not JSON has no signals", () => {
    expect(readRefusal(new Headers(), "<html>", NOW)).toEqual({
      requests: null,
      tokens: null,
      retryAfterMs: null,
      scarce: null,
    });
  });
});

test("Go durations", () => {
  expect(["12ms", "1s", "6m0s", "1h2m3.5s", "250µs", "", "5", "1x"].map(goDurationMs)).toEqual([
    12,
    1000,
    360_000,
    3_723_500,
    0.25,
    undefined,
    undefined,
    undefined,
  ]);
});
