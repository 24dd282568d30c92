import type { Context } from "../context.ts";
import { type Allowance, createRateWindow, WINDOW_MS } from "../lib/rate-window.ts";
import { leaseRequests } from "../store/rate-limits.ts";
import type { Caller } from "./caller.ts";

/** Counts a request of a key; `undefined` if the key has no limit. */
export type RateLimiter = (
  caller: Caller,
) => Allowance | undefined | Promise<Allowance | undefined>;

/**
 * Limits the requests of each key per minute of the clock: in memory if only this process has the database, otherwise
 * in the database.
 */
export function createRateLimiter(ctx: Context): RateLimiter {
  const take = ctx.isExclusive
    ? createRateWindow(() => ctx.clock.now()).take
    : createSharedWindow(ctx);
  return ({ key, rateLimitPerMinute }) => {
    const limit = rateLimitPerMinute ?? ctx.config.rateLimitPerMinute;
    return limit === 0 ? undefined : take(key, limit);
  };
}

/** A tenth of a limit is reserved at a time, so one request in ten waits for the database. */
const LEASES_PER_WINDOW = 10;

type Lease = {
  window: number;
  left: number;
  othersLeft: number;
  asking?: Promise<void> | undefined;
};

/*
 * Processes share a limit by leasing parts of it. A process serves from its lease, leases another part when that is
 * used up, and refuses requests when none is left. So together they never admit more than the limit; each may leave
 * at most a tenth of it unused.
 */
function createSharedWindow(ctx: Context): (key: number, limit: number) => Promise<Allowance> {
  const leases = new Map<number, Lease>();

  async function ask(key: number, lease: Lease, limit: number): Promise<void> {
    const wanted = Math.ceil(limit / LEASES_PER_WINDOW);
    const unit = leaseRequests(key, lease.window, wanted, limit);
    const [row] = (await ctx.writer.write(unit)).lease.rows;
    lease.left += row?.granted ?? 0;
    lease.othersLeft = Math.max(0, limit - (row?.used ?? limit));
    lease.asking = undefined;
  }

  return async (key, limit) => {
    const window = Math.floor(ctx.clock.now() / WINDOW_MS);
    let lease = leases.get(key);
    if (lease?.window !== window) {
      lease = { window, left: 0, othersLeft: limit };
      leases.set(key, lease);
    }
    while (lease.left === 0 && lease.othersLeft > 0)
      await (lease.asking ??= ask(key, lease, limit).catch((error: unknown) => {
        lease.asking = undefined;
        throw error;
      }));
    const isAllowed = lease.left > 0;
    if (isAllowed) lease.left--;
    const remaining = lease.left + lease.othersLeft;
    return { isAllowed, limit, remaining, resetAt: (window + 1) * WINDOW_MS };
  };
}
