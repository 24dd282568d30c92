import type { MiddlewareHandler } from "hono";
import { cors } from "hono/cors";

const ASKED = [
  "Authorization",
  "Content-Type",
  "Idempotency-Key",
  "If-None-Match",
  "If-Range",
  "Last-Event-ID",
  "Mcp-Method",
  "Mcp-Name",
  "Mcp-Protocol-Version",
  "Prefer",
  "Range",
  "X-Request-ID",
];
const TOLD = [
  "X-Request-ID",
  "X-RateLimit-Limit",
  "X-RateLimit-Remaining",
  "X-RateLimit-Reset",
  "Retry-After",
  "Idempotency-Replayed",
  "Preference-Applied",
  "ETag",
  "Accept-Ranges",
  "Content-Range",
  "Content-Disposition",
  "WWW-Authenticate",
];
const PREFLIGHT_SECONDS = 600;

/** Lets pages of these origins use the API, with keys of their own; cookies play no part. */
export function allowOrigins(origins: string[]): MiddlewareHandler {
  return cors({
    origin: origins.includes("*") ? "*" : origins,
    allowMethods: ["GET", "POST", "PATCH", "DELETE"],
    allowHeaders: ASKED,
    exposeHeaders: TOLD,
    maxAge: PREFLIGHT_SECONDS,
  });
}
