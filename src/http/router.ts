import { OpenAPIHono, z } from "@hono/zod-openapi";
import type { MiddlewareHandler } from "hono";

import type { Context } from "../context.ts";
import { allows, type Scope } from "../domain/scope.ts";
import { AppError, ERROR_STATUS, invalid } from "../errors.ts";
import type { Allowance } from "../lib/rate-window.ts";
import type { Caller } from "../services/caller.ts";
import type { EventHub } from "../services/event-hub.ts";
import type { TokenFilter } from "../services/stream-tokens.ts";
import type { Connections } from "./connections.ts";

export type AppEnv = {
  /** What the runtime's server knows of the connection. */
  Bindings: { address?: () => string | undefined };
  Variables: {
    ctx: Context;
    hub: EventHub;
    requestId: string;
    /** What the request started, for its line in the log. */
    executionId: string | undefined;
    caller: Caller;
    /** What is left of the caller's rate limit, if it has one. */
    allowance: Allowance | undefined;
    /** What a stream token opens, where the caller came with one. */
    grant: TokenFilter | undefined;
    connections: Connections;
  };
};

export const ErrorBody = z
  .object({
    success: z.literal(false),
    error: z.object({
      code: z.enum(Object.keys(ERROR_STATUS) as [keyof typeof ERROR_STATUS]),
      message: z.string(),
      details: z.looseObject({ requestId: z.string() }),
    }),
    timestamp: z.iso.datetime(),
  })
  .openapi("Error");
type ErrorStatus = (typeof ERROR_STATUS)[keyof typeof ERROR_STATUS];

const content = <S extends z.ZodType>(schema: S, description: string) => ({
  description,
  content: { "application/json": { schema } },
});

/** A documented 2xx answer: the resource inside the envelope that every answer wears. */
export const json = <S extends z.ZodType>(data: S, description: string) =>
  content(
    z.object({
      success: z.literal(true),
      data,
      message: z.string().optional(),
      timestamp: z.iso.datetime(),
    }),
    description,
  );

/** An answer that says only that something was done. */
export const done = (description: string) =>
  content(
    z.object({ success: z.literal(true), message: z.string(), timestamp: z.iso.datetime() }),
    description,
  );

/** What an answer needs of its request. */
type AnyContext = { var: Pick<AppEnv["Variables"], "ctx"> };

export const success = <D>(c: AnyContext, data: D, message?: string) => ({
  success: true as const,
  data,
  ...(message === undefined ? {} : { message }),
  timestamp: toIso(c.var.ctx.clock.now()),
});

export const successOnly = (c: AnyContext, message: string) => ({
  success: true as const,
  message,
  timestamp: toIso(c.var.ctx.clock.now()),
});

const REASONS: Record<ErrorStatus, string> = {
  400: "The request is not valid; `details.issues` tells what is wrong where",
  401: "No valid API key",
  403: "The API key may not do this",
  404: "There is no such thing",
  405: "The path does not take this method",
  408: "The request body took too long to arrive",
  409: "It cannot be done in the present state, or the id or idempotency key is taken",
  413: "The request body is too large",
  415: "The request body is not JSON",
  429: "Too many requests; `Retry-After` tells when there may be more",
  500: "A bug; the request id finds it in the logs",
  503: "A part that this needs is not available",
};

/** Documents exactly the failures that a route can produce besides those of every route. */
export function failures<S extends ErrorStatus>(...statuses: S[]) {
  // What takes a body can be sent one too slowly.
  const implied = statuses.includes(413 as S) ? ([408] as const) : [];
  return Object.fromEntries(
    [...statuses, ...implied, ...EVERYWHERE].map((status) => [
      status,
      content(ErrorBody, REASONS[status]),
    ]),
  ) as Record<S | (typeof EVERYWHERE)[number], ReturnType<typeof content<typeof ErrorBody>>>;
}

const EVERYWHERE = [400, 401, 403, 429, 500] as const;

/** Declares and enforces the scope that a route needs. */
export function needs(scope: Scope) {
  return { security: [{ bearerAuth: [scope] }], middleware: requireScope(scope) };
}

function requireScope(scope: Scope): MiddlewareHandler<AppEnv> {
  return async (c, next) => {
    if (!allows(c.var.caller.scopes, scope))
      throw new AppError("FORBIDDEN", `This needs an API key with the scope ${scope}`);
    await next();
  };
}

export function createRouter() {
  return new OpenAPIHono<AppEnv>({
    defaultHook: (result) => {
      if (!result.success) throw invalid(toIssues(result.error.issues));
    },
  });
}

function toIssues(issues: z.core.$ZodIssue[]) {
  return issues.flatMap((issue) => {
    const path = issue.path.join(".");
    if (issue.code !== "unrecognized_keys") return [{ path, message: issue.message }];
    return issue.keys.map((key) => ({
      path: path === "" ? key : `${path}.${key}`,
      message: "is not a known field",
    }));
  });
}

export function toIso(ms: number): string {
  return new Date(ms).toISOString();
}

export function toIsoOrNull(ms: number | null): string | null {
  return ms === null ? null : toIso(ms);
}

export const Time = z.iso.datetime().openapi({ example: "2025-01-01T00:00:00.000Z" });
