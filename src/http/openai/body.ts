import type { MiddlewareHandler } from "hono";

import { readBody } from "../body.ts";
import type { AppEnv } from "../router.ts";

/** Reads a JSON body as `/api/v1` does. */
export const jsonBody: MiddlewareHandler<AppEnv> = (c, next) => readBody(c.var.ctx)(c, next);

/** The same for what is only passed on: a client that has left ends that anyway. */
export const passedBody: MiddlewareHandler<AppEnv> = (c, next) =>
  readBody(c.get("ctx"), { changesNothing: true })(c, next);
