import type { Context } from "../context.ts";
import { WEBHOOK_TEST } from "../domain/event.ts";
import { AppError, invalid } from "../errors.ts";
import { HOW_TO_ALLOW } from "../lib/guarded-post.ts";
import { readTarget, RefusedTarget } from "../lib/guarded-target.ts";
import { newId } from "../lib/ids.ts";
import { BadSecret, checkSecret, newSecret } from "../lib/standard-webhook.ts";
import { withoutUndefined } from "../lib/without-undefined.ts";
import { deleteAlert } from "../store/alerts.ts";
import { deleteDeliveriesOf, insertTestDelivery } from "../store/deliveries.ts";
import type { Page } from "../store/pages.ts";
import * as store from "../store/webhooks.ts";
import type { Caller } from "./caller.ts";
import { type DeliveryRecord, getDelivery } from "./deliveries.ts";
import { attemptDelivery, sealedFor } from "./webhook-attempt.ts";
import { messageId } from "./webhook-message.ts";

export type WebhookDraft = {
  url: string;
  events: string[];
  description?: string | null | undefined;
  secret?: string | undefined;
  isOpenAi?: boolean;
};

/** How long the previous secret also signs after a rotation. */
const OVERLAP_MS = 24 * 3_600_000;
const DELETED_AT_ONCE = 500;

/** Creates an endpoint that gets events from now on. Its `secret` can be read only in this result. */
export async function createWebhook(
  ctx: Context,
  caller: Caller,
  draft: WebhookDraft,
): Promise<{ webhook: store.Webhook; secret: string }> {
  requireTarget(ctx, draft.url);
  const secret = readSecret(draft.secret);
  const now = ctx.clock.now();
  const id = newId(ctx, "wh");
  const { maxWebhooks } = ctx.config;
  const webhook = {
    id,
    url: draft.url,
    events: draft.events,
    description: draft.description ?? null,
    secret: await ctx.secrets.seal(secret, sealedFor({ id })),
    isOpenAi: draft.isOpenAi ?? false,
    apiKey: caller.key,
    createdAt: now,
  };
  const most = maxWebhooks > 0 ? maxWebhooks : Number.MAX_SAFE_INTEGER;
  const { inserted } = await ctx.writer.write({ inserted: store.insertWebhook(webhook, most) });
  if (inserted.changed === 0)
    throw new AppError(
      "LIMIT_REACHED",
      `There are ${maxWebhooks} webhooks already (MAX_WEBHOOKS); delete one first`,
    );
  ctx.signals.emit("webhooks", undefined);
  return { webhook: await getWebhook(ctx, id), secret };
}

export async function getWebhook(ctx: Context, id: string): Promise<store.Webhook> {
  const webhook = await store.findWebhook(ctx.db, id);
  if (!webhook) throw new AppError("WEBHOOK_NOT_FOUND", `There is no webhook with id ${id}`);
  return webhook;
}

export async function listWebhooks(ctx: Context, page: Page) {
  return {
    webhooks: await store.listWebhooks(ctx.reads.db, page),
    total: await store.countWebhooks(ctx.reads.db),
  };
}

export type WebhookPatch = {
  [Field in "url" | "events" | "description"]?: WebhookDraft[Field] | undefined;
} & { isActive?: boolean | undefined };

/** Changes an endpoint. If it becomes active, it gets the events that it has missed, as far as the log goes back. */
export async function updateWebhook(
  ctx: Context,
  id: string,
  patch: WebhookPatch,
): Promise<store.Webhook> {
  await getWebhook(ctx, id);
  if (patch.url !== undefined) requireTarget(ctx, patch.url);
  const now = ctx.clock.now();
  await ctx.writer.write({
    changed: store.updateWebhook(id, withoutUndefined(patch), now),
    alert: patch.isActive ? deleteAlert("webhook.disabled", id, now) : undefined,
  });
  ctx.signals.emit("webhooks", undefined);
  ctx.signals.emit("events", undefined);
  return getWebhook(ctx, id);
}

/** Deletes an endpoint and its deliveries. */
export async function deleteWebhook(ctx: Context, id: string): Promise<void> {
  const { seq } = await getWebhook(ctx, id);
  await ctx.writer.write({
    deleted: store.deleteWebhook(id),
    alert: deleteAlert("webhook.disabled", id, ctx.clock.now()),
  });
  ctx.signals.emit("webhooks", undefined);
  for (let left = DELETED_AT_ONCE; left === DELETED_AT_ONCE;) {
    const { deleted } = await ctx.writer.write({
      deleted: deleteDeliveriesOf(seq, DELETED_AT_ONCE),
    });
    left = deleted.changed;
  }
}

/** Gives an endpoint a new secret. For a day both secrets sign, so receivers can switch at any time. */
export async function rotateSecret(
  ctx: Context,
  id: string,
  given: string | undefined,
  overlapMs = OVERLAP_MS,
): Promise<{ webhook: store.Webhook; secret: string }> {
  const webhook = await getWebhook(ctx, id);
  const secret = readSecret(given);
  const now = ctx.clock.now();
  const sealed = await ctx.secrets.seal(secret, sealedFor(webhook));
  await ctx.writer.write({ rotated: store.rotateSecret(id, sealed, now + overlapMs, now) });
  ctx.signals.emit("webhooks", undefined);
  return { webhook: await getWebhook(ctx, id), secret };
}

/**
 * Sends a `webhook.test` message, or another one, at once, also to an inactive endpoint, and returns the outcome. It
 * is not retried.
 */
export async function testWebhook(
  ctx: Context,
  webhookId: string,
  sample?: { type: string; toBody: (id: string, at: number) => string },
): Promise<DeliveryRecord> {
  const webhook = await getWebhook(ctx, webhookId);
  const now = ctx.clock.now();
  const type = sample?.type ?? WEBHOOK_TEST;
  const timestamp = new Date(now).toISOString();
  const id = messageId(webhook, { event: null, at: now });
  const body = sample?.toBody(id, now) ?? JSON.stringify({ type, timestamp, data: { webhookId } });
  const message = { id, body, type, attempt: 1, trace: ctx.tracing.current() };
  const attempt = await attemptDelivery(ctx, webhook, message);
  const row = { webhook: webhook.seq, type, task: null, batch: null, body, at: now };
  const { inserted } = await ctx.writer.write({ inserted: insertTestDelivery(row, attempt) });
  const [made] = inserted.rows;
  return getDelivery(ctx, webhook, made?.seq ?? 0);
}

function requireTarget(ctx: Context, url: string): void {
  try {
    readTarget(url, { allowedHosts: ctx.config.webhookAllowedHosts, howToAllow: HOW_TO_ALLOW });
  } catch (error) {
    if (!(error instanceof RefusedTarget)) throw error;
    throw invalid([{ path: "url", message: error.message }]);
  }
}

function readSecret(given: string | undefined): string {
  if (given === undefined) return newSecret();
  try {
    checkSecret(given);
    return given;
  } catch (error) {
    if (!(error instanceof BadSecret)) throw error;
    throw invalid([{ path: "secret", message: "must be base64 after whsec_" }]);
  }
}
