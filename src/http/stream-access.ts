import type { Context } from "hono";

import { AppError } from "../errors.ts";
import type { TokenFilter } from "../services/stream-tokens.ts";
import { methodOf } from "./head.ts";
import type { AppEnv } from "./router.ts";

const STREAMS = /^\/api\/v1\/(events|live|tasks\/[^/]+\/events|batches\/[^/]+\/events)$/;

/** The token in the URL of a request for an event stream; other requests accept none. */
export function streamTokenOf(c: Context<AppEnv>): string | undefined {
  if (methodOf(c) !== "GET" || !STREAMS.test(c.req.path)) return undefined;
  return c.req.query("access_token");
}

/** Throws `FORBIDDEN` if the request has a token that does not cover everything. */
export function requireWholeGrant(grant: TokenFilter | undefined): void {
  if (grant?.types ?? grant?.taskId ?? grant?.batchId)
    throw new AppError("FORBIDDEN", "This access_token is only for some events");
}

type Topic = { taskId?: string | undefined; batchId?: string | undefined };

/** The requested filter, narrowed to what the token opens. Throws `FORBIDDEN` if the two do not overlap. */
export function withinGrant(grant: TokenFilter | undefined, asked: Topic): Topic {
  const narrowed = { ...asked };
  for (const field of ["taskId", "batchId"] as const) {
    const only = grant?.[field];
    if (only === undefined) continue;
    if (asked[field] !== undefined && asked[field] !== only)
      throw new AppError("FORBIDDEN", `This access_token is only for ${field} ${only}`);
    narrowed[field] = only;
  }
  return narrowed;
}
