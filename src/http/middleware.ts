import { getLogger } from "@logtape/logtape";
import type { Context, ErrorHandler, MiddlewareHandler, Next } from "hono";
import { HTTPException } from "hono/http-exception";
import { routePath } from "hono/route";

import type { Context as AppContext } from "../context.ts";
import { troubleOf } from "../db/refusal.ts";
import { PASSED_ON } from "../domain/request.ts";
import { AppError, ERROR_STATUS, type ErrorCode, invalid } from "../errors.ts";
import type { Clock } from "../lib/clock.ts";
import { parseExact } from "../lib/exact-json.ts";
import { newId } from "../lib/ids.ts";
import { findFault } from "../lib/json-limits.ts";
import type { Json } from "../lib/json.ts";
import { logError } from "../lib/logged-error.ts";
import { tellAllowance } from "./admit.ts";
import { methodOf } from "./head.ts";
import { type AppEnv, toIso } from "./router.ts";
import { secure } from "./secure-headers.ts";

const log = getLogger(["gptrunner", "http"]);

const METHODS = new Set(["GET", "POST", "PATCH", "DELETE", "HEAD", "OPTIONS", "PUT"]);

/** Names each request, and tells in one line how it ended. */
export function trace(ctx: AppContext): MiddlewareHandler<AppEnv> {
  return async (c, next) => {
    const given = c.req.header("x-request-id");
    const requestId = given && /^[A-Za-z0-9_\-.]{1,128}$/.test(given) ? given : newId(ctx, "req");
    const start = ctx.clock.monotonic();
    c.set("requestId", requestId);
    if (ctx.tracing.isOn) await traced(ctx, c, next);
    else await next();
    const method = methodOf(c);
    ctx.meters.add(
      "http_requests_total",
      `method="${METHODS.has(method) ? method : "OTHER"}",code="${c.res.status}"`,
    );
    c.res.headers.set("X-Request-ID", requestId);
    secure(c.res.headers);
    tellAllowance(c.res.headers, c.var.allowance);
    log.info("{method} {path} {status} in {ms} ms", {
      method,
      path: c.req.path,
      status: c.res.status,
      ms: Math.round((ctx.clock.monotonic() - start) * 10) / 10,
      requestId,
      ...(c.var.executionId === undefined ? {} : { executionId: c.var.executionId }),
    });
  };
}

/** Answers within a span, which continues the client's trace. */
async function traced(ctx: AppContext, c: Context<AppEnv>, next: Next): Promise<void> {
  const { path } = c.req;
  const method = methodOf(c);
  const traceparent = c.req.header("traceparent");
  const { requestId } = c.var;
  await ctx.tracing.request({ method, path, requestId, traceparent }, async () => {
    await next();
    return { status: c.res.status, route: routePath(c, -1) };
  });
}

/**
 * Reads the body of a request that has one, once: no larger than MAX_BODY_BYTES, valid UTF-8, JSON where
 * it says so, of a reasonable shape and no name twice in one object, and within BODY_TIMEOUT_SECONDS, so that nobody holds memory by sending
 * slowly. No body at all counts as an empty object where the client announced JSON.
 */
export function readBody({
  clock,
  config: { maxBodyBytes, bodyTimeoutMs },
}: AppContext): MiddlewareHandler<AppEnv> {
  return async (c, next) => {
    refuseCompressed(c.req.raw);
    const isJsonBody = isJson(c.req.header("content-type"));
    let text = "";
    if (c.req.raw.body !== null) {
      const bytes = await withinTime(clock, readWhole(c.req.raw, maxBodyBytes), bodyTimeoutMs);
      keepBytes(c, bytes);
      text = decodeUtf8(bytes).trim();
    }
    if (!isJsonBody && text !== "")
      throw new AppError(
        "UNSUPPORTED_MEDIA_TYPE",
        "Send the body as `Content-Type: application/json`",
      );
    if (text === "" && !isJsonBody) forgetType(c);
    const value = text === "" ? {} : requireJson(text);
    const fault = findFault(text, value);
    if (fault) throw invalid([fault]);
    // What validators ask for; without this Hono would read and parse the body once more.
    c.req.json = async <T>() => value as T;
    await next();
  };
}

/** Clients such as `curl -d ''` name the type of a body that is not there, which validators would refuse. */
function forgetType(c: Context): void {
  const { raw } = c.req;
  if (!raw.headers.has("content-type")) return;
  const headers = new Headers(raw.headers);
  headers.delete("content-type");
  c.req.raw = new Request(raw.url, { method: raw.method, headers, signal: raw.signal });
}

/** A small body that is compressed can unfold to a very large one. */
export function refuseCompressed(request: Request): void {
  const coding = request.headers.get("content-encoding")?.trim().toLowerCase() ?? "";
  if (coding !== "" && coding !== "identity")
    throw new AppError(
      "UNSUPPORTED_MEDIA_TYPE",
      `Send the body as it is, not compressed (Content-Encoding: ${coding.slice(0, 20)})`,
    );
}

