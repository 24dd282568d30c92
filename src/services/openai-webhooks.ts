import type { Context } from "../context.ts";
import { openAiEventBody } from "../domain/openai-event.ts";
import { AppError } from "../errors.ts";
import { timeOfId } from "../lib/ids.ts";
import { findWebhook, listOpenAiWebhooks, type Webhook } from "../store/webhooks.ts";
import { refusal } from "./openai-refusal.ts";
import { sealedFor } from "./webhook-attempt.ts";
import { testWebhook } from "./webhooks.ts";

/** An endpoint that was created through `/v1`. Throws `WEBHOOK_NOT_FOUND` in OpenAI's words. */
export async function requireOpenAiWebhook(
  ctx: Context,
  id: string,
  param = "id",
): Promise<Webhook> {
  const webhook = await findWebhook(ctx.db, id);
  if (webhook?.isOpenAi) return webhook;
  throw refusal("WEBHOOK_NOT_FOUND", `No webhook endpoint found with id '${id.slice(0, 200)}'.`, {
    param,
  });
}

/** One page of such endpoints, the newest first. */
export async function listEndpoints(
  ctx: Context,
  { after, limit }: { after: string | undefined; limit: number },
): Promise<{ webhooks: Webhook[]; hasMore: boolean }> {
  const place = after === undefined ? null : await placeOf(ctx, after);
  const found = await listOpenAiWebhooks(ctx.reads.db, { after: place, limit: limit + 1 });
  return { webhooks: found.slice(0, limit), hasMore: limit > 0 && found.length > limit };
}

/**
 * The place of an endpoint in the list. One that was deleted since the previous page still has one, known to the
 * millisecond, because clients delete endpoints while they list them.
 */
async function placeOf(ctx: Context, id: string): Promise<Pick<Webhook, "createdAt" | "seq">> {
  const webhook = await findWebhook(ctx.db, id);
  const madeAt = timeOfId(id, "wh");
  if (webhook || madeAt === undefined) return requireOpenAiWebhook(ctx, id, "after");
  return { createdAt: madeAt, seq: Number.MAX_SAFE_INTEGER };
}

/** The last characters of the secret, by which users recognise it. */
export async function hintOf(ctx: Context, webhook: Webhook): Promise<string> {
  const secret = await ctx.secrets.open(webhook.secret, sealedFor(webhook));
  return `…${secret.slice(-4)}`;
}

/** Sends a sample at once. Returns the status of the answer; throws if it is not a success. */
export async function testEndpoint(ctx: Context, id: string, type: string): Promise<number> {
  const { id: known } = await requireOpenAiWebhook(ctx, id);
  const toBody = (messageId: string, at: number) =>
    openAiEventBody({ id: messageId, type, at, batch: "batch_test" });
  const { status, responseStatus, error } = await testWebhook(ctx, known, { type, toBody });
  if (status === "delivered" && responseStatus !== null) return responseStatus;
  throw new AppError("VALIDATION_ERROR", `The endpoint did not take the event: ${error}`, {
    openAi: { param: null, code: "webhook_test_failed" },
  });
}
