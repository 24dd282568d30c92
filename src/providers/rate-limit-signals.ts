import type { RateLimitSignals, Reported } from "../domain/rate-limit.ts";
import { isJsonObject, type Json, type JsonObject, parseJson } from "../lib/json.ts";
import { readErrorWords } from "./error-words.ts";

const LONGEST_MS = 31 * 86_400_000;
const LARGEST_LIMIT = 1e12;

/**
 * Rate-limit headers of whatever dialect, read tolerantly: `x-ratelimit-{limit,remaining,reset}-*` (OpenAI with Go
 * durations, Azure with integers, -1 and 0, Groq and others with seconds), the same with `-minute` or `-day` (Mistral,
 * Cerebras, DigitalOcean), and `anthropic-ratelimit-*` (RFC 3339 resets). Absent, negative and absurd values count as not reported; `null` if nothing is reported at all.
 */
export function readRateLimits(headers: Headers, nowMs: number): RateLimitSignals | null {
  const read = (names: Names) => readReported(headers, names, nowMs);
  const requests = read(OPENAI.requests) ?? read(ANTHROPIC.requests) ?? first(read, TIMED.requests);
  const tokens =
    read(OPENAI.tokens) ??
    read(ANTHROPIC.tokens) ??
    first(read, TIMED.tokens) ??
    // Providers that report tokens in two parts also report requests, so the other providers need no further
    // look-ups.
    (requests === null ? null : scarcer(read(ANTHROPIC.input), read(ANTHROPIC.output)));
  return requests || tokens ? { requests, tokens, retryAfterMs: null, scarce: null } : null;
}

function first(read: (names: Names) => Reported | null, all: readonly Names[]): Reported | null {
  for (const names of all) {
    const found = read(names);
    if (found) return found;
  }
  return null;
}

/** Header names are precomputed, because every answer is searched. */
type Names = { limit: string; remaining: string; reset: string };

const openai = (kind: string): Names => ({
  limit: `x-ratelimit-limit-${kind}`,
  remaining: `x-ratelimit-remaining-${kind}`,
  reset: `x-ratelimit-reset-${kind}`,
});

const anthropic = (kind: string): Names => ({
  limit: `anthropic-ratelimit-${kind}-limit`,
  remaining: `anthropic-ratelimit-${kind}-remaining`,
  reset: `anthropic-ratelimit-${kind}-reset`,
});

const OPENAI = { requests: openai("requests"), tokens: openai("tokens") };
const ANTHROPIC = {
  requests: anthropic("requests"),
  tokens: anthropic("tokens"),
  input: anthropic("input-tokens"),
  output: anthropic("output-tokens"),
};

/**
 * Names that have the length of the window. Mistral: https://github.com/mistralai/client-ts/issues/169; Cerebras:
 * https://inference-docs.cerebras.ai/support/rate-limits; DigitalOcean:
 * https://docs.digitalocean.com/products/inference/reference/quota-specific-response-headers/
 */
const TIMED = {
  requests: ["req-minute", "requests-minute", "requests-day"].map(openai),
  tokens: ["tokens-minute", "tokens-per-minute"].map(openai),
};

/** Those of OpenRouter and of many gateways, which send them with refusals. */
const PLAIN: Names = {
  limit: "x-ratelimit-limit",
  remaining: "x-ratelimit-remaining",
  reset: "x-ratelimit-reset",
};

/** Those of a draft of the IETF, which Kong and other gateways send, too. */
const DRAFT: Names = {
  limit: "ratelimit-limit",
  remaining: "ratelimit-remaining",
  reset: "ratelimit-reset",
};
/** Its newer form: `limit=100, remaining=0, reset=20`, or `"default";r=0;t=20`. */
const DRAFT_RESET = /\b(?:reset|t)=(\d+)/;

