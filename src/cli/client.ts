import type { z } from "zod";

import type { ERROR_STATUS } from "../errors.ts";
import type { BatchBody, BatchListItem, CreatedBatch } from "../http/api/batch-body.ts";
import type { TaskBody } from "../http/api/task-body.ts";
import type { Clock } from "../lib/clock.ts";
import { isJsonObject, parseJson } from "../lib/json.ts";
import { CliError, EXIT, type Exit } from "./failure.ts";
import { pause } from "./interrupt.ts";

export type Batch = z.infer<typeof BatchBody>;
export type BatchSummary = z.infer<typeof BatchListItem>;
export type CreatedBatch = z.infer<typeof CreatedBatch>;
export type Task = z.infer<typeof TaskBody>;

export type Query = Record<string, string | number | boolean | undefined>;

type CallOptions = {
  method?: "GET" | "POST" | "PATCH" | "DELETE";
  query?: Query;
  /** Sent as JSON, or unchanged if it is a form. */
  body?: object;
  headers?: Record<string, string>;
  signal?: AbortSignal;
  /** The request is idempotent, so it is repeated if no answer came; reads are repeated anyway. */
  isRepeatable?: boolean;
};

/** The API of a server, embedded or remote. Paths are relative to `/api/v1`. Throws `CliError`. */
export type Api = {
  /** The data of the answer's envelope. */
  call<T>(path: string, options?: CallOptions): Promise<T>;
  /** The answer itself, for downloads and event streams. */
  open(path: string, options?: CallOptions): Promise<Response>;
};

export type ApiOptions = {
  /** The URL of the server without `/api/v1`. */
  base: string;
  key: string;
  send: (request: Request) => Response | Promise<Response>;
  clock: Pick<Clock, "monotonic" | "setTimeout">;
  /** How long to wait for a server that cannot be reached. */
  patienceMs: number;
  /** Called when it has to wait, and with `null` when that is over. */
  onTrouble?: (what: string | null) => void;
};

/** Longer than the longest `Prefer: wait`. */
const ANSWER_MS = 90_000;
const FIRST_RETRY_MS = 250;
const LONGEST_RETRY_MS = 10_000;

export function createApi(options: ApiOptions): Api {
  const { clock, patienceMs, onTrouble = () => {} } = options;

  /** Repeats a request until there is an answer, a retry is useless, or the time is over. */
  async function open(path: string, call: CallOptions = {}): Promise<Response> {
    const since = clock.monotonic();
    for (let retryMs = FIRST_RETRY_MS; ; retryMs = Math.min(retryMs * 2, LONGEST_RETRY_MS)) {
      const outcome = await attempt(options, path, call);
      if (!(outcome instanceof CliError)) {
        if (retryMs > FIRST_RETRY_MS) onTrouble(null);
        return outcome;
      }
      const waitMs = Math.max(retryMs, pauseOf(outcome));
      const left = since + patienceMs - clock.monotonic();
      if (!mayRepeat(outcome, call) || left < waitMs) throw outcome;
      onTrouble(outcome.message);
      await pause(clock, waitMs, call.signal);
      call.signal?.throwIfAborted();
    }
  }

  return {
    open,
    async call<T>(path: string, call: CallOptions = {}) {
      const response = await open(path, call);
      return dataOf<T>(await response.text());
    },
  };
}

/** An answer, or why there is none. Throws if it is interrupted. */
async function attempt(
  { base, key, send, clock }: ApiOptions,
  path: string,
  { method = "GET", query = {}, body, headers = {}, signal }: CallOptions,
): Promise<Response | CliError> {
  const late = new AbortController();
  const cancel = clock.setTimeout(() => late.abort(), ANSWER_MS);
  const isForm = body instanceof FormData;
  const request = new Request(addressOf(base, path, query), {
    method,
    redirect: "manual",
    headers: {
      authorization: `Bearer ${key}`,
      ...(body === undefined || isForm ? {} : { "content-type": "application/json" }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: isForm ? body : JSON.stringify(body) }),
    // An upload may take longer than an answer.
    signal: isForm ? (signal ?? null) : AbortSignal.any([late.signal, ...(signal ? [signal] : [])]),
  });
  try {
    const response = await send(request);
    signal?.throwIfAborted();
    return response.ok ? response : await refusalOf(response, base);
  } catch (error) {
    signal?.throwIfAborted();
    const why = error instanceof Error ? error.message : String(error);
    return unreachable(`${base} cannot be reached: ${why.replace(/\.$/, "")}`);
  } finally {
    cancel();
  }
}

