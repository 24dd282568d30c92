import type { Context } from "../context.ts";
import type { Attempt } from "../domain/webhook.ts";
import { label } from "../lib/meters.ts";
import { insertAlert } from "../store/alerts.ts";
import { type Delivery, recordAttempt } from "../store/deliveries.ts";
import { disableWebhook, isStillAt, noteHealth, type Webhook } from "../store/webhooks.ts";
import { hasRow } from "../store/which.ts";
import type { Endpoint } from "./endpoints.ts";

/**
 * Writes the outcome of an attempt, and disables an endpoint that is gone or has failed for too long. `attempted` is
 * the endpoint's row that the attempt was made with: if a client has given it another URL since, the outcome says
 * nothing about that one. Returns whether the endpoints must be read again.
 */
export async function report(
  ctx: Context,
  { endpoint, attempted }: { endpoint: Endpoint; attempted: Webhook },
  delivery: Delivery,
  attempt: Attempt,
  nextAt: number | undefined,
): Promise<boolean> {
  const now = ctx.clock.now();
  const { webhook } = endpoint;
  const isCurrent = webhook.url === attempted.url;
  const failingSince = attempt.isDelivered ? null : (webhook.failingSince ?? attempt.at);
  const isNews = (failingSince === null) !== (webhook.failingSince === null);
  const why = isCurrent ? whyDisable(delivery, attempt, nextAt, failingSince) : undefined;
  await ctx.writer.carryOut({
    unit: {
      recorded: recordAttempt(delivery, attempt, nextAt),
      health:
        isCurrent && isNews ? noteHealth(attempted, attempt.isDelivered, attempt.at) : undefined,
      ...(why === undefined ? {} : disabling(attempted, why, now)),
    },
    committed() {
      if (isCurrent) webhook.failingSince = failingSince;
    },
  });
  const outcome = attempt.isDelivered ? "delivered" : nextAt === undefined ? "failed" : "retried";
  ctx.meters.add("webhook_deliveries_total", label("outcome", outcome));
  if (why !== undefined) ctx.signals.emit("events", undefined);
  return why !== undefined;
}

/** `failingFrom`: it holds only if nothing has been delivered since this time. */
type Why = { reason: string; failingFrom?: number };

/**
 * Disables an endpoint with an alert. Nothing happens if it was deleted, switched off or repaired meanwhile: nobody
 * could clear the alert of a deleted one, and what is repaired has not failed yet.
 */
function disabling(attempted: Webhook, { reason, failingFrom }: Why, now: number) {
  const { id } = attempted;
  const message = `Webhook ${id} was disabled: ${reason}. Its events are kept; set isActive to true to continue`;
  const alert = { code: "webhook.disabled" as const, subject: id, message, raisedAt: now };
  const which = isStillAt(attempted, failingFrom);
  return {
    alert: insertAlert(alert, hasRow("webhooks", which)),
    disabled: disableWebhook(which, reason, now),
  };
}

function whyDisable(
  delivery: Delivery,
  attempt: Attempt,
  nextAt: number | undefined,
  failingSince: number | null,
): Why | undefined {
  if (attempt.isGone) return { reason: "it answered 410 Gone" };
  if (attempt.isDelivered || nextAt !== undefined || failingSince === null) return undefined;
  const firstAttemptAt = firstOf(delivery) ?? attempt.at;
  if (failingSince > firstAttemptAt) return undefined;
  const since = new Date(failingSince).toISOString();
  return { reason: `nothing could be delivered since ${since}`, failingFrom: firstAttemptAt };
}

function firstOf({ log }: Delivery): number | undefined {
  const [first] = JSON.parse(log ?? "[]") as { at?: number }[];
  return first?.at;
}
