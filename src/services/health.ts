import type { Context } from "../context.ts";
import { AppError } from "../errors.ts";
import { COUNTER_DIFFERENCES, type Difference } from "../store/counters.ts";
import { readRows } from "../store/rows.ts";

/** Throws `SERVICE_UNAVAILABLE` unless the database answers and, where this process runs tasks, the engine does. */
export async function requireReady(ctx: Context, isEngineRunning: () => boolean): Promise<void> {
  try {
    await ctx.client.execute("SELECT 1 FROM tasks LIMIT 1");
  } catch {
    throw new AppError("SERVICE_UNAVAILABLE", "The database does not answer");
  }
  if (ctx.config.role !== "api" && !isEngineRunning())
    throw new AppError("SERVICE_UNAVAILABLE", "The engine is not running");
}

/** Recomputes every batch's counters from its tasks and returns those that differ. Reads all tasks. */
export async function checkInvariants(
  ctx: Pick<Context, "client" | "meters">,
): Promise<Difference[]> {
  const differences = await readRows(ctx.client, COUNTER_DIFFERENCES);
  ctx.meters.add("invariant_violations_total", "", differences.length);
  return differences;
}
