import type OpenAI from "openai";

import { type Answer, readAnswer } from "../domain/answer.ts";
import { type Failure, isWaiting } from "../domain/failure.ts";
import type { Provider } from "../domain/provider.ts";
import type { Endpoint } from "../domain/request.ts";
import { mayReferToUploads } from "../domain/upload-refs.ts";
import type { Cancel } from "../lib/clock.ts";
import { parseExactOrNone } from "../lib/exact-json.ts";
import { isJsonObject, type Json, type JsonObject } from "../lib/json.ts";
import { type Adjustments, createAdjustments, MOST_ADJUSTMENTS } from "./adjust.ts";
import type { CallResult, ProviderCall } from "./call.ts";
import {
  classifyErrorBody,
  classifyReply,
  classifyThrown,
  failure,
  notJson,
  requestIdOf,
} from "./classify.ts";
import { readErrorWords } from "./error-words.ts";
import { follow, type ManualInit } from "./follow.ts";
import { inlineUploads, leavesOutDocuments, requireNoDocuments, UnsentError } from "./inline.ts";
import { errorIn, judgeAnswer, looksLikeError, unwrap } from "./judge.ts";
import type { Outside } from "./outside.ts";
import { readRateLimits, readRefusal } from "./rate-limit-signals.ts";
import { refusalText } from "./reply-bytes.ts";
import { type Read, readReply } from "./reply.ts";
import { createClient } from "./sdk.ts";
import { createSimulator } from "./simulator.ts";
import { readMismatch } from "./structured.ts";

/**
 * Makes calls to one provider with one of its keys. The `openai` SDK knows how a request to an endpoint looks
 * (address, authentication, headers); the request is built with it once per endpoint and sent with each body, which
 * takes a third of the time of the SDK's whole way from call to answer (28 µs beside 87 µs on one core). Answers are
 * parsed here, because servers differ in more than the SDK allows for. The SDK's retries are off: only the engine
 * retries. A call never throws: it resolves with an answer or a classified failure. `adjustments` are shared by all
 * keys.
 */
export function createCaller(
  provider: Provider,
  outside: Outside,
  key = 0,
  adjustments: Adjustments = createAdjustments(),
): (call: ProviderCall) => Promise<CallResult> {
  const { clock } = outside;
  const { send, requestTo, withoutSecret } = createLine(provider, outside, key);
  const isWithoutDocuments = leavesOutDocuments(provider);
  const hide = (result: CallResult): CallResult => {
    if (result.ok) return result;
    const message = withoutSecret(result.failure.message);
    return { ...result, failure: { ...result.failure, message } };
  };

  /** Sends a request, and repeats it without the parameters that the provider refuses. */
  async function callOnce(call: ProviderCall, { url, init }: BuiltRequest): Promise<CallResult> {
    for (let left = MOST_ADJUSTMENTS; ; left--) {
      const { body, text, adjusted } = prepare(call, adjustments);
      const { signal } = call.abort;
      if (isWithoutDocuments) requireNoDocuments(text);
      const sent =
        call.readUpload && mayReferToUploads(text)
          ? await inlineUploads(text, call.readUpload, signal)
          : text;
      const reply = await follow(send, url, { ...init, body: sent, signal });
      if (reply.ok) {
        const read = await readReply(reply, call);
        const result = judge(call, { url, reply, nowMs: clock.now() }, read);
        const error = call.isChecked && read.kind === "error" ? read.body : null;
        return { ...(error === null ? result : asMismatch(result, error)), adjusted };
      }
      const said = await refusalText(reply);
      if (left > 0 && adjustments.learn(body(), call.isChecked, reply.status, readErrorWords(said)))
        continue;
      const result = refused({ url, reply, nowMs: clock.now() }, said);
      return { ...(call.isChecked ? asMismatch(result, said) : result), adjusted };
    }
  }

  return async (call) => {
    let cancel: Cancel | undefined;
    try {
      // The first request of a thread loads the SDK, which takes seconds on a busy machine.
      const request = requestTo(call.endpoint);
      const built = request instanceof Promise ? await request : request;
      cancel = clock.setTimeout(() => call.abort.abort(TIMED_OUT), call.timeoutMs);
      return hide(await callOnce(call, built));
    } catch (error) {
      const why =
        error instanceof UnsentError
          ? error.failure
          : call.abort.signal.reason === TIMED_OUT
            ? failure("timeout", `The provider did not answer within ${call.timeoutMs} ms`)
            : classifyThrown(error);
      return { ok: false, failure: why, response: null, answer: null, signals: null, adjusted: [] };
    } finally {
      cancel?.();
    }
  };
}

/** Shorter keys are not removed from error messages. Some providers echo a refused key. */
const SHORTEST_SECRET = 6;

/** The connection to a provider with one of its keys. */
export function createLine(provider: Provider, outside: Outside, key: number) {
  const client = createClient(provider, outside, key);
  const built = new Map<Endpoint, BuiltRequest>();
  const secret = provider.kind === "openai" ? (provider.apiKeys[key] ?? "") : "";
  async function buildFirst(endpoint: Endpoint): Promise<BuiltRequest> {
    const request = await build(await client(), endpoint);
    built.set(endpoint, request);
    return request;
  }
  return {
    send: provider.kind === "simulator" ? createSimulator(provider, outside) : outside.fetch,
    /** Not a promise after the first time, because each wait costs a busy thread about a microsecond. */
    requestTo(endpoint: Endpoint): BuiltRequest | Promise<BuiltRequest> {
      return built.get(endpoint) ?? buildFirst(endpoint);
    },
    /** A text of the provider without the key. */
    withoutSecret: (text: string) =>
      secret.length < SHORTEST_SECRET ? text : text.replaceAll(secret, "…"),
  };
}

