import OpenAI from "openai";

import type { ProviderConfig } from "../config.ts";
import { readAnswer } from "../domain/answer.ts";
import type { Endpoint } from "../domain/request.ts";
import { isJsonObject, parseJson } from "../lib/json.ts";
import type { CallResult, ProviderCall } from "./call.ts";
import { classifyError, classifyErrorBody, failure } from "./classify.ts";
import { createSimulator } from "./simulator.ts";
import { assembleStream } from "./stream.ts";

/**
 * Makes calls to one provider with the `openai` SDK. The simulator is a provider like the others:
 * the SDK talks to it through its `fetch`. The SDK's own retries are off, because the engine has the
 * one retry policy. A call never throws: it resolves with an answer or a classified failure.
 */
export function createCaller(
  provider: ProviderConfig,
): (call: ProviderCall) => Promise<CallResult> {
  const client = createClient(provider);
  return async (call) => {
    const timer = setTimeout(() => call.abort.abort(TIMED_OUT), call.timeoutMs);
    try {
      return STREAMS.test(call.body) && parseBody(call.body)["stream"] === true
        ? await callStreaming(client, call)
        : await callOnce(client, call);
    } catch (error) {
      const why =
        call.abort.signal.reason === TIMED_OUT
          ? failure("timeout", `The provider did not answer within ${call.timeoutMs} ms`)
          : classifyError(error);
      return { ok: false, failure: why, response: null, answer: null };
    } finally {
      clearTimeout(timer);
    }
  };
}

const TIMED_OUT = "timed out";

/** The SDK's client for a provider. */
export function createClient(provider: ProviderConfig): OpenAI {
  return provider.kind === "simulator"
    ? new OpenAI({
        apiKey: "simulator",
        baseURL: "http://simulator.invalid/v1",
        maxRetries: 0,
        fetch: createSimulator(provider),
      })
    : new OpenAI({ apiKey: provider.apiKey, baseURL: provider.baseUrl, maxRetries: 0 });
}

const STREAMS = /"stream"\s*:\s*true/;

/** A body goes out as the text that is stored; given a content type, the SDK sends text untouched. */
const SENDS_TEXT = { "content-type": "application/json" };

async function callOnce(client: OpenAI, call: ProviderCall): Promise<CallResult> {
  const reply = await client
    .post(pathOf(call.endpoint), {
      body: call.body,
      headers: SENDS_TEXT,
      signal: call.abort.signal,
      timeout: call.timeoutMs,
    })
    .asResponse();
  const text = await reply.text();
  return judge(call.endpoint, text, reply.headers.get("x-request-id"));
}

async function callStreaming(client: OpenAI, call: ProviderCall): Promise<CallResult> {
  const body = parseBody(call.body);
  const wantsUsage =
    call.endpoint !== "/v1/responses" && !("stream_options" in body)
      ? { stream_options: { include_usage: true } }
      : {};
  const { data, request_id: requestId } = await client
    .post(pathOf(call.endpoint), {
      body: { ...body, ...wantsUsage },
      signal: call.abort.signal,
      timeout: call.timeoutMs,
      stream: true,
    })
    .withResponse();
  const response = await assembleStream(
    call.endpoint,
    data as AsyncIterable<unknown>,
    call.onDelta,
  );
  if (!response)
    return {
      ok: false,
      failure: failure("connection_lost", "The stream broke before the answer was complete", {
        requestId: requestId ?? null,
      }),
      response: null,
      answer: null,
    };
  return judge(call.endpoint, JSON.stringify(response), requestId ?? null);
}

/** Decides whether an answer with a good status is one. */
function judge(endpoint: Endpoint, text: string, requestId: string | null): CallResult {
  const response = parseJson(text);
  const bad = (why: ReturnType<typeof failure>): CallResult => ({
    ok: false,
    failure: { ...why, requestId },
    response: response === undefined ? null : text,
    answer: readAnswer(endpoint, response) ?? null,
  });
  if (response === undefined)
    return bad(failure("bad_response", "The provider's answer is not valid JSON"));
  if (isJsonObject(response) && isJsonObject(response["error"])) {
    const status = Number(response["error"]["code"]);
    return bad(classifyErrorBody(status >= 400 ? status : 500, response["error"]));
  }
  const answer = readAnswer(endpoint, response);
  if (!answer) return bad(failure("empty_response", "The provider's answer contains no result"));
  if (answer.finishReason === "content_filter" && !answer.content)
    return bad(failure("content_filter", "The provider withheld the answer (content filter)"));
  return { ok: true, answer, response: text, requestId };
}

function pathOf(endpoint: Endpoint): string {
  return endpoint.slice("/v1".length);
}

function parseBody(text: string) {
  const body = parseJson(text);
  return isJsonObject(body) ? body : {};
}
