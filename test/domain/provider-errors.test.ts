import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { type Cause, isHalt, isWaiting } from "../../src/domain/failure.ts";
import { causeOf, ERROR_TABLE, type ErrorFacts, rowOf } from "../../src/domain/provider-errors.ts";
import { readErrorWords } from "../../src/providers/error-words.ts";

type Case = [
  server: string,
  error: { status?: number; code?: string; message?: string; host?: string },
  cause: Cause,
];

/** Errors of which the corpus of whole answers (`test/providers/corpus/`) has none. */
const CASES: Case[] = [
  // A context that overflows is one, whatever the status.
  ["OpenAI", { status: 400, code: "context_length_exceeded" }, "context_length"],
  ["OpenAI", { status: 500, code: "context_length_exceeded" }, "context_length"],
  ["OpenAI, in a stream", { code: "context_length_exceeded" }, "context_length"],
  ["Anthropic", { status: 413 }, "context_length"],
  [
    "xAI",
    {
      status: 400,
      message:
        "This model's maximum prompt length is 131072 but the request contains 140000 tokens. The maximum context length is 131072",
    },
    "context_length",
  ],
  [
    "vLLM",
    { status: 500, message: "The prompt is too long: max_model_len is 4096" },
    "context_length",
  ],
  [
    "Hugging Face TGI",
    { status: 422, message: "`inputs` tokens + `max_new_tokens` must be <= 2048" },
    "context_length",
  ],
  ["Bedrock", { status: 400, message: "Input is too long for requested model." }, "context_length"],
  [
    "DashScope",
    { status: 400, message: "Range of input length should be [1, 30720]" },
    "context_length",
  ],
  // The same words about the rate of a minute are no overflow.
  [
    "Azure",
    {
      status: 429,
      message:
        "Too many requests: your limit is 4096 tokens per minute for the context window tier",
    },
    "rate_limited",
  ],
  // No balance pauses a batch.
  ["OpenAI", { status: 429, code: "billing_hard_limit_reached" }, "quota_exhausted"],
  ["OpenAI", { status: 403, code: "account_deactivated" }, "quota_exhausted"],
  ["Anthropic", { status: 403, code: "billing_error" }, "quota_exhausted"],
  [
    "Google",
    {
      status: 429,
      message: "Quota exceeded for metric: generate_requests, limit: 0, model: gemini-2.5-pro",
    },
    "quota_exhausted",
  ],
  ["Volcengine", { status: 403, code: "accountoverdueerror" }, "quota_exhausted"],
  [
    "SiliconFlow",
    { status: 403, code: "30001", message: "Sorry, your account balance is insufficient" },
    "quota_exhausted",
  ],
  ["Zhipu", { status: 429, code: "1309" }, "quota_exhausted"],
  ["any, in a stream", { code: "402", message: "Insufficient credits" }, "quota_exhausted"],
  ["one-api", { status: 403, message: "用户额度不足" }, "quota_exhausted"],
  // A refused key pauses a batch.
  ["OpenAI", { status: 401, code: "invalid_api_key" }, "unauthorized"],
  [
    "Google",
    { status: 400, code: "api_key_invalid", message: "API key not valid." },
    "unauthorized",
  ],
  [
    "Google",
    { status: 400, message: "API key expired. Please renew the API key." },
    "unauthorized",
  ],
  ["Anthropic", { status: 401, code: "authentication_error" }, "unauthorized"],
  ["any", { status: 401 }, "unauthorized"],
  ["MiniMax, with status 200", { code: "1004", message: "login fail" }, "unauthorized"],
  ["MiniMax, with status 200", { code: "2049", message: "invalid key" }, "unauthorized"],
  ["DashScope", { status: 401, code: "invalidapikey" }, "unauthorized"],
  // Filters.
  ["OpenAI", { status: 400, code: "content_policy_violation" }, "content_filter"],
  ["Azure", { status: 400, code: "responsibleaipolicyviolation" }, "content_filter"],
  ["Zhipu", { status: 400, code: "1301" }, "content_filter"],
  ["DashScope", { status: 400, code: "data_inspection_failed" }, "content_filter"],
  ["MiniMax, with status 200", { code: "1026", message: "input new_sensitive" }, "content_filter"],
  ["MiniMax, with status 200", { code: "1027", message: "output new_sensitive" }, "content_filter"],
  // A lack of capacity is waited for.
  ["Groq", { status: 498 }, "overloaded"],
  ["Anthropic", { status: 529 }, "overloaded"],
  ["Anthropic, in a stream", { code: "overloaded_error" }, "overloaded"],
  ["vLLM", { status: 503, message: "The model is currently loading" }, "overloaded"],
  [
    "Google",
    { status: 503, message: "This model is currently experiencing high demand." },
    "overloaded",
  ],
  [
    "Bedrock",
    { status: 503, message: "Bedrock is unable to process your request: no capacity" },
    "overloaded",
  ],
  // Rate limits are waited for, whatever the status.
  ["MiniMax, with status 200", { code: "1039", message: "TPM limit" }, "rate_limited"],
  ["DashScope", { status: 400, code: "throttling.ratequota" }, "rate_limited"],
  ["OpenRouter, with status 200", { code: "rate_limit_exceeded" }, "rate_limited"],
  ["any", { status: 429 }, "rate_limited"],
  // Another attempt may help.
  ["Bedrock", { status: 424 }, "server_error"],
  ["Groq", { status: 400, code: "output_parse_failed" }, "bad_response"],
  ["Cloudflare", { status: 524 }, "timeout"],
  ["any", { status: 425 }, "conflict"],
  ["any, in a stream", {}, "server_error"],
  // It does not.
  ["Azure", { status: 404, code: "deploymentnotfound" }, "not_found"],
  ["any", { status: 405 }, "not_found"],
  // A code of which the host decides what it means.
  ["OpenAI", { status: 429, code: "insufficient_quota" }, "quota_exhausted"],
  [
    "DashScope",
    { status: 429, code: "insufficient_quota", host: "dashscope-intl.aliyuncs.com" },
    "rate_limited",
  ],
  ["any", { status: 403 }, "forbidden"],
  ["any", { status: 422, message: "temperature must be at most 2" }, "rejected"],
];

