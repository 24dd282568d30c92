import { type Failure, isHalt } from "../../domain/failure.ts";
import type { Passed } from "../../providers/passage.ts";
import type { LiveAnswer } from "../../services/live.ts";
import type { Turn } from "./turns.ts";

/*
 * What clients get of what a provider said, or did not say.
 */

export const JSON_TYPE = "application/json";

export function timedOut(ms: number): Failure {
  return {
    cause: "timeout",
    message: `The provider did not answer within ${ms} ms`,
    providerStatus: null,
    retryAfterMs: null,
    requestId: null,
  };
}

/** What stands in the headers of a good answer. */
export function answerOf(
  { upstream }: Turn,
  passed: Passed & { kind: "reply" },
  changed: string[],
) {
  return {
    // Others of the good ones say something of the body, which is another one by now.
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

/** A refusal, in the provider's own words, unless it is one of this server's key, which is no matter of the client's. */
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
  // A redirect that is not followed, or a status that is none, is nothing for a client.
  const isError = status >= 400 && status <= 599;
  if (isError && text !== "") return { ...common, status, contentType, body: text };
  return {
    ...common,
    status: isError ? status : 502,
    contentType: JSON_TYPE,
    body: errorText(failure.message, "provider_error"),
  };
}

/** No answer came. */
export function unanswered({ upstream }: Turn, failure: Failure): LiveAnswer {
  return {
    status: failure.cause === "timeout" ? 504 : 502,
    contentType: JSON_TYPE,
    body: lostText(failure),
    provider: upstream.site.provider.name,
    adjusted: [],
    requestId: null,
    costUsd: null,
    retryAfterMs: null,
    isHopeless: false,
  };
}

/** An answer that did not come, or not to its end. */
export function lostText({ cause, message }: Failure): string {
  return errorText(message, cause === "timeout" ? "provider_timeout" : "provider_unreachable");
}

function errorText(message: string, code: string): string {
  return JSON.stringify({ error: { message, type: "server_error", param: null, code } });
}
