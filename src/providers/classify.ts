import { APIError } from "openai";

import type { Cause, Failure } from "../domain/failure.ts";
import { isJsonObject, parseJson } from "../lib/json.ts";
import { retryAfterMs } from "./rate-limit-signals.ts";

/** The cause of whatever `fetch`, a body reader or the SDK's stream reader threw. */
export function classifyThrown(error: unknown): Failure {
  // An error that the provider sent in the middle of a stream.
  if (error instanceof APIError && isJsonObject(error.error))
    return classifyErrorBody(error.status ?? 500, error.error);
  return classifyConnection(error);
}

/** The cause of an answer with a status that is not good. */
export function classifyReply(reply: Response, text: string, nowMs: number): Failure {
  const body = parseJson(text);
  const error = isJsonObject(body) ? (body["error"] ?? body) : undefined;
  return classifyErrorBody(reply.status, error, {
    retryAfterMs: retryAfterMs(reply.headers, nowMs),
    requestId: reply.headers.get("x-request-id"),
  });
}

/** A failure with nothing known but its cause. */
export function failure(cause: Cause, message: string, more: Partial<Failure> = {}): Failure {
  return { cause, message, providerStatus: null, retryAfterMs: null, requestId: null, ...more };
}

/** The failure that an error object in a body describes; some providers send it with status 200. */
export function classifyErrorBody(
  status: number,
  body: unknown,
  more: Partial<Failure> = {},
): Failure {
  const error = isJsonObject(body) ? body : {};
  const code = String(error["code"] ?? "");
  const type = String(error["type"] ?? "");
  const message = typeof error["message"] === "string" ? error["message"] : `HTTP ${status}`;
  return failure(causeOf(status, code, type, message), redact(message), {
    providerStatus: status,
    ...more,
  });
}

function causeOf(status: number, code: string, type: string, message: string): Cause {
  // More than the limit of a whole minute: waiting does not help.
  if (status === 429 && /^request too large/i.test(message)) return "context_length";
  if (code === "insufficient_quota" || type === "insufficient_quota") return "quota_exhausted";
  if (/content_filter|content_policy/.test(code)) return "content_filter";
  if (code === "context_length_exceeded" || /maximum context length/i.test(message))
    return "context_length";
  if (status >= 500) return "server_error";
  return BY_STATUS[status] ?? "rejected";
}

const BY_STATUS: Record<number, Cause> = {
  401: "unauthorized",
  402: "quota_exhausted",
  403: "forbidden",
  404: "not_found",
  408: "timeout",
  409: "conflict",
  425: "conflict",
  429: "rate_limited",
};

/** Error codes as Bun, Node and Deno give them; messages where there is no code. */
const CONNECTION_CAUSES: [RegExp, Cause, string][] = [
  [
    /ENOTFOUND|EAI_AGAIN|EAI_NODATA|dns error/i,
    "dns_failed",
    "The provider's host name cannot be resolved",
  ],
  [
    /EPROTO|CERT_|_CERT|SELF_SIGNED|UNABLE_TO_VERIFY|UNABLE_TO_GET_ISSUER|ERR_TLS|ERR_SSL|certificate|tls handshake/i,
    "tls_failed",
    "No secure connection to the provider could be made",
  ],
  [
    /ECONNREFUSED|EHOSTUNREACH|ENETUNREACH|EADDRNOTAVAIL|connection refused|unable to connect/i,
    "connect_failed",
    "The provider refused the connection or cannot be reached",
  ],
  [/ETIMEDOUT|timed? ?out/i, "timeout", "The provider did not answer in time"],
];

function classifyConnection(error: unknown): Failure {
  const clues = clueText(error);
  const known = CONNECTION_CAUSES.find(([pattern]) => pattern.test(clues));
  if (known) return failure(known[1], known[2]);
  return failure(
    "connection_lost",
    "The connection to the provider broke before the answer was complete",
  );
}

function clueText(error: unknown): string {
  const clues: string[] = [];
  for (let e = error, depth = 0; e instanceof Error && depth < 5; e = e.cause, depth++)
    clues.push("code" in e ? String(e.code) : "", e.message);
  return clues.join(" ");
}

/** Providers echo parts of a wrong key; a user's screen is no place for it. */
function redact(message: string): string {
  return message.replace(/\b(sk|key|pk)-[\w*.-]{6,}/gi, "$1-…").slice(0, 2000);
}
