import { z } from "@hono/zod-openapi";

import { EVENT_TYPES, WEBHOOK_TEST } from "../../domain/event.ts";
import { OPENAI_EVENT_TYPES } from "../../domain/openai-event.ts";
import { allows } from "../../domain/scope.ts";
import type { Json } from "../../lib/json.ts";
import { isJsonObject, parseJson } from "../../lib/json.ts";
import type { Caller } from "../../services/caller.ts";
import * as service from "../../services/deliveries.ts";
import { messageId } from "../../services/webhook-message.ts";
import { getWebhook } from "../../services/webhooks.ts";
import { answerResource, resource } from "../etag.ts";
import { failures } from "../failures.ts";
import { Moment, PAGE_AND_LIMIT, Pagination, pagination, toPage } from "../paging.ts";
import { route } from "../route.ts";
import {
  createRouter,
  json,
  needs,
  requiredBody,
  success,
  Time,
  toIso,
  toIsoOrNull,
} from "../router.ts";

const STATUSES = ["pending", "delivered", "failed"] as const;
/** What webhooks of both dialects get. */
const DELIVERY_TYPES = [...new Set([...EVENT_TYPES, ...OPENAI_EVENT_TYPES, WEBHOOK_TEST])];
const DeliveryStatus = z.enum(STATUSES).openapi("WebhookDeliveryStatus");

const Attempt = z
  .object({
    at: Time,
    status: z.number().int().nullable(),
    latencyMs: z.number().int(),
    error: z.string().nullable(),
  })
  .openapi("WebhookDeliveryAttempt");

export const DeliveryBody = z
  .object({
    id: z.string(),
    messageId: z.string().openapi({ description: "Its `webhook-id`" }),
    eventId: z.number().int().nullable().openapi({ description: "The event's number in the log" }),
    type: z.string(),
    status: DeliveryStatus,
    attempts: z.array(Attempt),
    responseStatus: z.number().int().nullable(),
    latencyMs: z.number().int().nullable(),
    error: z.string().nullable(),
    response: z
      .string()
      .nullable()
      .openapi({
        description:
          "The first kilobyte of the last answer; none from private addresses, and none for keys that " +
          "may only read: many servers repeat the address that was asked for, which can be a secret",
      }),
    payload: z.unknown(),
    eventAt: Time,
    nextAttemptAt: Time.nullable(),
    completedAt: Time.nullable(),
  })
  .openapi("WebhookDelivery");

const Params = z.object({ id: z.string().max(100) });
const DeliveryParams = Params.extend({
  deliveryId: z.string().openapi({ example: "dlv-000000001" }),
});

const list = route({
  operationId: "listWebhookDeliveries",
  method: "get",
  path: "/webhooks/{id}/deliveries",
  tags: ["webhooks"],
  summary: "List the deliveries of a webhook, the latest first",
  ...needs("read"),
  request: {
    params: Params,
    query: z.strictObject({
      status: DeliveryStatus.optional(),
      type: z.enum(DELIVERY_TYPES).optional(),
      since: Moment.optional(),
      ...PAGE_AND_LIMIT,
    }),
  },
  responses: {
    200: json(
      z
        .object({ deliveries: z.array(DeliveryBody), pagination: Pagination })
        .openapi("WebhookDeliveryPage"),
      "One page",
    ),
    ...failures(404),
  },
});

const get = route({
  operationId: "getWebhookDelivery",
  method: "get",
  path: "/webhooks/{id}/deliveries/{deliveryId}",
  tags: ["webhooks"],
  summary: "Get one delivery and its attempts",
  ...needs("read"),
  request: { params: DeliveryParams },
  responses: { ...resource(DeliveryBody, "The delivery"), ...failures(404) },
});

const replay = route({
  operationId: "replayWebhookDelivery",
  method: "post",
  path: "/webhooks/{id}/deliveries/{deliveryId}/replay",
  tags: ["webhooks"],
  summary: "Send one delivery again",
  description: "With the same `webhook-id`, and with all its retries.",
  ...needs("write"),
  request: { params: DeliveryParams },
  responses: { 200: json(DeliveryBody, "The delivery, pending"), ...failures(404) },
});

