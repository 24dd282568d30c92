import type { Context } from "../context.ts";
import type { Statement } from "../db/writer.ts";
import { pruneDeliveries } from "../store/deliveries.ts";
import { pruneEvents } from "../store/events.ts";

/** Rows removed in one commit: a millisecond or two. */
const AT_ONCE = 500;

/** Removes events and deliveries that are older than RETENTION_DAYS, a few at a time. Returns how many. */
export async function pruneHistory(ctx: Context): Promise<number> {
  const before = ctx.clock.now() - ctx.config.retentionMs;
  return (
    (await prune(ctx, pruneEvents(before, AT_ONCE))) +
    (await prune(ctx, pruneDeliveries(before, AT_ONCE)))
  );
}

async function prune(ctx: Context, statement: Statement): Promise<number> {
  let removed = 0;
  for (;;) {
    const [result] = await ctx.writer.write([statement]);
    const count = result?.rowsAffected ?? 0;
    removed += count;
    if (count < AT_ONCE) return removed;
  }
}
