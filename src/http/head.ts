import type { Context, MiddlewareHandler } from "hono";

import { invalid } from "../errors.ts";
import type { AppEnv } from "./router.ts";

/**
 * HEAD is answered like GET, so that it has the same headers: the runtime omits the body and sends its length. Hono
 * would drop the body earlier, and every length would be 0.
 */
export function asGet(request: Request): Request {
  return request.method === "HEAD" ? new Request(request, { method: "GET" }) : request;
}

/** The method that the client sent. Routes see GET instead of HEAD. */
export function methodOf(c: Context<AppEnv>): string {
  return c.env?.isHead ? "HEAD" : c.req.method;
}

/** Refuses a request for two hosts, which proxies may read differently (RFC 9112, 3.2); the runtime joins them. */
export const refuseSecondHost: MiddlewareHandler<AppEnv> = async (c, next) => {
  if (c.req.header("host")?.includes(","))
    throw invalid([{ path: "Host", message: "is given more than once" }]);
  await next();
};
