import { ApiError } from "./api-error.ts";
import { monotonic, sleep, within } from "./machine.ts";

export type ClientOptions = {
  /** The address of the server, without `/api/v1`. */
  baseUrl: string;
  apiKey: string;
  /** How long a server that does not answer is waited for, in ms; five minutes unless given. */
  patienceMs?: number;
  /** In place of the global one. */
  fetch?: (request: Request) => Promise<Response>;
};

export type RequestOptions = {
  query?: Record<string, string | number | boolean | undefined> | undefined;
  /** Sent as JSON, or unchanged if it is a form. */
  body?: object | undefined;
  headers?: Record<string, string> | undefined;
  signal?: AbortSignal | undefined;
  /** Repeating it has no further effect, so it is sent again if no answer came. Reads always are. */
  isRepeatable?: boolean | undefined;
};

export type Method = "GET" | "POST" | "PATCH" | "DELETE";

/** Sends a request below `/api/v1`. Throws `ApiError`, or the reason of the signal. */
export type Send = (method: Method, path: string, options?: RequestOptions) => Promise<Response>;

/** Longer than the longest `Prefer: wait`. */
const ANSWER_MS = 90_000;
const FIRST_RETRY_MS = 100;
const LONGEST_RETRY_MS = 5000;
const PATIENCE_MS = 300_000;

export function createSend(options: ClientOptions): Send {
  const { patienceMs = PATIENCE_MS } = options;
  return async (method, path, request = {}) => {
    const since = monotonic();
    for (let retryMs = FIRST_RETRY_MS; ; retryMs = Math.min(retryMs * 2, LONGEST_RETRY_MS)) {
      const outcome = await attempt(options, method, path, request);
      if (!(outcome instanceof ApiError)) return outcome;
      const waitMs = Math.max(retryMs, pauseOf(outcome));
      const left = since + patienceMs - monotonic();
      const isRepeatable = request.isRepeatable ?? method === "GET";
      if (!mayRepeat(outcome, isRepeatable) || left < waitMs) throw outcome;
      await sleep(waitMs, request.signal);
    }
  };
}

async function attempt(
  { baseUrl, apiKey, fetch: send = (request) => fetch(request) }: ClientOptions,
  method: Method,
  path: string,
  { query = {}, body, headers = {}, signal }: RequestOptions,
): Promise<Response | ApiError> {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query))
    if (value !== undefined) search.set(name, String(value));
  const base = baseUrl.replace(/\/+$/, "").replace(/\/api\/v1$/, "");
  const isForm = body instanceof FormData;
  const request = new Request(`${base}/api/v1${path}${search.size > 0 ? `?${search}` : ""}`, {
    method,
    headers: {
      authorization: `Bearer ${apiKey}`,
      ...(body === undefined || isForm ? {} : { "content-type": "application/json" }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: isForm ? body : JSON.stringify(body) }),
    // An upload may take longer than an answer.
    signal: isForm ? (signal ?? null) : within(ANSWER_MS, signal),
  });
  try {
    const response = await send(request);
    return response.ok ? response : await refusalIn(response);
  } catch (error) {
    signal?.throwIfAborted();
    return unavailable(base, error);
  }
}

/** That there was no answer, or that it broke off. */
export function unavailable(what: string, cause: unknown): ApiError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new ApiError(0, "UNAVAILABLE", `${what} does not answer: ${why}`, {}, { cause });
}

/** The error of an answer other than 2xx, even if a proxy has answered. */
async function refusalIn(response: Response): Promise<ApiError> {
  const { status, headers } = response;
  const retryAfter = Number(headers.get("retry-after") ?? 0) || 0;
  const text = await response.text();
  const error = errorIn(text);
  if (!error)
    return new ApiError(
      status,
      status >= 502 ? "UNAVAILABLE" : "NOT_A_SERVER",
      `Status ${status}, and not as GPT Task Runner answers: ${text.slice(0, 200)}`,
      { retryAfter },
    );
  const { code, message, details } = error;
  return new ApiError(status, code, message, { retryAfter, ...details });
}

type ErrorFields = { code: string; message: string; details?: Record<string, unknown> };

function errorIn(text: string): ErrorFields | undefined {
  try {
    const { error } = JSON.parse(text) as { error?: ErrorFields };
    return typeof error?.code === "string" ? error : undefined;
  } catch {
    return undefined;
  }
}

/** A request beyond the rate limit has had no effect; the effect of others is unknown. */
function mayRepeat({ code }: ApiError, isRepeatable: boolean): boolean {
  if (code === "RATE_LIMIT_EXCEEDED") return true;
  return isRepeatable && (code === "UNAVAILABLE" || code === "SERVICE_UNAVAILABLE");
}

function pauseOf({ details }: ApiError): number {
  const { retryAfter } = details;
  return typeof retryAfter === "number" ? retryAfter * 1000 : 0;
}
