import type { Context } from "../context.ts";
import { deleteAlert, insertAlert } from "../store/alerts.ts";
import { readRows } from "../store/rows.ts";
import { UNSTUCK_SCHEDULES, STUCK_WITHOUT_ALERT } from "../store/stuck-runs.ts";
import { hasRow } from "../store/which.ts";

/**
 * Raises alerts for runs that are paused for lack of money or by a provider's refusal: until they are resumed or
 * cancelled, later fires are skipped or wait. Clears the alert when no run is stuck any more.
 */
export async function announceStuck(ctx: Context): Promise<void> {
  const raisedAt = ctx.clock.now();
  for (const { id, schedule, name, batch, why } of await readRows(
    ctx.client,
    STUCK_WITHOUT_ALERT,
  )) {
    const message = `Run ${id} of scheduled task ${schedule} (${name}) is paused: ${why.replace(/\.$/, "")}. Resume or cancel batch ${batch}; until then the overlap policy holds later runs up`;
    const alert = { code: "schedule.paused" as const, subject: schedule, message, raisedAt };
    // Nobody could clear the alert of a schedule that was deleted meanwhile.
    const isThere = hasRow("schedules", { where: "id = ?", args: [schedule] });
    await ctx.writer.write({ alert: insertAlert(alert, isThere) });
    ctx.signals.emit("events", undefined);
  }
  for (const { id } of await readRows(ctx.client, UNSTUCK_SCHEDULES)) {
    await ctx.writer.write({ alert: deleteAlert("schedule.paused", id, raisedAt) });
    ctx.signals.emit("events", undefined);
  }
}
