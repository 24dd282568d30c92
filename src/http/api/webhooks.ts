import { z } from "@hono/zod-openapi";

import { EVENT_TYPES, unknownType } from "../../domain/event.ts";
import { allows } from "../../domain/scope.ts";
import { textOf, WebhookDescription } from "../../domain/text.ts";
import type { Caller } from "../../services/caller.ts";
import { webhookTypes } from "../../services/deliveries.ts";
import * as service from "../../services/webhooks.ts";
import { answerResource, resource } from "../etag.ts";
import { failures } from "../failures.ts";
import { pageQuery, Pagination, pagination, toPage } from "../paging.ts";
import { route } from "../route.ts";
import {
  createRouter,
  done,
  json,
  needs,
  optionalBody,
  requiredBody,
  success,
  successOnly,
  Time,
  toIso,
  toIsoOrNull,
} from "../router.ts";
import { DeliveryBody, toDeliveryBody } from "./webhook-deliveries.ts";

const WebhookId = z.string().max(100).openapi({ example: "wh-01k9z3v7q2m0c8x4t5r6w7y8z9" });
const WebhookParams = z.object({ id: WebhookId });

const EventPattern = z
  .string()
  .max(100)
  .refine((pattern) => webhookTypes(pattern).length > 0, {
    error: ({ input }) => unknownType(input, EVENT_TYPES),
  });

const Fields = {
  url: z.string().min(1).max(2000).openapi({ example: "https://your-app.com/webhook" }),
  events: z
    .array(EventPattern)
    .min(1)
    .max(50)
    .openapi({ description: `Types of events, or patterns: ${EVENT_TYPES.join(", ")}` }),
  description: WebhookDescription.nullable().optional(),
};

const Secret = textOf({ least: 8, most: 500 }).openapi({
  description:
    "`whsec_` and base64, or any text, whose bytes then sign; without one, the server creates one",
});

const WebhookCreation = z
  .strictObject({ ...Fields, secret: Secret.optional() })
  .openapi("WebhookCreation", {
    example: {
      url: "https://your-app.com/webhook",
      events: ["task.completed", "batch.finished", "system.alert"],
      secret: "your-webhook-secret",
    },
  });

const WebhookPatch = z
  .strictObject({
    url: Fields.url.optional(),
    events: Fields.events.optional(),
    description: Fields.description,
    isActive: z.boolean().optional(),
  })
  .openapi("WebhookUpdate");

export const WebhookBody = z
  .object({
    id: z.string(),
    url: z.string().openapi({
      description:
        "For keys with the scope `read` its path and query are `…`, because they can be a secret",
    }),
    events: z.array(z.string()),
    description: z.string().nullable(),
    isActive: z.boolean(),
    disabledReason: z.string().nullable(),
    failingSince: Time.nullable().openapi({ description: "Since when no attempt has succeeded" }),
    createdAt: Time,
    updatedAt: Time,
  })
  .openapi("Webhook");

export const WebhookWithSecret = WebhookBody.extend({
  secret: z.string().openapi({ description: "Shown this once" }),
}).openapi("WebhookWithSecret");

const ABOUT =
  `Events are posted as \`{type, timestamp, data}\` and signed as Standard Webhooks has it: \`webhook-id\`
(the same over all attempts, so that a receiver can recognise repeats), \`webhook-timestamp\`, \`webhook-signature\`.
Anything but a 2xx within 15 s is a failure, redirects too, and is retried after 5 s, 5 min, 30 min, 2 h, 5 h,
10 h, 14 h, 20 h and 24 h, later where \`Retry-After\` asks for it. Each event is delivered at least once. What
is about one task comes in order, and a batch's own events after those of its tasks; an event that is refused
holds the next one up by one attempt. 410 disables the webhook, and so does failing for the whole time.
\`batch.finished\` means \`batch.completed\`; \`*\` and \`task.*\` are patterns; \`batch.progress\` comes only where it
is named. Private, loopback, link-local and metadata addresses are refused, unless WEBHOOK_ALLOWED_HOSTS has the host.`.replaceAll(
    "\n",
    " ",
  );

const create = route({
  operationId: "createWebhook",
  method: "post",
  path: "/webhooks",
  tags: ["webhooks"],
  summary: "Create a webhook",
  description: ABOUT,
  ...needs("write"),
  request: {
    body: requiredBody(WebhookCreation),
  },
  responses: { 201: json(WebhookWithSecret, "The new webhook with its secret"), ...failures(409) },
});

const list = route({
  operationId: "listWebhooks",
  method: "get",
  path: "/webhooks",
  tags: ["webhooks"],
  summary: "List webhooks",
  ...needs("read"),
  request: { query: z.strictObject(pageQuery(["createdAt"])) },
  responses: {
    200: json(
      z.object({ webhooks: z.array(WebhookBody), pagination: Pagination }).openapi("WebhookPage"),
      "One page",
    ),
  },
});