/** The body is read; who asks for it again gets it from Hono's cache, which holds promises whatever its type says. */
function keepBytes(c: Context, bytes: Uint8Array): void {
  c.req.bodyCache.arrayBuffer = Promise.resolve(bytes.buffer) as unknown as ArrayBuffer;
}

function isJson(contentType: string | undefined): boolean {
  return /^application\/([\w.-]+\+)?json\s*(;|$)/i.test(contentType ?? "");
}

/** A client that hangs up in the middle is no fault of the server, and nothing for its log of errors. */
async function readWhole(request: Request, maxBytes: number): Promise<Uint8Array> {
  try {
    return await readAtMost(request, maxBytes);
  } catch (error) {
    if (error instanceof AppError) throw error;
    throw invalid([{ path: "", message: "the body broke off before its end" }]);
  }
}

async function readAtMost(request: Request, maxBytes: number): Promise<Uint8Array> {
  const tooLarge = () =>
    new AppError("PAYLOAD_TOO_LARGE", `The body is larger than ${maxBytes} bytes (MAX_BODY_BYTES)`);
  if (Number(request.headers.get("content-length") ?? 0) > maxBytes) throw tooLarge();
  if (request.headers.has("content-length")) return new Uint8Array(await request.arrayBuffer());
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of request.body ?? []) {
    size += chunk.length;
    if (size > maxBytes) throw tooLarge();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function withinTime<T>(clock: Clock, reading: Promise<T>, timeoutMs: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const cancel = clock.setTimeout(() => {
      const seconds = timeoutMs / 1000;
      reject(new AppError("REQUEST_TIMEOUT", `The body took longer than ${seconds} s to arrive`));
    }, timeoutMs);
    reading.then(resolve, reject).finally(cancel);
  });
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw invalid([{ path: "", message: "the body is not valid UTF-8" }]);
  }
}

function requireJson(text: string): Json {
  try {
    return parseExact(text, PASSED_ON);
  } catch (error) {
    const why = error instanceof Error ? error.message.replace(/^JSON Parse error: /, "") : "";
    throw invalid([{ path: "", message: `the body is not valid JSON: ${why}` }]);
  }
}

/** Turns whatever was thrown into the documented answer. What nobody foresaw is logged whole and answered bare. */
export const onError: ErrorHandler<AppEnv> = (error, c) => {
  // Nobody hears the answer.
  if (isCausedBy(error, c.req.raw.signal.reason)) return c.body(null);
  if (error instanceof AppError) return errorAnswer(c, error.code, error.message, error.details);
  if (error instanceof HTTPException) {
    const code = BY_STATUS[error.status];
    if (code) return errorAnswer(c, code, error.message);
  }
  const trouble = troubleOf(error);
  logError(log, "{method} {path} failed: {error}", {
    method: methodOf(c),
    path: c.req.path,
    requestId: c.var.requestId,
    error,
  });
  if (trouble !== undefined)
    return errorAnswer(c, "SERVICE_UNAVAILABLE", `${trouble}; try again in a moment`);
  return errorAnswer(
    c,
    "INTERNAL_ERROR",
    "Something went wrong; the request id finds it in the logs",
  );
};

/** Whether that somebody left is what an error says; drizzle wraps what fails in a query. */
function isCausedBy(error: unknown, reason: unknown): boolean {
  if (reason === undefined) return false;
  for (let one = error; one instanceof Error || one === reason; one = (one as Error).cause)
    if (one === reason) return true;
  return false;
}

const BY_STATUS: Partial<Record<number, ErrorCode>> = {
  400: "VALIDATION_ERROR",
  408: "REQUEST_TIMEOUT",
  413: "PAYLOAD_TOO_LARGE",
  415: "UNSUPPORTED_MEDIA_TYPE",
};

/** Where `details.retryAfter` says nothing better. */
const RETRY_AFTER_SECONDS = 5;

export function errorAnswer(
  c: Parameters<typeof onError>[1],
  code: ErrorCode,
  message: string,
  details: Record<string, unknown> = {},
): Response {
  const status = ERROR_STATUS[code];
  if (status === 503 || status === 429)
    c.header("Retry-After", String(details["retryAfter"] ?? RETRY_AFTER_SECONDS));
  if (status === 416) c.header("Content-Range", `bytes */${String(details["bytes"])}`);
  if (status === 401) c.header("WWW-Authenticate", "Bearer");
  return c.json(
    {
      success: false,
      error: { code, message, details: { ...details, requestId: c.var.requestId } },
      timestamp: toIso(c.var.ctx.clock.now()),
    },
    status,
  );
}
