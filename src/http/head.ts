import type { Context, MiddlewareHandler } from "hono";

import { invalid } from "../errors.ts";
import type { AppEnv } from "./router.ts";

/**
 * HEAD is answered as GET is, so that its headers are those of GET: the runtime leaves the body out, and
 * says how long it would be. Hono would drop it before, and every length would be 0.
 */
export function asGet(request: Request): Request {
  return request.method === "HEAD" ? new Request(request, { method: "GET" }) : request;
}

/** The method that the client sent, which is not always the one that routes see. */
export function methodOf(c: Context<AppEnv>): string {
  return c.env?.isHead ? "HEAD" : c.req.method;
}

/** Refuses a request for two hosts, which proxies may read differently (RFC 9112, 3.2); the runtime joins them. */
export const refuseSecondHost: MiddlewareHandler<AppEnv> = async (c, next) => {
  if (c.req.header("host")?.includes(","))
    throw invalid([{ path: "Host", message: "is given more than once" }]);
  await next();
};
