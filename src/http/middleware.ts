import { getLogger } from "@logtape/logtape";
import type { Context, ErrorHandler, MiddlewareHandler, Next } from "hono";
import { HTTPException } from "hono/http-exception";
import { routePath } from "hono/route";

import type { Context as AppContext } from "../context.ts";
import { isTooLarge, troubleOf } from "../db/refusal.ts";
import { AppError, ERROR_STATUS, type ErrorCode } from "../errors.ts";
import { newId } from "../lib/ids.ts";
import { logError } from "../lib/logged-error.ts";
import { StorageError } from "../lib/s3/storage-error.ts";
import { tooLargeForDatabase } from "../services/stored-bytes.ts";
import { announceAllowance, announceOpenAiAllowance } from "./admit.ts";
import { methodOf } from "./head.ts";
import { isOpenAi, openAiError } from "./openai/errors.ts";
import { type AppEnv, toIso } from "./router.ts";
import { secure } from "./secure-headers.ts";

const log = getLogger(["gptrunner", "http"]);

const METHODS = new Set(["GET", "POST", "PATCH", "DELETE", "HEAD", "OPTIONS", "PUT"]);

/** Gives each request an id, and logs one line at its end. */
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
    // `c.var` would copy all variables at each access.
    const allowance = c.get("allowance");
    const executionId = c.get("executionId");
    announceAllowance(c.res.headers, allowance);
    if (isOpenAi(c.req.path)) announceOpenAiAllowance(c.res.headers, allowance, ctx.clock.now());
    log.info("{method} {path} {status} in {ms} ms", {
      method,
      path: c.req.path,
      status: c.res.status,
      ms: Math.round((ctx.clock.monotonic() - start) * 10) / 10,
      requestId,
      ...(executionId === undefined ? {} : { executionId }),
    });
  };
}

/** Answers within a span that continues the client's trace. */
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
 * Turns a thrown error into the documented answer. An unexpected error is logged completely and answered as a bare
 * 500.
 */
export const onError: ErrorHandler<AppEnv> = (error, c) => {
  // The client has disconnected; 499 is the status that nginx logs for that.
  if (isCausedBy(error, c.req.raw.signal.reason)) return new Response(null, { status: 499 });
  if (error instanceof AppError) return errorAnswer(c, error.code, error.message, error.details);
  if (error instanceof HTTPException) {
    const code = BY_STATUS[error.status];
    if (code) return errorAnswer(c, code, error.message);
  }
  if (error instanceof StorageError)
    return errorAnswer(c, "SERVICE_UNAVAILABLE", `The file cannot be read: ${error.message}`);
  if (isTooLarge(error)) {
    const { code, message } = tooLargeForDatabase();
    return errorAnswer(c, code, message);
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

/** Also checks causes, because libraries wrap the abort reason. */
function isCausedBy(error: unknown, reason: unknown): boolean {
  if (reason === undefined) return false;
  return error === reason || (error instanceof Error && isCausedBy(error.cause, reason));
}

const BY_STATUS: Partial<Record<number, ErrorCode>> = {
  400: "VALIDATION_ERROR",
  408: "REQUEST_TIMEOUT",
  413: "PAYLOAD_TOO_LARGE",
  415: "UNSUPPORTED_MEDIA_TYPE",
};

/** The default if `details.retryAfter` is absent. */
const RETRY_AFTER_SECONDS = 5;

export function errorAnswer(
  c: Parameters<typeof onError>[1],
  code: ErrorCode,
  message: string,
  details: Record<string, unknown> = {},
): Response {
  const status = ERROR_STATUS[code];
  const retryAfter = Number(details["retryAfter"] ?? RETRY_AFTER_SECONDS);
  if (status === 503 || status === 429) c.header("Retry-After", String(retryAfter));
  if (status === 416) c.header("Content-Range", `bytes */${String(details["bytes"])}`);
  if (status === 401) c.header("WWW-Authenticate", "Bearer");
  if (isOpenAi(c.req.path)) return openAiError(c, { code, message, details, retryAfter });
  return c.json(
    {
      success: false,
      error: { code, message, details: { ...details, requestId: c.var.requestId } },
      timestamp: toIso(c.var.ctx.clock.now()),
    },
    status,
  );
}