describe("an error of", () => {
  test.each(CASES)("%s: %j is %s", (_server, error, cause) => {
    const { status = null, code, message = "", host } = error;
    const codes = code === undefined ? [] : [code];
    expect(causeOf({ status, codes, message, host })).toBe(cause);
  });
});

test("only used-up quota and refused keys pause, and only limits and lack of capacity are waited for", () => {
  const causes = new Set(CASES.map(([, , cause]) => cause));
  expect([...causes].filter(isHalt).toSorted()).toEqual(["quota_exhausted", "unauthorized"]);
  expect([...causes].filter(isWaiting).toSorted()).toEqual(["overloaded", "rate_limited"]);
});

/** The errors of the corpus that have a status of their own. */
function errorsOfCorpus(): ErrorFacts[] {
  const folder = join(import.meta.dir, "..", "providers", "corpus");
  return readdirSync(folder).flatMap((file) => {
    const { replies } = JSON.parse(readFileSync(join(folder, file), "utf8"));
    return replies.map(({ status, text, body }: Record<string, never>) => {
      const words = readErrorWords(text ?? JSON.stringify(body));
      const own = Number(status) === 200 ? words.status : Number(status);
      return { status: own, codes: words.codes, message: words.message ?? "" };
    });
  });
}

test("each row of the table is reached by an error of this test or of the corpus", () => {
  const named = CASES.map(([, { status = null, code, message = "", host }]) => ({
    status,
    codes: code === undefined ? [] : [code],
    message,
    host,
  }));
  const reached = new Set([...named, ...errorsOfCorpus()].map(rowOf));
  expect(ERROR_TABLE.filter((row) => !reached.has(row))).toEqual([]);
});