const replayAll = route({
  operationId: "replayWebhook",
  method: "post",
  path: "/webhooks/{id}/replay",
  tags: ["webhooks"],
  summary: "Send everything since a time again",
  description:
    "All events since then that the webhook subscribes to, also those from before it was created; with " +
    "`onlyFailed` only deliveries that have failed or wait for a retry. They share the " +
    "endpoint with new events, which go first.",
  ...needs("write"),
  request: {
    params: Params,
    body: requiredBody(
      z
        .strictObject({
          since: z.iso.datetime({ offset: true }).openapi({ example: "2025-01-01T00:00:00.000Z" }),
          onlyFailed: z.boolean().optional(),
        })
        .openapi("WebhookReplay"),
    ),
  },
  responses: {
    200: json(
      z.object({ deliveries: z.number().int() }).openapi("WebhookReplayed"),
      "How many are sent again",
    ),
    ...failures(404),
  },
});

export const deliveryRoutes = createRouter()
  .openapi(list, async (c) => {
    const { ctx } = c.var;
    const { status, type, since, ...rest } = c.req.valid("query");
    const query = { ...rest, sort: "createdAt", order: "desc" as const };
    const webhook = await getWebhook(ctx, c.req.valid("param").id);
    const { deliveries, total } = await service.listDeliveries(
      ctx,
      webhook,
      { status, type, since },
      toPage(query),
    );
    return c.json(
      success(c, {
        deliveries: deliveries.map((delivery) => toDeliveryBody(delivery, webhook, c.var.caller)),
        pagination: pagination(query, total, deliveries, ({ at, seq }) => [at, seq]),
      }),
      200,
    );
  })
  .openapi(get, async (c) => {
    const { id, deliveryId } = c.req.valid("param");
    const webhook = await getWebhook(c.var.ctx, id);
    const delivery = await service.findDelivery(c.var.ctx, webhook, deliveryId);
    return answerResource(c, toDeliveryBody(delivery, webhook, c.var.caller));
  })
  .openapi(replay, async (c) => {
    const { id, deliveryId } = c.req.valid("param");
    const webhook = await getWebhook(c.var.ctx, id);
    const delivery = await service.replayDelivery(c.var.ctx, webhook, deliveryId);
    return c.json(
      success(c, toDeliveryBody(delivery, webhook, c.var.caller), "It is sent again"),
      200,
    );
  })
  .openapi(replayAll, async (c) => {
    const { since, onlyFailed = false } = c.req.valid("json");
    const webhook = await getWebhook(c.var.ctx, c.req.valid("param").id);
    const deliveries = await service.replaySince(c.var.ctx, webhook, {
      since: Date.parse(since),
      onlyFailed,
    });
    return c.json(success(c, { deliveries }), 200);
  });

export function toDeliveryBody(
  delivery: service.DeliveryRecord,
  webhook: { id: string },
  caller: Caller,
): z.infer<typeof DeliveryBody> {
  const log = parseJson(delivery.log ?? "[]");
  return {
    id: service.deliveryId(delivery),
    messageId: messageId(webhook, delivery),
    eventId: delivery.event,
    type: delivery.type,
    status: delivery.status,
    attempts: (Array.isArray(log) ? log : []).map(toAttempt),
    responseStatus: delivery.responseStatus,
    latencyMs: delivery.latencyMs,
    error: delivery.error,
    response: allows(caller.scopes, "write") ? delivery.snippet : null,
    payload: parseJson(delivery.body),
    eventAt: toIso(delivery.at),
    nextAttemptAt: toIsoOrNull(delivery.nextAt),
    completedAt: toIsoOrNull(delivery.completedAt),
  };
}

function toAttempt(entry: Json): z.infer<typeof Attempt> {
  const reported = isJsonObject(entry) ? entry : {};
  const number = (key: string) => (typeof reported[key] === "number" ? reported[key] : null);
  return {
    at: toIso(number("at") ?? 0),
    status: number("status"),
    latencyMs: number("latencyMs") ?? 0,
    error: typeof reported["error"] === "string" ? reported["error"] : null,
  };
}
