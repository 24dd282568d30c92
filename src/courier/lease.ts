import type { Context } from "../context.ts";
import { newId } from "../lib/ids.ts";
import { giveUpLease, takeLease } from "../store/leases.ts";
import { rowsOf } from "../store/rows.ts";

/**
 * The right to do what one process at a time does. On a local file there is no other. It is renewed
 * every third of LEASE_SECONDS; a process that is killed is followed by another when it has lapsed.
 */
export function createLease(ctx: Context, name: string) {
  const holder = newId(ctx, "node");
  const { leaseMs } = ctx.config;
  let askedAt = -Infinity;
  let isHeld = false;

  return {
    async isHeld(): Promise<boolean> {
      if (ctx.isExclusive) return true;
      const now = ctx.clock.monotonic();
      if (now - askedAt < leaseMs / 3) return isHeld;
      const [result] = await ctx.writer.write([takeLease(name, holder, leaseMs)]);
      askedAt = now;
      isHeld = rowsOf(result).length > 0;
      return isHeld;
    },
    async giveUp(): Promise<void> {
      if (isHeld) await ctx.writer.write([giveUpLease(name, holder)]);
      isHeld = false;
    },
  };
}