const TIMED_OUT = "timed out";
const STREAMS = /"stream"\s*:\s*true/;

/** The body to send: unchanged, unless a stream must request usage or the provider refuses a parameter. */
export function prepare(
  { endpoint, body: text, isChecked }: Pick<ProviderCall, "endpoint" | "body" | "isChecked">,
  adjustments: Adjustments,
) {
  if (!adjustments.knows() && !STREAMS.test(text))
    return { body: () => parseBody(text), text, adjusted: [], wantsUsage: false };
  const asked = parseBody(text);
  const wantsUsage =
    asked["stream"] === true &&
    (endpoint === "/v1/chat/completions" || endpoint === "/v1/completions") &&
    lacksUsage(asked["stream_options"]);
  const { body, adjusted } = adjustments.apply(wantsUsage ? withUsage(asked) : asked, isChecked);
  const isSame = !wantsUsage && adjusted.length === 0;
  return {
    body: () => body,
    text: isSame ? text : JSON.stringify(body),
    adjusted,
    // Some providers refuse it.
    wantsUsage: wantsUsage && "stream_options" in body,
  };
}

function lacksUsage(options: Json | undefined): boolean {
  if (options === undefined || options === null) return true;
  // Other values are wrong, which the provider explains.
  return isJsonObject(options) && options["include_usage"] !== true;
}

/** The request for a stream with usage, from which the cost is known. Further options stay. */
function withUsage(body: JsonObject): JsonObject {
  const options = body["stream_options"];
  const others = isJsonObject(options) ? options : {};
  return { ...body, stream_options: { ...others, include_usage: true } };
}

type BuiltRequest = { url: string; init: ManualInit };

async function build(client: OpenAI, endpoint: Endpoint): Promise<BuiltRequest> {
  const { url, req } = await client.buildRequest({
    method: "post",
    path: endpoint.slice("/v1".length),
    body: {},
  });
  // Deno copies a `Headers` for each call, which takes a seventh of a worker thread's time, and Bun an object.
  const headers = "Deno" in globalThis ? Object.fromEntries(req.headers) : req.headers;
  return { url, init: { method: "POST", headers, redirect: "manual" } };
}

type Result = DistributiveOmit<CallResult, "adjusted">;
type DistributiveOmit<T, K extends keyof T> = T extends unknown ? Omit<T, K> : never;

/** A reply, the address that it came from, and when. */
type Replied = { url: string; reply: Response; nowMs: number };

function refused({ url, reply, nowMs }: Replied, text: string): Result {
  const why = classifyReply(reply, text, { address: url, nowMs });
  const signals = signalsOf(why, reply.headers, text, nowMs);
  return { ok: false, failure: why, response: null, answer: null, signals };
}

/** Some providers report rate limits with another status than 429, or in a stream. */
function signalsOf(why: Failure, headers: Headers, text: string, nowMs: number) {
  return why.providerStatus === 429 || isWaiting(why.cause)
    ? readRefusal(headers, text, nowMs)
    : readRateLimits(headers, nowMs);
}

/** The same result, marked as a schema mismatch if the provider reports that. */
function asMismatch(result: Result, said: string | Json): Result {
  const mismatch = readMismatch(said);
  if (result.ok || !mismatch) return result;
  const { providerStatus, requestId } = result.failure;
  const why = failure("schema_mismatch", mismatch.problem, { providerStatus, requestId });
  return { ...result, failure: why, mismatch: mismatch.text };
}

/** Decides whether an answer with a success status is usable. */
function judge({ endpoint }: ProviderCall, { url, reply, nowMs }: Replied, read: Read): Result {
  const requestId = requestIdOf(reply);
  const bad = (
    why: Failure,
    response: string | null = null,
    answer?: Answer,
    said = response ?? "",
  ): Result => ({
    ok: false,
    failure: { ...why, requestId },
    response,
    answer: answer ?? null,
    signals: signalsOf(why, reply.headers, said, nowMs),
  });
  if (read.kind === "error")
    return bad(classifyErrorBody(read.body, url), null, undefined, JSON.stringify(read.body));
  if (read.kind === "cut") return bad(brokenStream(read.said));
  if (read.kind === "unreadable") return bad(notJson(read.text, url));
  const response = unwrap(read.response);
  const text = response === read.response ? read.text : JSON.stringify(response);
  const error = errorIn(response);
  const answer = readAnswer(endpoint, response);
  if (error !== undefined) return bad(classifyErrorBody(error, url), text, answer);
  if (!answer)
    return looksLikeError(response)
      ? bad(classifyErrorBody(response, url), text)
      : bad(failure("empty_response", "The provider's answer contains no result"), text);
  const why = judgeAnswer(answer);
  if (why) return bad(why, text, answer);
  const signals = readRateLimits(reply.headers, nowMs);
  return { ok: true, answer, response: text, requestId, signals };
}

function brokenStream(said: string | null): Failure {
  const words = said === null ? null : readErrorWords(said).message;
  return failure(
    "connection_lost",
    `The stream broke before the answer was complete${words ? `: ${words.slice(0, 500)}` : ""}`,
  );
}

function parseBody(text: string) {
  const body = parseExactOrNone(text);
  return isJsonObject(body) ? body : {};
}
