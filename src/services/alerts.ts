import type { Context } from "../context.ts";
import type { AlertCode } from "../domain/alert.ts";
import * as store from "../store/alerts.ts";
import type { Page } from "../store/pages.ts";

export type NewAlert = {
  code: AlertCode;
  /** What is wrong and what to do, in words. Without secrets and paths of the host. */
  message: string;
  /** What it is about, such as the id of a webhook; without one, the whole system. */
  subject?: string;
};

type Part = Pick<Context, "writer" | "signals" | "clock">;

/**
 * Raises an alert with a `system.alert` event. An alert that any process has raised already is not raised again.
 * Returns whether it was raised.
 */
export async function raiseAlert(
  ctx: Part,
  { code, message, subject = "" }: NewAlert,
): Promise<boolean> {
  return report(ctx, store.insertAlert({ code, subject, message, raisedAt: ctx.clock.now() }));
}

/** Clears an alert if it was raised, with an event. Returns whether it was. */
export async function clearAlert(ctx: Part, code: AlertCode, subject = ""): Promise<boolean> {
  return report(ctx, store.deleteAlert(code, subject, ctx.clock.now()));
}

/** The open alerts, the oldest first. */
export function listOpenAlerts(ctx: Pick<Context, "db">): Promise<store.Alert[]> {
  return store.listAlerts(ctx.db);
}

/** One page of alerts that were raised and cleared, the latest first, and how many there are. */
export async function listAlertHistory(ctx: Pick<Context, "reads">, page: Page) {
  return {
    entries: await store.listAlertEvents(ctx.reads.db, page),
    total: await store.countAlertEvents(ctx.reads.db),
  };
}

async function report(ctx: Part, unit: store.AlertUnit): Promise<boolean> {
  const { alert } = await ctx.writer.write(unit);
  if (alert.changed === 0) return false;
  ctx.signals.emit("events", undefined);
  return true;
}
