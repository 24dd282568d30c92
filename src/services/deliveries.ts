import type { Context } from "../context.ts";
import { EVENT_TYPES, type LoggedEvent, toEventBody, typesOf } from "../domain/event.ts";
import { openAiEventBody, openAiTypeOf, openAiTypesFor } from "../domain/openai-event.ts";
import { AppError } from "../errors.ts";
import { fileBatches } from "../store/batches.ts";
import * as store from "../store/deliveries.ts";
import { findIdBefore, readEvents } from "../store/events.ts";
import type { Page } from "../store/pages.ts";
import { readRows } from "../store/rows.ts";
import type { Webhook } from "../store/webhooks.ts";
import { messageId } from "./webhook-message.ts";

export type DeliveryRecord = store.Delivery;

const AT_ONCE = 500;
/** An unknown id is repeated up to this length. */
const LONGEST_SHOWN = 100;

/** One page of an endpoint's deliveries, the latest first, and how many match in all. */
export async function listDeliveries(
  ctx: Context,
  webhook: Webhook,
  filter: store.DeliveryFilter,
  page: Page,
) {
  return {
    deliveries: await store.listDeliveries(ctx.reads.db, webhook.seq, filter, page),
    total: await store.countDeliveries(ctx.reads.db, webhook.seq, filter),
  };
}

export async function getDelivery(
  ctx: Context,
  webhook: Webhook,
  seq: number,
): Promise<DeliveryRecord> {
  const delivery = await store.findDelivery(ctx.db, webhook.seq, seq);
  if (!delivery) throw noDelivery(webhook, deliveryId({ seq }));
  return delivery;
}

/** The id of a delivery in answers. */
export function deliveryId({ seq }: Pick<DeliveryRecord, "seq">): string {
  return `dlv-${String(seq).padStart(9, "0")}`;
}

/** The delivery of a webhook by its id. Throws `DELIVERY_NOT_FOUND`. */
export async function findDelivery(
  ctx: Context,
  webhook: Webhook,
  id: string,
): Promise<DeliveryRecord> {
  const [, digits] = /^dlv-(\d{9,15})$/.exec(id) ?? [];
  if (digits === undefined) throw noDelivery(webhook, id.slice(0, LONGEST_SHOWN));
  return getDelivery(ctx, webhook, Number(digits));
}

function noDelivery({ id }: Webhook, delivery: string): AppError {
  return new AppError(
    "DELIVERY_NOT_FOUND",
    `There is no delivery with id ${delivery} to webhook ${id}; GET /api/v1/webhooks/${id}/deliveries lists those that there are`,
  );
}

/** Sends a delivery again, with the same `webhook-id`, and with all its retries. */
export async function replayDelivery(
  ctx: Context,
  webhook: Webhook,
  id: string,
): Promise<DeliveryRecord> {
  const { seq } = await findDelivery(ctx, webhook, id);
  await ctx.writer.write({ replayed: store.replayDelivery(seq) });
  ctx.signals.emit("webhooks", undefined);
  return getDelivery(ctx, webhook, seq);
}

/**
 * Sends all events since a time that the endpoint subscribes to again, also those that it was never sent; with
 * `onlyFailed`, only deliveries that have failed or wait for a retry. Returns how many.
 */
export async function replaySince(
  ctx: Context,
  webhook: Webhook,
  { since, onlyFailed }: { since: number; onlyFailed: boolean },
): Promise<number> {
  const again = await replayKnown(ctx, webhook.seq, since, onlyFailed);
  const missed = onlyFailed ? 0 : await addMissed(ctx, webhook, since);
  ctx.signals.emit("webhooks", undefined);
  return again + missed;
}

async function replayKnown(
  ctx: Context,
  webhook: number,
  since: number,
  onlyFailed: boolean,
): Promise<number> {
  let count = 0;
  for (let after = 0; ;) {
    const page = { since, onlyFailed, after, limit: AT_ONCE };
    const { replayed } = await ctx.writer.write({ replayed: store.replaySome(webhook, page) });
    const { rows } = replayed;
    count += rows.length;
    if (rows.length < AT_ONCE) return count;
    after = Math.max(...rows.map(({ seq }) => seq));
  }
}

async function addMissed(ctx: Context, webhook: Webhook, since: number): Promise<number> {
  const types = typesTakenBy(webhook);
  let count = 0;
  for (let at = await findIdBefore(ctx.longReads.client, since); at < webhook.cursor;) {
    const { events, upTo } = await readEvents(ctx.longReads.client, at, webhook.cursor, AT_ONCE);
    const wanted = events.filter((event) => event.at >= since);
    const shown = await shownBatches(ctx.longReads.client, [webhook], wanted);
    const rows = wanted.flatMap((event) => toDelivery(webhook, types, shown, event) ?? []);
    const { added } = await ctx.writer.write({
      added: store.insertDeliveries(rows, { isReplay: true }),
    });
    count += added.changed;
    at = upTo;
  }
  return count;
}

/** The types that a webhook's pattern matches. Progress comes twice a second, so only its own name matches it. */
export function webhookTypes(pattern: string) {
  const types = typesOf(pattern, EVENT_TYPES);
  return pattern.endsWith("*") ? types.filter((type) => type !== "batch.progress") : types;
}

/** The types of events that an endpoint subscribes to, in its own dialect. */
export function typesTakenBy({ isOpenAi, events }: Webhook): ReadonlySet<string> {
  return new Set<string>(isOpenAi ? events : events.flatMap(webhookTypes));
}

/**
 * If one of these endpoints was created through `/v1`: the batches of these events that `/v1` shows, which are those
 * from files.
 */
export async function shownBatches(
  client: Pick<Context["client"], "execute">,
  webhooks: readonly Webhook[],
  events: readonly LoggedEvent[],
): Promise<ReadonlySet<string>> {
  const ended = webhooks.some(({ isOpenAi }) => isOpenAi)
    ? events.flatMap(({ type, batch }) => (openAiTypesFor(type).length > 0 ? (batch ?? []) : []))
    : [];
  return new Set(
    ended.length > 0 ? (await readRows(client, fileBatches(ended))).map(({ id }) => id) : [],
  );
}

/**
 * The delivery of an event to an endpoint, if the endpoint subscribes to its type. One that was created through `/v1`
 * gets only what `/v1` shows.
 */
export function toDelivery(
  webhook: Webhook,
  types: ReadonlySet<string>,
  shown: ReadonlySet<string>,
  event: LoggedEvent,
): store.NewDelivery | undefined {
  const { id, task, batch, at, trace } = event;
  const type = webhook.isOpenAi ? openAiTypeOf(event) : event.type;
  if (type === null || !types.has(type)) return undefined;
  const row = { webhook: webhook.seq, event: id, type, task, batch, at, trace };
  if (!webhook.isOpenAi) return { ...row, body: toEventBody(event) };
  if (batch === null || !shown.has(batch)) return undefined;
  return {
    ...row,
    body: openAiEventBody({ id: messageId(webhook, { event: id, at }), type, at, batch }),
  };
}
