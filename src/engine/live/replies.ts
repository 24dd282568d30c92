import { type Failure, isHalt, isWaiting, looksDown } from "../../domain/failure.ts";
import { isJsonObject, parseJson } from "../../lib/json.ts";
import type { Passed } from "../../providers/passage.ts";
import type { LiveAnswer } from "../../services/live.ts";
import type { Turn } from "./turns.ts";

/* Converts providers' answers and failures to answers for clients. */

const JSON_TYPE = "application/json";

export function timedOut(ms: number): Failure {
  return {
    cause: "timeout",
    message: `The provider did not answer within ${ms} ms`,
    providerStatus: null,
    retryAfterMs: null,
    requestId: null,
  };
}

export function stopped(): Failure {
  return {
    cause: "connection_lost",
    message: "The server stopped before the provider had answered completely",
    providerStatus: null,
    retryAfterMs: null,
    requestId: null,
  };
}

/** Whether another provider may answer after this failure. */
export function mayGoOn({ cause }: Failure): boolean {
  return looksDown(cause) || isWaiting(cause) || isHalt(cause) || cause === "bad_response";
}

export function isStream(reply: Response): boolean {
  return /event-stream/i.test(reply.headers.get("content-type") ?? "");
}

/** The answer for a successful reply, with its headers. */
export function answerOf(
  { upstream }: Turn,
  passed: Passed & { kind: "reply" },
  changed: string[],
) {
  return {
    // Other 2xx statuses, such as 204 or 206, describe the provider's body, which has been changed.
    status: 200,
    contentType: passed.reply.headers.get("content-type") ?? JSON_TYPE,
    provider: upstream.site.provider.name,
    adjusted: [...changed, ...passed.adjusted],
    requestId: passed.requestId,
    costUsd: null,
    retryAfterMs: null,
    isHopeless: false,
  };
}

/** A refusal in the provider's own words, unless it concerns this server's key, which is not the client's fault. */
export function refused(
  { upstream }: Turn,
  {
    status,
    text,
    contentType,
    failure,
    adjusted,
    requestId,
    signals,
  }: Passed & { kind: "refused" },
  changed: string[],
): LiveAnswer {
  const provider = upstream.site.provider.name;
  const isOfKey = failure.cause === "unauthorized" || failure.cause === "forbidden";
  const isHopeless = isHalt(failure.cause) || isOfKey;
  const common = {
    provider,
    adjusted: [...changed, ...adjusted],
    requestId,
    costUsd: null,
    retryAfterMs: failure.retryAfterMs ?? signals?.retryAfterMs ?? null,
    isHopeless,
  };
  if (isOfKey)
    return {
      ...common,
      status: 502,
      contentType: JSON_TYPE,
      body: errorText(
        `The provider ${provider} refuses the API key of this server.`,
        "provider_unauthorized",
      ),
    };
  const said = errorOf(text, failure);
  return {
    ...common,
    // A client could not use a redirect, which is not followed, or a status outside of the standard.
    status: status >= 400 && status <= 599 ? status : 502,
    adjusted: [...common.adjusted, ...said.adjusted],
    contentType: said.contentType ?? contentType,
    body: said.body,
  };
}

/**
 * The error of a provider. Its text is passed on unchanged if it has OpenAI's format, which the SDKs read. Of other texts,
 * such as the page of a proxy, they would show nothing, or all of it.
 */
function errorOf(
  text: string,
  failure: Failure,
): { body: string; contentType?: string; adjusted: string[] } {
  const value = parseJson(text);
  if (isJsonObject(value) && isJsonObject(value["error"])) return { body: text, adjusted: [] };
  return {
    body: errorText(failure.message, "provider_error", typeOf(failure)),
    contentType: JSON_TYPE,
    adjusted: text.trim() === "" ? [] : ["error rewritten in OpenAI's format"],
  };
}

/** The answer if the body of a successful reply is an error, or not an answer at all. */
export function failedAnswer(answer: LiveAnswer, text: string, failure: Failure): LiveAnswer {
  const status = failure.providerStatus ?? 502;
  const { adjusted, ...said } = errorOf(text, failure);
  return {
    ...answer,
    ...said,
    adjusted: [...answer.adjusted, ...adjusted],
    status: status >= 400 && status <= 599 ? status : 502,
  };
}

function typeOf({ providerStatus }: Failure): string {
  if (providerStatus === null || providerStatus >= 500) return "server_error";
  return providerStatus === 429 ? "requests" : "invalid_request_error";
}

/** The answer if the provider did not answer. */
export function unanswered(
  { upstream }: Turn,
  failure: Failure,
  costUsd: number | null,
): LiveAnswer {
  return {
    status: failure.cause === "timeout" ? 504 : 502,
    contentType: JSON_TYPE,
    body: lostText(failure),
    provider: upstream.site.provider.name,
    adjusted: [],
    requestId: null,
    costUsd,
    retryAfterMs: null,
    isHopeless: false,
  };
}

/** The error text for an answer that did not come, or not completely. */
export function lostText({ cause, message }: Failure): string {
  return errorText(message, cause === "timeout" ? "provider_timeout" : "provider_unreachable");
}

function errorText(message: string, code: string, type = "server_error"): string {
  return JSON.stringify({ error: { message, type, param: null, code } });
}
