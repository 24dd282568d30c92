import type { MiddlewareHandler } from "hono";

import { readBody } from "../body.ts";
import type { AppEnv } from "../router.ts";

/** Reads a JSON body as `/api/v1` does. */
export const jsonBody: MiddlewareHandler<AppEnv> = (c, next) => readBody(c.var.ctx)(c, next);

/**
 * The same for requests that are only passed on, for which the client need not be checked: a disconnect ends them
 * anyway.
 */
export const passedBody: MiddlewareHandler<AppEnv> = (c, next) =>
  readBody(c.var.ctx, { changesNothing: true })(c, next);
