import type { OpenAPIHono } from "@hono/zod-openapi";

import type { AppEnv } from "./router.ts";

const text = { type: "string" } as const;
const whole = { type: "integer" } as const;

/** The headers of answers in the OpenAPI document. */
const HEADERS = {
  "X-Request-ID": {
    description: "Id of the request: the client's own, or a generated one; logs have it, too",
    schema: text,
  },
  "X-RateLimit-Limit": {
    description: "Requests that the API key may make in a minute; absent without a limit",
    schema: whole,
  },
  "X-RateLimit-Remaining": { description: "How many of them are left", schema: whole },
  "X-RateLimit-Reset": {
    description: "When there are all of them again, as Unix seconds",
    schema: whole,
  },
  "Retry-After": { description: "Seconds after which to try again", schema: whole },
  "WWW-Authenticate": { description: "How to sign in: `Bearer`", schema: text },
  Allow: { description: "The methods that the path takes", schema: text },
  "Idempotency-Replayed": {
    description: "`true`: the answer to an earlier request with the same idempotency key",
    schema: text,
  },
  "Preference-Applied": { description: "`wait=N`: the answer waited", schema: text },
  "Content-Disposition": { description: "A name for the file", schema: text },
  "Accept-Ranges": {
    description:
      "`bytes`: parts can be asked for with `Range`. `none`: not yet, because the content may change",
    schema: text,
  },
  "Content-Range": {
    description: "Which part this is, and the total number of bytes",
    schema: text,
  },
  "Content-Encoding": { description: "`gzip` where `Accept-Encoding` allows it", schema: text },
  ETag: {
    description: "Changes with the content; `If-None-Match` is answered 304 where it did not",
    schema: text,
  },
} as const;
export type HeaderName = keyof typeof HEADERS;

export const HEADERS_OF_ALL = [
  "X-Request-ID",
  "X-RateLimit-Limit",
  "X-RateLimit-Remaining",
  "X-RateLimit-Reset",
] as const satisfies HeaderName[];

export function headerRefs(names: readonly HeaderName[]) {
  return Object.fromEntries(
    names.map((name) => [name, { $ref: `#/components/headers/${name}` }]),
  ) as Record<HeaderName, { $ref: string }>;
}

/** Puts the headers into the document once, for all answers that have them. */
export function registerHeaders(app: OpenAPIHono<AppEnv>): void {
  for (const [name, header] of Object.entries(HEADERS))
    app.openAPIRegistry.registerComponent("headers", name, header);
}
