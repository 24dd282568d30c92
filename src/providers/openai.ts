import OpenAI from "openai";
import { Stream } from "openai/streaming";

import { readAnswer } from "../domain/answer.ts";
import type { Provider } from "../domain/provider.ts";
import type { Endpoint } from "../domain/request.ts";
import type { Clock } from "../lib/clock.ts";
import { parseExactOrNone } from "../lib/exact-json.ts";
import { isJsonObject, parseJson } from "../lib/json.ts";
import type { CallResult, ProviderCall } from "./call.ts";
import { classifyErrorBody, classifyReply, classifyThrown, failure } from "./classify.ts";
import type { Outside } from "./outside.ts";
import { readRateLimits, readRefusal } from "./rate-limit-signals.ts";
import { createSimulator } from "./simulator.ts";
import { assembleStream } from "./stream.ts";

/**
 * Makes calls to one provider with one of its keys. The `openai` SDK knows how a request to an endpoint looks (address,
 * authentication, headers) and reads streams; the request is built with it once per endpoint and
 * sent with each body, which takes a third of the time of the SDK's whole way from call to answer
 * (28 µs beside 87 µs on one core). The SDK's retries have no part in it: the engine has the one
 * retry policy. A call never throws: it resolves with an answer or a classified failure.
 */
export function createCaller(
  provider: Provider,
  outside: Outside,
  key = 0,
): (call: ProviderCall) => Promise<CallResult> {
  const { clock } = outside;
  const client = createClient(provider, outside, key);
  const send = provider.kind === "simulator" ? createSimulator(provider, outside) : outside.fetch;
  const built = new Map<Endpoint, BuiltRequest>();

  async function post({ endpoint, abort }: ProviderCall, body: string): Promise<Response> {
    let request = built.get(endpoint);
    if (!request) {
      request = await build(client, endpoint);
      built.set(endpoint, request);
    }
    return send(request.url, { ...request.init, body, signal: abort.signal });
  }

  const secret = provider.kind === "openai" ? (provider.apiKeys[key] ?? "") : "";
  const hide = (result: CallResult): CallResult => {
    if (result.ok || secret.length < SHORTEST_SECRET) return result;
    const message = result.failure.message.replaceAll(secret, "…");
    return { ...result, failure: { ...result.failure, message } };
  };

  return async (call) => {
    const cancel = clock.setTimeout(() => call.abort.abort(TIMED_OUT), call.timeoutMs);
    try {
      return hide(
        STREAMS.test(call.body) && parseBody(call.body)["stream"] === true
          ? await callStreaming(call, post, clock)
          : await callOnce(call, post, clock),
      );
    } catch (error) {
      const why =
        call.abort.signal.reason === TIMED_OUT
          ? failure("timeout", `The provider did not answer within ${call.timeoutMs} ms`)
          : classifyThrown(error);
      return { ok: false, failure: why, response: null, answer: null, signals: null };
    } finally {
      cancel();
    }
  };
}

/** Some providers echo a key that they refuse. */
const SHORTEST_SECRET = 6;

const TIMED_OUT = "timed out";
const STREAMS = /"stream"\s*:\s*true/;

/**
 * The SDK's client for a provider, with one of its keys. The simulator is one like the others, behind
 * a `fetch` of its own.
 */
export function createClient(provider: Provider, outside: Outside, key = 0): OpenAI {
  return provider.kind === "simulator"
    ? new OpenAI({
        apiKey: "simulator",
        baseURL: "http://simulator.invalid/v1",
        maxRetries: 0,
        fetch: createSimulator(provider, outside),
      })
    : new OpenAI({
        apiKey: provider.apiKeys[key] ?? null,
        baseURL: provider.baseUrl,
        defaultHeaders: provider.headers,
        maxRetries: 0,
        fetch: (url, init) => outside.fetch(String(url), init),
      });
}

type BuiltRequest = { url: string; init: RequestInit };

async function build(client: OpenAI, endpoint: Endpoint): Promise<BuiltRequest> {
  const { url, req } = await client.buildRequest({
    method: "post",
    path: endpoint.slice("/v1".length),
    body: {},
  });
  return { url, init: { method: "POST", headers: req.headers } };
}

type Post = (call: ProviderCall, body: string) => Promise<Response>;

async function callOnce(call: ProviderCall, post: Post, clock: Clock): Promise<CallResult> {
  const reply = await post(call, call.body);
  const text = await reply.text();
  return reply.ok ? judge(call.endpoint, text, reply, clock) : refused(reply, text, clock);
}

function refused(reply: Response, text: string, clock: Clock): CallResult {
  const signals =
    reply.status === 429
      ? readRefusal(reply.headers, text, clock.now())
      : readRateLimits(reply.headers, clock.now());
  return {
    ok: false,
    failure: classifyReply(reply, text, clock.now()),
    response: null,
    answer: null,
    signals,
  };
}

async function callStreaming(call: ProviderCall, post: Post, clock: Clock): Promise<CallResult> {
  const body = parseBody(call.body);
  const wantsUsage =
    call.endpoint !== "/v1/responses" && !("stream_options" in body)
      ? { stream_options: { include_usage: true } }
      : {};
  const reply = await post(call, JSON.stringify({ ...body, ...wantsUsage }));
  if (!reply.ok) return refused(reply, await reply.text(), clock);
  const chunks = Stream.fromSSEResponse<unknown>(reply, call.abort);
  const response = await assembleStream(call.endpoint, chunks, call.onDelta);
  // The SDK ends a stream that is aborted as if it were whole.
  if (response) return judge(call.endpoint, JSON.stringify(response), reply, clock);
  if (call.abort.signal.reason === TIMED_OUT) throw new Error(TIMED_OUT);
  const why = failure("connection_lost", "The stream broke before the answer was complete", {
    requestId: requestIdOf(reply),
  });
  const signals = readRateLimits(reply.headers, clock.now());
  return { ok: false, failure: why, response: null, answer: null, signals };
}

/** Decides whether an answer with a good status is one. */
function judge(endpoint: Endpoint, text: string, reply: Response, clock: Clock): CallResult {
  const requestId = requestIdOf(reply);
  const signals = readRateLimits(reply.headers, clock.now());
  const response = parseJson(text);
  const answer = readAnswer(endpoint, response);
  const bad = (why: ReturnType<typeof failure>): CallResult => ({
    ok: false,
    failure: { ...why, requestId },
    response: response === undefined ? null : text,
    answer: answer ?? null,
    signals,
  });
  if (response === undefined)
    return bad(failure("bad_response", "The provider's answer is not valid JSON"));
  if (isJsonObject(response) && isJsonObject(response["error"])) {
    const status = Number(response["error"]["code"]);
    return bad(classifyErrorBody(status >= 400 ? status : 500, response["error"]));
  }
  if (!answer) return bad(failure("empty_response", "The provider's answer contains no result"));
  if (answer.finishReason === "content_filter" && !answer.content)
    return bad(failure("content_filter", "The provider withheld the answer (content filter)"));
  return { ok: true, answer, response: text, requestId, signals };
}

function requestIdOf(reply: Response): string | null {
  return reply.headers.get("x-request-id");
}

function parseBody(text: string) {
  const body = parseExactOrNone(text);
  return isJsonObject(body) ? body : {};
}
