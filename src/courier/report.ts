import type { Context } from "../context.ts";
import type { Attempt } from "../domain/webhook.ts";
import { label } from "../lib/meters.ts";
import { insertAlert } from "../store/alerts.ts";
import { type Delivery, recordAttempt } from "../store/deliveries.ts";
import { disableWebhook, noteHealth } from "../store/webhooks.ts";
import { hasRow } from "../store/which.ts";
import type { Endpoint } from "./endpoints.ts";

/**
 * Writes the outcome of an attempt, and disables an endpoint that is gone or has failed for too long. Returns whether
 * it did.
 */
export async function report(
  ctx: Context,
  { webhook }: Endpoint,
  delivery: Delivery,
  attempt: Attempt,
  nextAt: number | undefined,
): Promise<boolean> {
  const now = ctx.clock.now();
  const failingSince = attempt.isDelivered ? null : (webhook.failingSince ?? attempt.at);
  const isNews = (failingSince === null) !== (webhook.failingSince === null);
  const reason = whyDisable(delivery, attempt, nextAt, failingSince);
  await ctx.writer.carryOut({
    unit: {
      recorded: recordAttempt(delivery, attempt, nextAt),
      health: isNews ? noteHealth(webhook.seq, attempt.isDelivered, attempt.at) : undefined,
      ...(reason === undefined ? {} : disabling(webhook, reason, now)),
    },
    committed: () => (webhook.failingSince = failingSince),
  });
  const outcome = attempt.isDelivered ? "delivered" : nextAt === undefined ? "failed" : "retried";
  ctx.meters.add("webhook_deliveries_total", label("outcome", outcome));
  if (reason !== undefined) ctx.signals.emit("events", undefined);
  return reason !== undefined;
}

/**
 * Disables an endpoint with an alert. Nothing happens if it was deleted or switched off meanwhile: nobody could clear
 * the alert of a deleted one.
 */
function disabling({ seq, id }: Endpoint["webhook"], reason: string, now: number) {
  const message = `Webhook ${id} was disabled: ${reason}. Its events are kept; set isActive to true to continue`;
  const alert = { code: "webhook.disabled" as const, subject: id, message, raisedAt: now };
  const isActive = { where: "seq = ? AND is_active", args: [seq] };
  return {
    alert: insertAlert(alert, hasRow("webhooks", isActive)),
    disabled: disableWebhook(seq, reason, now),
  };
}

function whyDisable(
  delivery: Delivery,
  attempt: Attempt,
  nextAt: number | undefined,
  failingSince: number | null,
): string | undefined {
  if (attempt.isGone) return "it answered 410 Gone";
  if (attempt.isDelivered || nextAt !== undefined || failingSince === null) return undefined;
  const firstAttemptAt = firstOf(delivery) ?? attempt.at;
  return failingSince <= firstAttemptAt
    ? `nothing could be delivered since ${new Date(failingSince).toISOString()}`
    : undefined;
}

function firstOf({ log }: Delivery): number | undefined {
  const [first] = JSON.parse(log ?? "[]") as { at?: number }[];
  return first?.at;
}
