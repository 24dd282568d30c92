import { type OpenAPIHono, z } from "@hono/zod-openapi";

import { ERROR_STATUS } from "../errors.ts";
import { type HeaderName, HEADERS_OF_ALL, headerRefs } from "./answer-headers.ts";
import type { AppEnv } from "./router.ts";

type ErrorStatus = (typeof ERROR_STATUS)[keyof typeof ERROR_STATUS];

const ErrorCode = z
  .enum(Object.keys(ERROR_STATUS) as [keyof typeof ERROR_STATUS])
  .openapi("ErrorCode");

const ErrorDetails = z
  .looseObject({ requestId: z.string() })
  .openapi("ErrorDetails", { description: "`issues` says what is wrong where" });

const ErrorBody = z
  .object({
    success: z.literal(false),
    error: z
      .object({ code: ErrorCode, message: z.string(), details: ErrorDetails })
      .openapi("ErrorDescription"),
    timestamp: z.iso.datetime(),
  })
  .openapi("ErrorAnswer");

type Failure = { name: string; description: string; headers?: HeaderName[] };

const FAILURES: Record<ErrorStatus, Failure> = {
  400: {
    name: "BadRequest",
    description: "The request is not valid; `details.issues` says what is wrong where",
  },
  401: { name: "Unauthorized", description: "No valid API key", headers: ["WWW-Authenticate"] },
  403: { name: "Forbidden", description: "The API key may not do this" },
  404: { name: "NotFound", description: "There is no such thing" },
  405: {
    name: "MethodNotAllowed",
    description: "The path does not take this method: the server is older than this document",
    headers: ["Allow"],
  },
  408: { name: "RequestTimeout", description: "The request body took too long to arrive" },
  409: {
    name: "Conflict",
    description: "It cannot be done in the present state, or the id or idempotency key is taken",
  },
  413: { name: "PayloadTooLarge", description: "The request body is too large" },
  415: {
    name: "UnsupportedMediaType",
    description: "The request body is of another type than the route takes, or compressed",
  },
  416: {
    name: "RangeNotSatisfiable",
    description: "There is nothing in the range that was asked for",
    headers: ["Content-Range"],
  },
  429: {
    name: "TooManyRequests",
    description: "Too many requests, or the budget is used up",
    headers: ["Retry-After"],
  },
  500: { name: "InternalError", description: "A bug; the request id finds it in the logs" },
  503: {
    name: "ServiceUnavailable",
    description: "A part that this needs is not available",
    headers: ["Retry-After"],
  },
};

/** The failures of every route, and those of routes that read a body. */
export const EVERYWHERE = [400, 401, 403, 405, 429, 500, 503] as const;
export const WITH_BODY = [408, 413, 415] as const;

/** The failures of a route besides those of every route. They are thrown, so no handler returns one. */
export function failures(...statuses: ErrorStatus[]): object {
  return Object.fromEntries(
    statuses.map((status) => [status, { $ref: `#/components/responses/${FAILURES[status].name}` }]),
  );
}

/** Puts the failures into the document once, for all routes. */
export function registerFailures(app: OpenAPIHono<AppEnv>): void {
  app.openAPIRegistry.register("ErrorAnswer", ErrorBody);
  for (const { name, description, headers = [] } of Object.values(FAILURES))
    app.openAPIRegistry.registerComponent("responses", name, {
      description,
      headers: headerRefs([...HEADERS_OF_ALL, ...headers]),
      content: { "application/json": { schema: { $ref: "#/components/schemas/ErrorAnswer" } } },
    });
}
