import type { MiddlewareHandler } from "hono";
import { cors } from "hono/cors";

const ALLOWED = [
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
const EXPOSED = [
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
const EXPOSED_BY_OPENAI = [
  "retry-after-ms",
  "x-should-retry",
  "x-ratelimit-limit-requests",
  "x-ratelimit-remaining-requests",
  "x-ratelimit-reset-requests",
  "X-GTR-Adjusted",
  "X-GTR-Cache",
  "X-GTR-Cost-Usd",
  "X-GTR-Paused",
  "X-GTR-Provider",
  "X-GTR-Provider-Request-ID",
  "X-GTR-Task",
  "X-Incomplete",
];
const PREFLIGHT_SECONDS = 600;

/** Lets pages of these origins use the API with their API keys; cookies are not used. */
export function allowOrigins(origins: string[], { isOpenAi = false } = {}): MiddlewareHandler {
  return cors({
    origin: origins.includes("*") ? "*" : origins,
    allowMethods: ["GET", "POST", "PATCH", "DELETE"],
    // The SDKs of OpenAI send a dozen headers about themselves, so all requested headers are allowed.
    ...(isOpenAi ? {} : { allowHeaders: ALLOWED }),
    exposeHeaders: isOpenAi ? [...EXPOSED, ...EXPOSED_BY_OPENAI] : EXPOSED,
    maxAge: PREFLIGHT_SECONDS,
  });
}
