import type { Context } from "../context.ts";
import { databaseNow } from "../store/nodes.ts";

type Clocks = Pick<Context, "isExclusive" | "clock" | "client">;

/** Wall time that decides what is due: on a shared database its own, as its nodes need not agree. */
export async function commonTime({ isExclusive, clock, client }: Clocks): Promise<number> {
  return isExclusive ? clock.now() : databaseNow(client);
}

/** The same for moments that are waited for, which a clock that is put back must not move away. */
export async function commonSteadyTime({ isExclusive, clock, client }: Clocks): Promise<number> {
  return isExclusive ? clock.steady() : databaseNow(client);
}

/** A moment by the wall clock, for people, and by that of what is waited for. */
export type Times = { now: number; steadyNow: number };

export function timesOf(ctx: Pick<Context, "clock" | "live">): Times {
  return { now: ctx.clock.now(), steadyNow: sharedSteadyNow(ctx) };
}

/**
 * The same without asking the database, as far as the last heartbeat reported: for what is waited for by one process and
 * may be done by another, such as retries. Compare it only with stored moments.
 */
export function sharedSteadyNow({ clock, live }: Pick<Context, "clock" | "live">): number {
  return clock.steady() + live.aheadMs;
}
