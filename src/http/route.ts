import { createRoute, type OpenAPIHono, type RouteConfig, z } from "@hono/zod-openapi";
import type { Handler, MiddlewareHandler } from "hono";

import { type Issue, invalid } from "../errors.ts";
import { unknownName } from "../lib/zod-issues.ts";
import { HEADERS_OF_ALL, headerRefs } from "./answer-headers.ts";
import { EVERYWHERE, failures, WITH_BODY } from "./failures.ts";
import type { AppEnv } from "./router.ts";

type Described = Omit<RouteConfig, "path"> & { path: string; operationId: string };

/**
 * A route of `/api/v1`: `createRoute` with the rules of all routes. It documents the answers and headers of every
 * route, refuses unknown fields and query parameters, and throws if its own schemas would accept some.
 */
export function route<P extends string, const R extends Described & { path: P }>(
  config: R,
): ReturnType<typeof createRoute<P, R>> {
  const { request, responses, middleware } = config;
  requireStrict(config);
  const takesBody = config.method !== "get";
  const described = {
    ...config,
    middleware: [
      ...[middleware ?? []].flat(),
      ...(request?.query ? [] : [refuseQuery]),
      ...(takesBody && !request?.body ? [refuseBody] : []),
    ],
    responses: {
      ...withHeaders(responses),
      ...failures(...EVERYWHERE, ...(takesBody ? WITH_BODY : [])),
    },
  };
  // The types differ only in the additions here, which handlers need not know.
  return createRoute(described as unknown as R);
}

/** Documents a route and registers it without validators: the handler reads the body itself. */
export function routeByHand(
  router: OpenAPIHono<AppEnv>,
  { middleware, ...described }: Described,
  handler: Handler<AppEnv>,
): void {
  router.openAPIRegistry.registerPath(described);
  const handlers = [...[middleware ?? []].flat(), handler];
  router.on([described.method], [described.path], ...handlers);
}

/** Throws if a schema accepts unknown names, because misspelt fields would be lost. */
function requireStrict({ operationId, request }: Described): void {
  const body = request?.body?.content["application/json"];
  for (const schema of [request?.query, body && "schema" in body ? body.schema : undefined])
    if (schema instanceof z.ZodObject && !(schema.def.catchall instanceof z.ZodNever))
      throw new Error(`${operationId} takes names that it does not know`);
}

function withHeaders(responses: RouteConfig["responses"]): RouteConfig["responses"] {
  return Object.fromEntries(
    Object.entries(responses).map(([status, response]) => [
      status,
      "$ref" in response || response.headers instanceof z.ZodType
        ? response
        : { ...response, headers: { ...headerRefs(HEADERS_OF_ALL), ...response.headers } },
    ]),
  );
}

const refuseQuery: MiddlewareHandler<AppEnv> = async (c, next) => {
  refuseNames(Object.keys(c.req.query()), "query parameter");
  await next();
};

const refuseBody: MiddlewareHandler<AppEnv> = async (c, next) => {
  const body = c.get("body").value;
  if (typeof body !== "object" || body === null || Array.isArray(body))
    throw invalid([{ path: "", message: "the body must be an empty object, or be left out" }]);
  refuseNames(Object.keys(body), "field");
  await next();
};

/** Refuses all names, where none is known. */
function refuseNames(names: string[], kind: string): void {
  const message = unknownName("", [], kind);
  const issues: Issue[] = names.map((path) => ({ path, message }));
  if (issues.length > 0) throw invalid(issues);
}
