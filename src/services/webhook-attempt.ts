import type { Context } from "../context.ts";
import type { Attempt } from "../domain/webhook.ts";
import { NO_ANSWER, RefusedTarget } from "../lib/guarded-target.ts";
import { signWebhook } from "../lib/standard-webhook.ts";
import type { Webhook } from "../store/webhooks.ts";

const TIMEOUT_MS = 15_000;

/** The name that a secret is sealed for. */
export const sealedFor = ({ id }: Pick<Webhook, "id">) => `webhook ${id}`;

/** A message to post; `attempt` counts from 1. */
export type Message = {
  id: string;
  body: string;
  type: string;
  attempt: number;
  /** Trace context of the event. */
  trace: string | null;
};

/** Posts a message to an endpoint, signed with its secrets, and returns the outcome. Never throws. */
export async function attemptDelivery(
  ctx: Context,
  webhook: Webhook,
  message: Message,
): Promise<Attempt> {
  const attempt = await post(ctx, webhook, message);
  if (ctx.tracing.isOn)
    ctx.tracing.delivery({
      parent: message.trace,
      startedAt: attempt.at,
      endedAt: attempt.at + attempt.latencyMs,
      url: webhook.url,
      webhookId: webhook.id,
      messageId: message.id,
      eventType: message.type,
      attempt: message.attempt,
      status: attempt.status,
      error: attempt.isDelivered ? null : (attempt.status?.toString() ?? attempt.cause),
    });
  return attempt;
}

async function post(ctx: Context, webhook: Webhook, message: Message): Promise<Attempt> {
  const { id, body } = message;
  const at = ctx.clock.now();
  const begun = ctx.clock.monotonic();
  const reported = (what: Partial<Attempt>): Attempt => ({
    at,
    isDelivered: false,
    isGone: false,
    status: null,
    latencyMs: Math.round(ctx.clock.monotonic() - begun),
    error: null,
    cause: null,
    snippet: null,
    retryAfterMs: null,
    ...what,
  });
  try {
    const timestamp = Math.floor(at / 1000);
    const signed = signWebhook({ id, body, timestamp }, await secretsOf(ctx, webhook, at));
    const { status, retryAfter, text, isPrivate } = await ctx.postWebhook(webhook.url, {
      headers: {
        ...signed,
        "content-type": "application/json",
        "user-agent": "gpt-task-runner-webhooks",
      },
      body,
      timeoutMs: TIMEOUT_MS,
      allowedHosts: ctx.config.webhookAllowedHosts,
      resolveHost: ctx.resolveHost,
      clock: ctx.clock,
    });
    const isDelivered = status >= 200 && status < 300;
    const isRedirect = status >= 300 && status < 400;
    return reported({
      isDelivered,
      isGone: status === 410,
      status,
      error: isDelivered ? null : isRedirect ? "redirects are not followed" : `status ${status}`,
      // The answer of a service in the private network must not be shown to everyone who may read deliveries.
      snippet: isPrivate || text === "" ? null : text,
      retryAfterMs: readRetryAfter(retryAfter, ctx.clock.now()),
    });
  } catch (error) {
    return reported({ error: explain(error), cause: causeOf(error) });
  }
}

async function secretsOf(ctx: Context, webhook: Webhook, now: number): Promise<string[]> {
  const { secret, previousSecret, previousSecretUntil } = webhook;
  const isOverlapping = previousSecret !== null && (previousSecretUntil ?? 0) > now;
  const sealed = isOverlapping ? [secret, previousSecret] : [secret];
  return Promise.all(sealed.map((text) => ctx.secrets.open(text, sealedFor(webhook))));
}

/** Seconds or a date (RFC 9110). */
function readRetryAfter(value: string | undefined, now: number): number | null {
  if (value === undefined) return null;
  const ms = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - now;
  return Number.isFinite(ms) && ms > 0 ? ms : null;
}

/** Why there was no answer, from a small set of words. */
function causeOf(error: unknown): string {
  if (error instanceof RefusedTarget) return "refused";
  if (!(error instanceof Error)) return "failed";
  if ("code" in error) return String(error.code);
  return error.message === NO_ANSWER ? "timeout" : "failed";
}

/** The reason in a few words. It reveals nothing about the host's network except the error's code. */
function explain(error: unknown): string {
  if (error instanceof RefusedTarget) return `refused: ${error.message}`;
  if (!(error instanceof Error)) return "failed";
  return "code" in error ? `no connection: ${String(error.code)}` : error.message;
}
