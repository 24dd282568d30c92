import type { Context } from "../context.ts";
import { troubleOf } from "../domain/health.ts";
import { AppError } from "../errors.ts";
import { COUNTER_DIFFERENCES, type Difference } from "../store/counters.ts";
import { readRows } from "../store/rows.ts";
import type { EngineProbe } from "./status.ts";

/**
 * Throws `SERVICE_UNAVAILABLE` unless the database answers and, where this process runs tasks, the engine
 * does, and can save what it does.
 */
export async function requireReady(ctx: Context, engine: EngineProbe): Promise<void> {
  try {
    await ctx.client.execute("SELECT 1 FROM tasks LIMIT 1");
  } catch {
    throw new AppError("SERVICE_UNAVAILABLE", "The database does not answer");
  }
  if (ctx.config.role === "api") return;
  const state = engine();
  if (!state) throw new AppError("SERVICE_UNAVAILABLE", "The engine is not running");
  const trouble = troubleOf(state);
  if (trouble !== undefined) throw new AppError("SERVICE_UNAVAILABLE", trouble);
}

/** Recomputes every batch's counters from its tasks and returns those that differ. Reads all tasks. */
export async function checkInvariants(
  ctx: Pick<Context, "client" | "meters">,
): Promise<Difference[]> {
  const differences = await readRows(ctx.client, COUNTER_DIFFERENCES);
  ctx.meters.add("invariant_violations_total", "", differences.length);
  return differences;
}
