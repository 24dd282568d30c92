import { wordOrNull } from "../domain/answer.ts";
import type { Cause, Failure } from "../domain/failure.ts";
import { causeOf } from "../domain/provider-errors.ts";
import { isTooDeep } from "../lib/json-depth.ts";
import type { Json } from "../lib/json.ts";
import { type ErrorWords, readErrorWords } from "./error-words.ts";
import { retryAfterMs } from "./rate-limit-signals.ts";
import { LongReplyError } from "./reply-bytes.ts";

/** The cause of an answer with an error status. `address` is the URL that was called. */
export function classifyReply(
  reply: Response,
  text: string,
  { address, nowMs }: { address: string | null; nowMs: number },
): Failure {
  return classifyError(readErrorWords(text), {
    status: reply.status,
    address,
    isPage: isPage(text),
    more: {
      retryAfterMs: retryAfterMs(reply.headers, nowMs),
      requestId: requestIdOf(reply),
    },
  });
}

/** The cause of an error that came with a success status: as the whole answer, in a choice or in a stream. */
export function classifyErrorBody(
  body: Json,
  address: string | null,
  more: Partial<Failure> = {},
): Failure {
  return classifyError(readErrorWords(body), { status: null, address, isPage: false, more });
}

/** Providers may send longer ones; they are stored with the task. */
const LONGEST_MESSAGE = 2000;

/** A failure of which only the cause is known. */
export function failure(cause: Cause, text: string, more: Partial<Failure> = {}): Failure {
  const message = text.slice(0, LONGEST_MESSAGE);
  return { cause, message, providerStatus: null, retryAfterMs: null, requestId: null, ...more };
}

export function requestIdOf(reply: Response): string | null {
  const { headers } = reply;
  const id =
    headers.get("x-request-id") ?? headers.get("request-id") ?? headers.get("apim-request-id");
  return wordOrNull(id);
}

/** Whether an answer comes from a server without an API at the URL. */
export function isNoAddress(status: number, text: string, url: string): boolean {
  const words = readErrorWords(text);
  const cause = causeOf({ status, codes: words.codes, message: words.message ?? "" });
  return cause === "not_found" && (isPage(text) || isOfRouter(words.message, url));
}

/** Whether an answer is a page for people. The error of an API is JSON. */
export function isPage(text: string): boolean {
  return /^\s*</.test(text);
}

type Circumstances = {
  status: number | null;
  address: string | null;
  isPage: boolean;
  more: Partial<Failure>;
};

function classifyError(
  words: ErrorWords,
  { status: answered, address, isPage, more }: Circumstances,
): Failure {
  const status = answered ?? words.status;
  const said =
    words.message ?? (status === null ? "The provider reports an error" : `HTTP ${status}`);
  const host = address === null ? undefined : new URL(address).hostname;
  const cause = causeOf({ status, codes: words.codes, message: said, host });
  const isLost =
    cause === "not_found" && address !== null && (isPage || isOfRouter(words.message, address));
  const message = isLost ? `${said}: ${lostAt(address)}` : said;
  return failure(cause, redact(message), { providerStatus: status, ...more });
}

/**
 * Messages of web servers for an unknown path, which many of them name; an API names what it has not found, such as a
 * model.
 */
function isOfRouter(message: string | null, url: string): boolean {
  if (message === null) return true;
  const parts = message.split(new URL(url).pathname.slice(1));
  const isAboutPath = parts.length > 1 && !/\b(model|deployment)/i.test(parts.join(""));
  return (
    isAboutPath ||
    /^\W*(404\W*)?((page|route|path|resource|file or directory) )?not found\b(\W*$|: no message available$)|^cannot (get|post)\b|method not allowed|unexpected endpoint|no route|could not route|invalid url|^missing authentication token$|^(404|405)\b.{0,40}(nginx|apache|cloudflare)?$/i.test(
      message,
    )
  );
}

/** A message with the URL that was called, and the likely reason why nothing is there. */
export function lostAt(address: string): string {
  return `${plainAddress(address)} does not exist there; ${whyLost(address)}`;
}

/** The likely reason why there is no API at an address. */
export function whyLost(address: string): string {
  return /\/v\d/.test(new URL(address).pathname)
    ? "check the base URL (OPENAI_BASE_URL, or baseUrl in PROVIDERS_FILE)"
    : "the base URL (OPENAI_BASE_URL, or baseUrl in PROVIDERS_FILE) has no /v1, which most servers need";
}

/** A URL without its possibly secret parts. */
export function plainAddress(address: string): string {
  const { origin, pathname } = new URL(address);
  return `${origin}${pathname}`;
}

/** The failure for an answer that is not JSON. A web page shows that the URL belongs to something else. */
export function notJson(text: string, url: string): Failure {
  const isPage = /^\s*<(!doctype|html)/i.test(text);
  const title = isPage ? readErrorWords(text).message : null;
  return failure(
    "bad_response",
    isPage
      ? `The provider's answer is a web page${title ? ` (${title.slice(0, 200)})` : ""}, not JSON; is ${plainAddress(url)} the address of an API?`
      : `The provider's answer is ${faultOf(text)}`,
  );
}

function faultOf(text: string): string {
  if (text.trim() === "") return "empty";
  return isTooDeep(text) ? "nested too deep" : "not valid JSON";
}

/** Error codes of Bun, Node and Deno; messages for errors without a code. */
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

/** The cause of an error that `fetch` or a body reader has thrown. */
export function classifyThrown(error: unknown): Failure {
  if (error instanceof LongReplyError) return failure("bad_response", error.message);
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

/** Removes keys, because providers echo parts of a wrong key. */
function redact(message: string): string {
  return message.replace(/\b(sk|key|pk)-[\w*.-]{6,}/gi, "$1-…");
}
