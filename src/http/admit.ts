import type { Context, MiddlewareHandler } from "hono";

import type { Context as AppContext } from "../context.ts";
import { AppError } from "../errors.ts";
import { type Allowance, createRateWindow } from "../lib/rate-window.ts";
import { createAuthenticator } from "../services/authenticator.ts";
import type { Caller } from "../services/caller.ts";
import { createRateLimiter } from "../services/rate-limits.ts";
import { findStreamCaller } from "../services/stream-tokens.ts";
import { networkOf } from "./address.ts";
import type { AppEnv } from "./router.ts";
import { streamTokenOf } from "./stream-access.ts";

/**
 * Authenticates requests and limits their rate: a key by its own limit or RATE_LIMIT_PER_MINUTE; requests without a
 * key by that limit for their address; wrong keys by FAILED_LOGINS_PER_MINUTE for their address. An address that has
 * tried too many wrong keys cannot find out whether its next key is right. Keys that this process knows still work, so
 * that nobody can lock out clients that share the address. Each process counts by address on its own.
 */
export function admit(ctx: AppContext): MiddlewareHandler<AppEnv> {
  const { rateLimitPerMinute, failedLoginsPerMinute } = ctx.config;
  const authenticator = createAuthenticator(ctx);
  const limiter = createRateLimiter(ctx);
  const keyless = createRateWindow(() => ctx.clock.now());
  const failed = createRateWindow(() => ctx.clock.now());

  async function identify(c: Context<AppEnv>): Promise<Caller> {
    const streamToken = streamTokenOf(c);
    if (streamToken !== undefined) return identifyByStreamToken(c, streamToken);
    const hash = authenticator.readHash(c.req.header("authorization"));
    if (hash === undefined) {
      if (rateLimitPerMinute > 0) spend(c, keyless.take(networkOf(c), rateLimitPerMinute));
      throw new AppError(
        "UNAUTHORIZED",
        "Send your API key as `Authorization: Bearer YOUR_API_KEY`",
      );
    }
    const address = failedLoginsPerMinute > 0 && !authenticator.knows(hash) ? networkOf(c) : "";
    if (address !== "") spend(c, failed.look(address, failedLoginsPerMinute), WRONG_KEYS);
    const caller = await authenticator.verify(hash);
    if (caller) {
      // The allowance so far is that of wrong keys from this address, not of this key.
      c.set("allowance", undefined);
      return caller;
    }
    if (address !== "") spend(c, failed.take(address, failedLoginsPerMinute), WRONG_KEYS);
    throw new AppError("UNAUTHORIZED", "The API key is not valid");
  }

  async function identifyByStreamToken(c: Context<AppEnv>, token: string): Promise<Caller> {
    const address = failedLoginsPerMinute > 0 ? networkOf(c) : "";
    if (address !== "") spend(c, failed.look(address, failedLoginsPerMinute), WRONG_KEYS);
    const found = await findStreamCaller(ctx, token);
    c.set("grant", found?.filter);
    if (found) return found.caller;
    if (address !== "") spend(c, failed.take(address, failedLoginsPerMinute), WRONG_KEYS);
    throw new AppError(
      "UNAUTHORIZED",
      "access_token is not valid (any more); POST /events/token makes one for a minute",
    );
  }

  return async (c, next) => {
    const caller = await identify(c);
    c.set("caller", caller);
    const allowance = c.env?.isPart ? undefined : await limiter(caller);
    if (allowance) spend(c, allowance);
    await next();
  };
}

const WRONG_KEYS = "requests with a wrong API key from this address";

/** Stores the allowance for the answer's headers. Throws `RATE_LIMIT_EXCEEDED` if it is used up. */
function spend(c: Context<AppEnv>, allowance: Allowance, what = "requests"): void {
  c.set("allowance", allowance);
  if (allowance.isAllowed) return;
  const retryAfter = Math.max(1, Math.ceil((allowance.resetAt - c.var.ctx.clock.now()) / 1000));
  throw new AppError(
    "RATE_LIMIT_EXCEEDED",
    `There were more than ${allowance.limit} ${what} in this minute; try again in ${retryAfter} s`,
    { limit: allowance.limit, retryAfter },
  );
}

/** Shows the client how much of its limit is left. */
export function announceAllowance(headers: Headers, allowance: Allowance | undefined): void {
  if (!allowance) return;
  headers.set("X-RateLimit-Limit", String(allowance.limit));
  headers.set("X-RateLimit-Remaining", String(allowance.remaining));
  headers.set("X-RateLimit-Reset", String(allowance.resetAt / 1000));
}

/** The same with the headers of OpenAI's API. */
export function announceOpenAiAllowance(
  headers: Headers,
  allowance: Allowance | undefined,
  now: number,
): void {
  if (!allowance) return;
  headers.set("x-ratelimit-limit-requests", String(allowance.limit));
  headers.set("x-ratelimit-remaining-requests", String(allowance.remaining));
  headers.set("x-ratelimit-reset-requests", `${Math.max(0, allowance.resetAt - now)}ms`);
}
