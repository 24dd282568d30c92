import type { MiddlewareHandler } from "hono";

import { readBody } from "../body.ts";
import type { AppEnv } from "../router.ts";

/**
 * Reads the JSON body of a request that is only passed on, without a check that the client is still connected: a
 * disconnect ends the call anyway.
 */
export const passedBody: MiddlewareHandler<AppEnv> = (c, next) =>
  readBody(c.get("ctx"), { changesNothing: true })(c, next);
