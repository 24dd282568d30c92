import { Hono } from "hono";

import type { Context } from "../../context.ts";
import { OPENAI_EVENT_TYPES } from "../../domain/openai-event.ts";
import { WebhookDescription } from "../../domain/text.ts";
import { problemsIn } from "../../lib/zod-issues.ts";
import { badParam } from "../../services/openai-refusal.ts";
import * as endpoints from "../../services/openai-webhooks.ts";
import * as service from "../../services/webhooks.ts";
import type { Webhook } from "../../store/webhooks.ts";
import { type AppEnv, needs } from "../router.ts";
import {
  afterOf,
  fieldsOf,
  limitOf,
  listOf,
  missing,
  seconds,
  unknownValue,
  wrongType,
} from "./query.ts";

const KEEPS = "keep_old_secret_active_for_24_hours";

/** Endpoints that get OpenAI's events in OpenAI's format, from the same courier as other webhooks. */
export const openAiWebhookRoutes = new Hono<AppEnv>()
  .get("/webhook_event_types", needs("read").middleware, (c) =>
    c.json({ object: "list", data: OPENAI_EVENT_TYPES }, 200),
  )
  .post("/webhook_endpoints", needs("write").middleware, async (c) => {
    const { ctx, caller } = c.var;
    const { url, name, events } = readEndpoint(c.get("body").value);
    if (url === undefined) throw missing("url");
    if (name === undefined) throw missing("name");
    if (events === undefined) throw missing("event_types");
    const draft = { url, events, description: name, isOpenAi: true };
    const { webhook, secret } = await service.createWebhook(ctx, caller, draft);
    c.set("answeredId", webhook.id);
    return c.json({ ...(await toBody(ctx, webhook)), signing_secret: secret }, 200);
  })
  .get("/webhook_endpoints", needs("write").middleware, async (c) => {
    const { ctx } = c.var;
    const query = c.req.query();
    const { webhooks, hasMore } = await endpoints.listEndpoints(ctx, {
      after: afterOf(query),
      limit: limitOf(query, { most: 100, usual: 20 }),
    });
    const data = await Promise.all(webhooks.map((webhook) => toBody(ctx, webhook)));
    return c.json(listOf(data, hasMore), 200);
  })
  .get("/webhook_endpoints/:id", needs("write").middleware, async (c) => {
    const { ctx } = c.var;
    const webhook = await endpoints.requireOpenAiWebhook(ctx, c.req.param("id"));
    return c.json(await toBody(ctx, webhook), 200);
  })
  .post("/webhook_endpoints/:id", needs("write").middleware, async (c) => {
    const { ctx } = c.var;
    const { id } = await endpoints.requireOpenAiWebhook(ctx, c.req.param("id"));
    const { url, name, events } = readEndpoint(c.get("body").value);
    const webhook = await service.updateWebhook(ctx, id, { url, events, description: name });
    return c.json(await toBody(ctx, webhook), 200);
  })
  .delete("/webhook_endpoints/:id", needs("write").middleware, async (c) => {
    const { ctx } = c.var;
    const { id } = await endpoints.requireOpenAiWebhook(ctx, c.req.param("id"));
    await service.deleteWebhook(ctx, id);
    return c.json({ id, object: "webhook_endpoint.deleted", deleted: true }, 200);
  })
  .post("/webhook_endpoints/:id/rotate_secret", needs("write").middleware, async (c) => {
    const { ctx } = c.var;
    const { id } = await endpoints.requireOpenAiWebhook(ctx, c.req.param("id"));
    const given = fieldsOf(c.get("body").value, [KEEPS]);
    const keeps = given[KEEPS] ?? false;
    if (typeof keeps !== "boolean") throw wrongType(KEEPS, "a boolean", keeps);
    const made = await service.rotateSecret(ctx, id, undefined, keeps ? undefined : 0);
    return c.json({ ...(await toBody(ctx, made.webhook)), signing_secret: made.secret }, 200);
  })
  .post("/webhook_endpoints/:id/test", needs("write").middleware, async (c) => {
    const { ctx } = c.var;
    const id = c.req.param("id");
    const given = fieldsOf(c.get("body").value, ["event_type"])["event_type"];
    if (given === undefined || given === null) throw missing("event_type");
    const type = typeIn(given, "event_type");
    const status = await endpoints.testEndpoint(ctx, id, type);
    return c.json(
      {
        object: "webhook_endpoint.test",
        event_type: type,
        status_code: status,
        success: true,
        webhook_endpoint_id: id,
      },
      200,
    );
  });

function readEndpoint(body: unknown) {
  const { url, name, event_types: types } = fieldsOf(body, ["url", "name", "event_types"]);
  for (const [param, value] of Object.entries({ url, name }))
    if (value !== undefined && typeof value !== "string") throw wrongType(param, "a string", value);
  const named = WebhookDescription.safeParse(name ?? "");
  if (!named.success) throw badParam("name", `Invalid 'name': ${problemsIn(named.error.issues)}.`);
  if (types !== undefined && (!Array.isArray(types) || types.length === 0))
    throw wrongType("event_types", "an array with one event type or more", types);
  return {
    url: url as string | undefined,
    name: name as string | undefined,
    events:
      types === undefined
        ? undefined
        : [...new Set(types.map((type) => typeIn(type, "event_types")))],
  };
}

function typeIn(given: unknown, param: string): string {
  const known = OPENAI_EVENT_TYPES.find((type) => type === given);
  if (!known) throw unknownValue(param, given, OPENAI_EVENT_TYPES);
  return known;
}

async function toBody(ctx: Context, webhook: Webhook) {
  return {
    id: webhook.id,
    object: "webhook_endpoint" as const,
    name: webhook.description ?? "",
    url: webhook.url,
    event_types: webhook.events,
    signing_secret_hint: await endpoints.hintOf(ctx, webhook),
    created_at: seconds(webhook.createdAt),
    updated_at: seconds(webhook.updatedAt),
  };
}
