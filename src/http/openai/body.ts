import type { MiddlewareHandler } from "hono";

import { readBody } from "../body.ts";
import type { AppEnv } from "../router.ts";

/** Reads the JSON body of what is only passed on: a client that has left ends that anyway. */
export const passedBody: MiddlewareHandler<AppEnv> = (c, next) =>
  readBody(c.var.ctx, { changesNothing: true })(c, next);
