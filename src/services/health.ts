import type { Context } from "../context.ts";
import { troubleOf as databaseTrouble } from "../db/refusal.ts";
import { troubleOf } from "../domain/health.ts";
import { AppError } from "../errors.ts";
import { batchesAfter, checkCounters, type Difference } from "../store/counters.ts";
import { readRows } from "../store/rows.ts";
import { TRIAL_WRITE } from "../store/trial-write.ts";
import type { EngineProbe } from "./status.ts";

/**
 * Throws `SERVICE_UNAVAILABLE` unless the database answers and accepts writes and, if this process runs tasks, the
 * engine is running and can save its results.
 */
export async function requireReady(ctx: Context, engine: EngineProbe): Promise<void> {
  try {
    await ctx.client.execute("SELECT 1 FROM tasks LIMIT 1");
    if (ctx.writer.isSilent()) throw new Error("a commit takes too long");
    // A process that is not ready gets no requests, so without this nothing would detect that it can write again.
    if (ctx.writer.trouble() !== null) await ctx.writer.write(TRIAL_WRITE);
  } catch (error) {
    const why = databaseTrouble(error) ?? "The database does not answer";
    throw new AppError("SERVICE_UNAVAILABLE", why);
  }
  if (ctx.config.role === "api") return;
  const state = engine();
  if (!state) throw new AppError("SERVICE_UNAVAILABLE", "The engine is not running");
  const trouble = troubleOf(state);
  if (trouble !== undefined) throw new AppError("SERVICE_UNAVAILABLE", trouble);
}

/** How many batches are checked at a time. */
const CHECKED_AT_ONCE = 200;

/** Recomputes every batch's counters from its tasks and returns those that differ. Reads all tasks. */
export async function checkInvariants(
  ctx: Pick<Context, "longReads" | "meters">,
): Promise<Difference[]> {
  const { client } = ctx.longReads;
  const differences: Difference[] = [];
  for (let after = -1; ;) {
    const upTo = (await readRows(client, batchesAfter(after, CHECKED_AT_ONCE))).at(-1)?.seq;
    if (upTo === undefined) break;
    differences.push(...(await readRows(client, checkCounters(after, upTo))));
    after = upTo;
  }
  ctx.meters.add("invariant_violations_total", "", differences.length);
  return differences;
}