/** The limits that a refusal reports: headers, and hints in its body (Gemini's `retryDelay`, OpenAI's message). */
export function readRefusal(headers: Headers, body: string, nowMs: number): RateLimitSignals {
  const reported = readRateLimits(headers, nowMs);
  const hint = readBodyHints(body);
  const plain =
    readReported(headers, PLAIN, nowMs) ??
    readReported(headers, DRAFT, nowMs) ??
    readReported(hint.headers, PLAIN, nowMs);
  const isSilent = reported === null && hint.requests === null && hint.tokens === null && !plain;
  return {
    requests: reported?.requests ?? hint.requests ?? plain,
    tokens: reported?.tokens ?? hint.tokens,
    retryAfterMs:
      retryAfterMs(headers, nowMs) ??
      hint.retryAfterMs ??
      (isSilent ? resetAlone(headers, nowMs) : null),
    scarce:
      hint.scarce ??
      (reported?.tokens?.remaining === 0 && reported.requests?.remaining !== 0 ? "tokens" : null) ??
      (reported?.requests?.remaining === 0 && reported.tokens?.remaining !== 0 ? "requests" : null),
  };
}

/** The reset of a refusal that reports no limit. */
function resetAlone(headers: Headers, nowMs: number): number | null {
  const reset =
    headers.get(PLAIN.reset) ??
    headers.get(DRAFT.reset) ??
    DRAFT_RESET.exec(headers.get("ratelimit") ?? "")?.[1];
  return reset === undefined ? null : readReset(reset, headers, nowMs);
}

/**
 * The wait that the headers request, in ms, if any: `retry-after-ms`, `x-ms-retry-after-ms`, `retry-after` in seconds
 * or as a date, which some servers send as a duration or an epoch. LiteLLM passes on that of a provider under a name of
 * its own.
 */
export function retryAfterMs(headers: Headers, nowMs: number): number | null {
  for (const name of ["retry-after-ms", "x-ms-retry-after-ms"]) {
    const ms = Number.parseFloat(headers.get(name) ?? "");
    if (Number.isFinite(ms) && ms >= 0) return ms;
  }
  const after = headers.get("retry-after") ?? headers.get("llm_provider-retry-after");
  return after === null || /^\s*(-|$)/.test(after) ? null : readReset(after, headers, nowMs);
}

function readReported(headers: Headers, names: Names, nowMs: number): Reported | null {
  const remaining = readCount(headers.get(names.remaining));
  const limit = readCount(headers.get(names.limit)) || null;
  if (remaining === null && limit === null) return null;
  // Azure reports 0 of 0, or 0 without a limit, if there is no limit.
  if (limit === null && remaining === 0) return null;
  const reset = headers.get(names.reset);
  return { limit, remaining, resetMs: reset === null ? null : readReset(reset, headers, nowMs) };
}

function readCount(text: string | null): number | null {
  if (text === null || text.trim() === "") return null;
  const number = Number(text);
  const value = Number.isNaN(number) ? firstNumber(text) : number;
  return value >= 0 && value <= LARGEST_LIMIT ? value : null;
}

/** The first of several values, which a proxy has joined, or which have parameters; digits may be grouped. */
function firstNumber(text: string): number {
  const isGrouped = /^\d{1,3}(,\d{3})+$/.test(text.trim());
  return Number.parseFloat(isGrouped ? text.replaceAll(",", "") : text);
}

function readReset(text: string, headers: Headers, nowMs: number): number | null {
  const value = text.trim();
  const number = Number(value);
  const ms =
    goDurationMs(value) ??
    (value === "" || Number.isNaN(number)
      ? Date.parse(value) - providerNow(headers, nowMs)
      : number > 1e11
        ? number - nowMs
        : number > 1e9
          ? number * 1000 - nowMs
          : number * 1000);
  return Number.isFinite(ms) && ms <= LONGEST_MS ? Math.max(0, ms) : null;
}

const GO_UNITS: Record<string, number> = {
  h: 3_600_000,
  m: 60_000,
  s: 1000,
  ms: 1,
  us: 1e-3,
  µs: 1e-3,
  ns: 1e-6,
};

/** A Go duration (`12ms`, `1s`, `6m0s`, `1h2m3.5s`) in ms; `undefined` for any other text. */
export function goDurationMs(text: string): number | undefined {
  if (!/^(\d+(\.\d+)?(h|ms|m|s|us|µs|ns))+$/.test(text)) return undefined;
  let ms = 0;
  for (const [, count, unit] of text.matchAll(/(\d+(?:\.\d+)?)(h|ms|m|s|us|µs|ns)/g))
    ms += Number(count) * (GO_UNITS[unit ?? ""] ?? 0);
  return ms;
}

