import type { Context } from "../context.ts";
import { newId } from "../lib/ids.ts";
import { giveUpLease, takeLease } from "../store/leases.ts";

/**
 * A lease for work that only one process at a time does. On a local file there is no other process. It is renewed
 * every third of LEASE_SECONDS; if its process is killed, another one takes over when it lapses.
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
      const { taken } = await ctx.writer.write({ taken: takeLease(name, holder, leaseMs) });
      askedAt = now;
      isHeld = taken.rows.length > 0;
      return isHeld;
    },
    async giveUp(): Promise<void> {
      if (isHeld) await ctx.writer.write({ given: giveUpLease(name, holder) });
      isHeld = false;
    },
  };
}
