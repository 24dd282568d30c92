import { OpenAPIHono, type RouteConfig, z } from "@hono/zod-openapi";
import type { Context as HonoContext, Handler, MiddlewareHandler } from "hono";

import type { Context } from "../context.ts";
import { allows, type Scope } from "../domain/scope.ts";
import { AppError, invalid } from "../errors.ts";
import type { Json } from "../lib/json.ts";
import type { Allowance } from "../lib/rate-window.ts";
import { issuesOf } from "../lib/zod-issues.ts";
import type { Caller } from "../services/caller.ts";
import type { EventHub } from "../services/event-hub.ts";
import type { LiveHub } from "../services/live-hub.ts";
import type { TokenFilter } from "../services/stream-tokens.ts";
import { type HeaderName, headerRefs } from "./answer-headers.ts";
import type { Connections } from "./connections.ts";

export type AppEnv = {
  /** The runtime's facts about the connection. */
  Bindings: {
    address?: () => string | undefined;
    /** The request is a HEAD; routes see a GET. */
    isHead?: boolean;
    /** The request belongs to another one, which was already counted. */
    isPart?: boolean;
    /** Disables the idle timeout of the connection. */
    stayOpen?: () => void;
  };
  Variables: {
    ctx: Context;
    hub: EventHub;
    liveHub: LiveHub;
    requestId: string;
    /** The execution that the request started, for its log line. */
    executionId: string | undefined;
    /** Id of the resource in the answer, which the audit log uses for a new one. */
    answeredId: string | undefined;
    caller: Caller;
    /** What `readBody` has read. */
    body: { value: Json; text: string };
    /** The rest of the caller's rate limit, if it has one. */
    allowance: Allowance | undefined;
    /** The streams that the caller's stream token opens, if it has one. */
    grant: TokenFilter | undefined;
    connections: Connections;
  };
};

const content = <S extends z.ZodType>(schema: S, description: string, headers: HeaderName[]) => ({
  description,
  headers: headerRefs(headers),
  content: { "application/json": { schema } },
});

/** A documented 2xx answer: the resource in the envelope of every answer, with its possible headers. */
export const json = <S extends z.ZodType>(data: S, description: string, ...headers: HeaderName[]) =>
  content(
    z.object({
      success: z.literal(true),
      data,
      message: z.string().optional(),
      timestamp: z.iso.datetime(),
    }),
    description,
    headers,
  );

/** An answer without data. */
export const done = (description: string) =>
  content(
    z.object({ success: z.literal(true), message: z.string(), timestamp: z.iso.datetime() }),
    description,
    [],
  );

/** The parts of a request that an answer needs. */
type AnyContext = Pick<HonoContext<AppEnv>, "set" | "var">;

/** The body of an answer; the id in `data` is stored for the audit log. */
export function success<D>(c: AnyContext, data: D, message?: string) {
  c.set("answeredId", idOf(data));
  return {
    success: true as const,
    data,
    ...(message === undefined ? {} : { message }),
    timestamp: toIso(c.var.ctx.clock.now()),
  };
}

function idOf(data: unknown): string | undefined {
  if (typeof data !== "object" || data === null || !("id" in data)) return undefined;
  return typeof data.id === "string" ? data.id : undefined;
}

export const successOnly = (c: AnyContext, message: string) => ({
  success: true as const,
  message,
  timestamp: toIso(c.var.ctx.clock.now()),
});

/** A required JSON body. */
export function requiredBody<S extends z.ZodType>(schema: S) {
  return { content: { "application/json": { schema } }, required: true };
}

/** An optional JSON body. */
export function optionalBody<S extends z.ZodType>(schema: S) {
  return { content: { "application/json": { schema } }, required: false };
}

/** Declares and enforces the scope that a route needs. */
export function needs(scope: Scope) {
  return { security: [{ bearerAuth: [scope] }], middleware: requireScope(scope) };
}

function requireScope(scope: Scope): MiddlewareHandler<AppEnv> {
  return async (c, next) => {
    if (!allows(c.get("caller").scopes, scope))
      throw new AppError("FORBIDDEN", `This needs an API key with the scope ${scope}`);
    await next();
  };
}

export function createRouter() {
  const router = new OpenAPIHono<AppEnv>({
    defaultHook: (result, c) => {
      if (result.success) return;
      throw invalid(
        result.target === "query"
          ? queryIssues(result.error.issues, c.req.queries())
          : issuesOf(result.error.issues),
      );
    },
  });
  const { openapi } = router;
  // Routes and handlers pass through with their types, so that the new function has the type of the old one.
  return Object.assign(router, {
    openapi: validatingBodies(router, openapi as AnyOpenApi) as typeof openapi,
  });
}

/** The registration of any route, without the types that it infers from one. */
type AnyOpenApi = (route: RouteConfig, handler: Handler<AppEnv>) => unknown;

/**
 * Validates the body that `readBody` has read. The library's validator would parse the text once more, and lose the
 * digits of long numbers. The route is documented with its body, and registered without it.
 */
function validatingBodies(
  { openAPIRegistry }: OpenAPIHono<AppEnv>,
  openapi: AnyOpenApi,
): AnyOpenApi {
  return (route, handler) => {
    const { body, ...request } = route.request ?? {};
    const content = body?.content["application/json"];
    const schema = content && "schema" in content ? content.schema : undefined;
    if (!(schema instanceof z.ZodType)) return openapi(route, handler);
    const { middleware: _, ...described } = route;
    openAPIRegistry.registerPath(described);
    return openapi({ ...route, request, hide: true }, async (c, next) => {
      const { data, error } = await schema.safeParseAsync(c.get("body").value);
      if (error) throw invalid(issuesOf(error.issues));
      // Its type is that of the handler's `c.req.valid("json")`, which comes from the same schema.
      c.req.addValidatedData("json", data as object);
      return handler(c, next);
    });
  };
}

function queryIssues(issues: z.core.$ZodIssue[], query: Record<string, string[]>) {
  return issuesOf(issues, { name: "query parameter" }).map(({ path, message }) =>
    (query[path]?.length ?? 0) > 1
      ? { path, message: "is given more than once" }
      : { path, message },
  );
}

export function toIso(ms: number): string {
  return new Date(ms).toISOString();
}

export function toIsoOrNull(ms: number | null): string | null {
  return ms === null ? null : toIso(ms);
}

/** A named schema or null. `schema.nullable()` would make the named schema itself nullable wherever it is used. */
export const orNull = <S extends z.ZodType>(schema: S) => z.union([schema, z.null()]);

/**
 * An optional field with a default that is not documented, because client generators treat a field with a default as
 * always present.
 */
export const orElse = <S extends z.ZodType>(schema: S, value: z.output<S>) =>
  schema.optional().transform((given) => given ?? value);

/** Any JSON value: metadata, parameters, a provider's answer. */
export const FreeObject = z.looseObject({}).openapi("JsonObject");

/** The sums of tokens of several answers. */
export const TokenSums = z
  .object({
    promptTokens: z.number().int(),
    completionTokens: z.number().int(),
    totalTokens: z.number().int(),
  })
  .openapi("TokenSums");

export const Time = z.iso.datetime().openapi({ example: "2025-01-01T00:00:00.000Z" });