/** The provider's time, if it differs from this machine's by more than the rounding of the header. */
function providerNow(headers: Headers, nowMs: number): number {
  const theirs = Date.parse(headers.get("date") ?? "");
  return Math.abs(theirs - nowMs) > 2000 ? theirs : nowMs;
}

function scarcer(a: Reported | null, b: Reported | null): Reported | null {
  if (!a || !b) return a ?? b;
  const share = ({ limit, remaining }: Reported) =>
    limit && remaining !== null ? remaining / limit : 1;
  return share(b) < share(a) ? b : a;
}

/** "… on tokens per min (TPM): Limit 30000, Used 29500, Requested 1200. Please try again in 1.4s." */
const KIND = /\b(requests|tokens) per min/i;
const AT_ONCE =
  /concurren|simultaneous|\bin parallel|parallel requests|enqueued|requests in progress/i;
const LIMIT = /\bLimit:? ([\d,]+)/i;
const TRY_AGAIN =
  /(?:(?:try again|retry) (?:in|after)|wait(?: for)?) (\d[\w.µ]*)(?: (second|minute)s?)?/i;
/** Azure API Management: "Out of call volume quota. Quota will be replenished in 00:01:05." */
const REPLENISHED = /replenished in (?:(\d+)\.)?(\d\d):(\d\d):(\d\d)/i;

function readBodyHints(body: string): RateLimitSignals & { headers: Headers } {
  const whole = parseJson(body);
  const error = errorOf(whole);
  const message = whole === undefined ? "" : (readErrorWords(whole).message ?? "");
  const kind = KIND.exec(message)?.[1]?.toLowerCase();
  const isAtOnce = AT_ONCE.test(message);
  const scarce =
    kind === "requests" || kind === "tokens" ? kind : isAtOnce ? ("calls" as const) : null;
  const limit = readCount(LIMIT.exec(message)?.[1]?.replaceAll(",", "") ?? null) || null;
  const reported = limit === null ? null : { limit, remaining: 0, resetMs: null };
  return {
    requests: scarce === "requests" ? reported : null,
    tokens: scarce === "tokens" ? reported : null,
    retryAfterMs:
      retryDelay(error?.["details"]) ?? tryAgainMs(message) ?? secondsIn(error) ?? secondsIn(whole),
    scarce,
    headers: headersIn(error?.["metadata"]),
  };
}

function errorOf(body: Json | undefined) {
  const first = Array.isArray(body) ? body[0] : body;
  if (!isJsonObject(first)) return undefined;
  return isJsonObject(first["error"]) ? first["error"] : first;
}

/** A wait in seconds: of Hugging Face for a model that is being loaded, and of some gateways. */
function secondsIn(body: Json | undefined): number | null {
  if (!isJsonObject(body)) return null;
  const seconds = body["retry_after"] ?? body["estimated_time"];
  return typeof seconds === "number" && seconds >= 0 ? seconds * 1000 : null;
}

/** OpenRouter repeats the headers of a limit in the error. */
function headersIn(metadata: Json | undefined): Headers {
  const headers = isJsonObject(metadata) ? metadata["headers"] : undefined;
  const found = new Headers();
  for (const name of Object.values(PLAIN)) {
    const value = isJsonObject(headers) ? findName(headers, name) : undefined;
    if (typeof value === "string" && /^[\d.]+$/.test(value)) found.set(name, value);
  }
  return found;
}

function findName(object: JsonObject, name: string): Json | undefined {
  const key = Object.keys(object).find((one) => one.toLowerCase() === name);
  return key === undefined ? undefined : object[key];
}

function retryDelay(details: Json | undefined): number | null {
  if (!Array.isArray(details)) return null;
  for (const detail of details)
    if (isJsonObject(detail) && typeof detail["retryDelay"] === "string")
      return goDurationMs(detail["retryDelay"]) ?? null;
  return null;
}

function tryAgainMs(message: string): number | null {
  const [replenished, days = 0, hours, minutes, rest] = REPLENISHED.exec(message) ?? [];
  if (replenished)
    return (
      (((Number(days) * 24 + Number(hours)) * 60 + Number(minutes)) * 60 + Number(rest)) * 1000
    );
  const [, text = "", unit = ""] = TRY_AGAIN.exec(message) ?? [];
  return goDurationMs(text.replace(/\.$/, "") + (unit[0] ?? "").toLowerCase()) ?? null;
}