function addressOf(base: string, path: string, query: Query): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query))
    if (value !== undefined) search.set(name, String(value));
  return `${base}/api/v1${path}${search.size > 0 ? `?${search}` : ""}`;
}

function unreachable(message: string, retryAfterMs = 0): CliError {
  return new CliError(EXIT.unavailable, message, {
    code: "UNAVAILABLE",
    details: { retryAfterMs },
  });
}

/** The error of an answer whose status is not 2xx. */
async function refusalOf(response: Response, base: string): Promise<CliError> {
  const { status } = response;
  const location = response.headers.get("location");
  if (location !== null)
    return new CliError(
      EXIT.usage,
      `${base} sends on to ${location}; give that address as --server`,
    );
  const body = parseJson(await response.text());
  const error = isJsonObject(body) ? body["error"] : undefined;
  const retryAfterMs = Number(response.headers.get("retry-after") ?? 0) * 1000 || 0;
  if (!isJsonObject(error) || typeof error["code"] !== "string") {
    if (status >= 502) return unreachable(`${base} answers with status ${status}`, retryAfterMs);
    return new CliError(
      EXIT.unavailable,
      `${base} answers with status ${status} and not as GPT Task Runner does; is that its address?`,
      { code: "NOT_A_SERVER" },
    );
  }
  const details = isJsonObject(error["details"]) ? error["details"] : {};
  return new CliError(exitOf(error["code"], status), String(error["message"]), {
    code: error["code"],
    details: { ...details, retryAfterMs },
  });
}

function exitOf(code: string, status: number): Exit {
  if (code === "QUOTA_EXCEEDED") return EXIT.unfinished;
  if (status === 401 || status === 403) return EXIT.notAllowed;
  if (status === 400 || status === 413 || status === 415) return EXIT.usage;
  return status === 429 || status >= 500 ? EXIT.unavailable : EXIT.failed;
}

/** A request beyond the rate limit had no effect; the effect of other failed requests is unknown. */
function mayRepeat(error: CliError, { method = "GET", isRepeatable }: CallOptions): boolean {
  if (error.code === "RATE_LIMIT_EXCEEDED") return true;
  const isPassing = ["UNAVAILABLE", "SERVICE_UNAVAILABLE"].includes(error.code);
  return isPassing && (isRepeatable ?? method === "GET");
}

function pauseOf({ details }: CliError): number {
  return typeof details["retryAfterMs"] === "number" ? details["retryAfterMs"] : 0;
}

/**
 * The data of an answer's envelope. The API's schemas determine its shape; a server of another version may add fields
 * but not remove any.
 */
function dataOf<T>(text: string): T {
  const body = parseJson(text);
  if (!isJsonObject(body) || body["success"] !== true)
    throw new CliError(EXIT.unavailable, "The server answers, but not as GPT Task Runner does", {
      code: "NOT_A_SERVER",
    });
  return (body["data"] ?? null) as T;
}

/** Whether a call failed with a code of the API. */
export function failedWith(error: unknown, ...codes: (keyof typeof ERROR_STATUS)[]): boolean {
  return error instanceof CliError && (codes as string[]).includes(error.code);
}

/** All rows of a list, page by page. */
export async function* pagesOf<T>(
  api: Api,
  path: string,
  name: string,
  query: Query = {},
): AsyncGenerator<T[]> {
  for (let cursor: string | undefined; ;) {
    const page = await api.call<Page>(path, { query: { limit: 100, ...query, cursor } });
    yield page[name] as T[];
    const { nextCursor } = page["pagination"] as { nextCursor: string | null };
    if (nextCursor === null) return;
    cursor = nextCursor;
  }
}

type Page = Record<string, unknown>;