const get = route({
  operationId: "getWebhook",
  method: "get",
  path: "/webhooks/{id}",
  tags: ["webhooks"],
  summary: "Get a webhook",
  ...needs("read"),
  request: { params: WebhookParams },
  responses: { ...resource(WebhookBody, "The webhook"), ...failures(404) },
});

const patch = route({
  operationId: "updateWebhook",
  method: "patch",
  path: "/webhooks/{id}",
  tags: ["webhooks"],
  summary: "Change a webhook",
  description:
    "A webhook that becomes active again continues where it was: it gets the events since then, as far as " +
    "the event log goes back (RETENTION_DAYS).",
  ...needs("write"),
  request: {
    params: WebhookParams,
    body: optionalBody(WebhookPatch),
  },
  responses: { 200: json(WebhookBody, "The changed webhook"), ...failures(404) },
});

const remove = route({
  operationId: "deleteWebhook",
  method: "delete",
  path: "/webhooks/{id}",
  tags: ["webhooks"],
  summary: "Delete a webhook and the record of its deliveries",
  ...needs("write"),
  request: { params: WebhookParams },
  responses: { 200: done("The webhook was deleted"), ...failures(404) },
});

const rotate = route({
  operationId: "rotateWebhookSecret",
  method: "post",
  path: "/webhooks/{id}/rotate-secret",
  tags: ["webhooks"],
  summary: "Give a webhook a new secret",
  description: "For 24 hours both secrets sign: `webhook-signature` has two signatures.",
  ...needs("write"),
  request: {
    params: WebhookParams,
    body: optionalBody(
      z.strictObject({ secret: Secret.optional() }).openapi("WebhookSecretRotation"),
    ),
  },
  responses: {
    200: json(WebhookWithSecret, "The webhook with its new secret"),
    ...failures(404),
  },
});

const test = route({
  operationId: "testWebhook",
  method: "post",
  path: "/webhooks/{id}/test",
  tags: ["webhooks"],
  summary: "Send a `webhook.test` message now and return the outcome",
  ...needs("write"),
  request: { params: WebhookParams },
  responses: { 200: json(DeliveryBody, "The outcome"), ...failures(404) },
});

export const webhookRoutes = createRouter()
  .openapi(create, async (c) => {
    const made = await service.createWebhook(c.var.ctx, c.var.caller, c.req.valid("json"));
    const data = { ...toBody(made.webhook, c.var.caller), secret: made.secret };
    return c.json(success(c, data, "Webhook created successfully"), 201);
  })
  .openapi(list, async (c) => {
    const query = c.req.valid("query");
    const { webhooks, total } = await service.listWebhooks(c.var.ctx, toPage(query));
    return c.json(
      success(c, {
        webhooks: webhooks.map((webhook) => toBody(webhook, c.var.caller)),
        pagination: pagination(query, total, webhooks, ({ createdAt, seq }) => [createdAt, seq]),
      }),
      200,
    );
  })
  .openapi(get, async (c) => {
    const webhook = await service.getWebhook(c.var.ctx, c.req.valid("param").id);
    return answerResource(c, toBody(webhook, c.var.caller));
  })
  .openapi(patch, async (c) => {
    const { id } = c.req.valid("param");
    const webhook = await service.updateWebhook(c.var.ctx, id, c.req.valid("json"));
    return c.json(success(c, toBody(webhook, c.var.caller), "Webhook updated successfully"), 200);
  })
  .openapi(remove, async (c) => {
    await service.deleteWebhook(c.var.ctx, c.req.valid("param").id);
    return c.json(successOnly(c, "Webhook deleted successfully"), 200);
  })
  .openapi(rotate, async (c) => {
    const { id } = c.req.valid("param");
    const made = await service.rotateSecret(c.var.ctx, id, c.req.valid("json").secret);
    return c.json(
      success(c, { ...toBody(made.webhook, c.var.caller), secret: made.secret }, "Secret rotated"),
      200,
    );
  })
  .openapi(test, async (c) => {
    const { id } = c.req.valid("param");
    const delivery = await service.testWebhook(c.var.ctx, id);
    return c.json(success(c, toDeliveryBody(delivery, { id }, c.var.caller)), 200);
  });

function toBody(
  webhook: Awaited<ReturnType<typeof service.getWebhook>>,
  caller: Caller,
): z.infer<typeof WebhookBody> {
  const { id, url, events, description, isActive, disabledReason } = webhook;
  return {
    id,
    url: allows(caller.scopes, "write") ? url : maskUrl(url),
    events,
    description,
    isActive,
    disabledReason,
    failingSince: toIsoOrNull(webhook.failingSince),
    createdAt: toIso(webhook.createdAt),
    updatedAt: toIso(webhook.updatedAt),
  };
}

/** Some URLs, such as those of Slack, are secrets: anybody who has one may post to it. */
function maskUrl(url: string): string {
  return URL.canParse(url) ? `${new URL(url).origin}/…` : "…";
}
