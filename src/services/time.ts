import type { Context } from "../context.ts";
import { databaseNow } from "../store/nodes.ts";

type Clocks = Pick<Context, "isExclusive" | "clock" | "client">;

/**
 * The wall time that decides what is due: on a shared database that of the database, because the clocks of nodes may
 * differ.
 */
export async function commonTime({ isExclusive, clock, client }: Clocks): Promise<number> {
  return isExclusive ? clock.now() : databaseNow(client);
}

/** The same for times to wait for, which must not move when a clock is put back. */
export async function commonSteadyTime({ isExclusive, clock, client }: Clocks): Promise<number> {
  return isExclusive ? clock.steady() : databaseNow(client);
}

/** One moment by the wall clock, for display, and by the steady clock, for waits. */
export type Times = { now: number; steadyNow: number };

export function timesOf(ctx: Pick<Context, "clock" | "live">): Times {
  return { now: ctx.clock.now(), steadyNow: sharedSteadyNow(ctx) };
}

/**
 * The same without a query, from the last heartbeat: for waits of one process that another may end, such as retries.
 * Compare it only with stored times.
 */
export function sharedSteadyNow({ clock, live }: Pick<Context, "clock" | "live">): number {
  return clock.steady() + live.aheadMs;
}
