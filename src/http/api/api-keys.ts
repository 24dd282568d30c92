import { z } from "@hono/zod-openapi";

import { SCOPES } from "../../domain/scope.ts";
import { Name } from "../../domain/text.ts";
import * as service from "../../services/api-keys.ts";
import { answerResource, resource } from "../etag.ts";
import { failures } from "../failures.ts";
import { flag, nameOrTime, pageQuery, Pagination, pagination, toPage } from "../paging.ts";
import { route } from "../route.ts";
import {
  createRouter,
  done,
  json,
  needs,
  optionalBody,
  orElse,
  requiredBody,
  success,
  successOnly,
  Time,
  toIso,
  toIsoOrNull,
} from "../router.ts";

const KeyId = z.string().min(1).max(100).openapi({ example: "key-01k9z3v7q2m0c8x4t5r6w7y8z9" });
const Params = z.object({ id: KeyId.openapi({ param: { name: "id", in: "path" } }) });

const DEFAULT_OVERLAP_SECONDS = 86_400;
const LONGEST_OVERLAP_SECONDS = 30 * 86_400;

const Usage = z
  .object({
    tasks: z.number().int().openapi({ description: "Runs of its tasks that have ended" }),
    promptTokens: z.number().int(),
    completionTokens: z.number().int(),
    costUsd: z.number(),
  })
  .openapi("ApiKeyUsage");

const Scope = z.enum(SCOPES).openapi("Scope");

const Fields = {
  name: Name,
  scopes: z
    .array(Scope)
    .min(1)
    .max(SCOPES.length)
    .openapi({ description: "`admin` includes `write`, `write` includes `read`" }),
  expiresAt: z.iso
    .datetime({ offset: true })
    .transform((text) => Date.parse(text))
    .nullish()
    .openapi({ description: "Null: never" }),
  rateLimitPerMinute: z
    .number()
    .int()
    .min(0)
    .max(10_000_000)
    .nullish()
    .openapi({ description: "Null: RATE_LIMIT_PER_MINUTE; 0: no limit" }),
  monthlyBudgetUsd: z.number().min(0).max(1_000_000_000).nullish().openapi({
    description:
      "The most that the runs that it requests may cost in a calendar month (UTC), even if other keys created the tasks",
  }),
};

const KeyCreation = z
  .strictObject({ ...Fields, scopes: orElse(Fields.scopes, ["read", "write"]) })
  .openapi("ApiKeyCreation", { example: { name: "Nightly import", scopes: ["read", "write"] } });

const KeyPatch = z
  .strictObject({ ...Fields, name: Fields.name.optional(), scopes: Fields.scopes.optional() })
  .openapi("ApiKeyUpdate");

export const KeyBody = z
  .object({
    id: z.string(),
    name: z.string(),
    prefix: z.string().openapi({ description: "How the key begins; empty for a short one" }),
    scopes: z.array(Scope),
    origin: z.enum(["environment", "first-start", "api"]),
    createdAt: Time,
    expiresAt: Time.nullable(),
    revokedAt: Time.nullable(),
    lastUsedAt: Time.nullable().openapi({ description: "To the minute" }),
    previousKeyExpiresAt: Time.nullable().openapi({
      description: "Until when the secret that the last rotation replaced is valid",
    }),
    rateLimitPerMinute: z.number().int().nullable(),
    monthlyBudgetUsd: z.number().nullable(),
    usage: z.object({ month: Usage, total: Usage }).openapi("ApiKeyUsages"),
  })
  .openapi("ApiKey");

export const KeyWithSecret = KeyBody.extend({
  key: z.string().openapi({ description: "The key itself, shown this once" }),
}).openapi("ApiKeyWithSecret");

const create = route({
  operationId: "createApiKey",
  method: "post",
  path: "/api-keys",
  tags: ["keys"],
  summary: "Create an API key",
  description: "The answer is the only time that the key can be read; only its hash is stored.",
  ...needs("admin"),
  request: {
    body: requiredBody(KeyCreation),
  },
  responses: { 201: json(KeyWithSecret, "The new key") },
});

const list = route({
  operationId: "listApiKeys",
  method: "get",
  path: "/api-keys",
  tags: ["keys"],
  summary: "List API keys",
  ...needs("admin"),
  request: {
    query: z.strictObject({
      includeRevoked: flag("Include revoked keys"),
      ...pageQuery(["createdAt", "name"]),
    }),
  },
  responses: {
    200: json(
      z.object({ keys: z.array(KeyBody), pagination: Pagination }).openapi("ApiKeyPage"),
      "One page of keys, without the keys themselves",
    ),
  },
});

const get = route({
  operationId: "getApiKey",
  method: "get",
  path: "/api-keys/{id}",
  tags: ["keys"],
  summary: "Get an API key and its usage",
  ...needs("admin"),
  request: { params: Params },
  responses: { ...resource(KeyBody, "The key, without the key itself"), ...failures(404) },
});

const patch = route({
  operationId: "updateApiKey",
  method: "patch",
  path: "/api-keys/{id}",
  tags: ["keys"],
  summary: "Change the name, scopes, expiry or limits of an API key",
  ...needs("admin"),
  request: {
    params: Params,
    body: optionalBody(KeyPatch),
  },
  responses: { 200: json(KeyBody, "The changed key"), ...failures(404, 409) },
});

const rotate = route({
  operationId: "rotateApiKey",
  method: "post",
  path: "/api-keys/{id}/rotate",
  tags: ["keys"],
  summary: "Replace the secret of an API key",
  description:
    "Id, scopes, limits and usage stay. The old secret stays valid for `overlapSeconds` (a day " +
    "unless given; 0 ends it at once); one that an earlier rotation replaced does not.",
  ...needs("admin"),
  request: {
    params: Params,
    body: optionalBody(
      z
        .strictObject({
          overlapSeconds: z.number().int().min(0).max(LONGEST_OVERLAP_SECONDS).optional(),
        })
        .openapi("ApiKeyRotation"),
    ),
  },
  responses: {
    200: json(KeyWithSecret, "The key with its new secret"),
    ...failures(404, 409),
  },
});

const revoke = route({
  operationId: "deleteApiKey",
  method: "delete",
  path: "/api-keys/{id}",
  tags: ["keys"],
  summary: "Revoke an API key",
  description:
    "At once in the process that answers, within five seconds in others. What the key has created stays.",
  ...needs("admin"),
  request: { params: Params },
  responses: { 200: done("The key is no longer valid"), ...failures(404, 409) },
});

export const keyRoutes = createRouter()
  .openapi(create, async (c) => {
    const { secret, record } = await service.createKey(c.var.ctx, c.req.valid("json"));
    return c.json(success(c, { ...toBody(record), key: secret }, "API key created"), 201);
  })
  .openapi(list, async (c) => {
    const query = c.req.valid("query");
    const { keys, total } = await service.listKeys(c.var.ctx, query, toPage(query));
    const keyOf = nameOrTime(query.sort);
    return c.json(
      success(c, {
        keys: keys.map(toBody),
        pagination: pagination(query, total, keys, ({ key }) => keyOf(key)),
      }),
      200,
    );
  })
  .openapi(get, async (c) => {
    const record = await service.getKey(c.var.ctx, c.req.valid("param").id);
    return answerResource(c, toBody(record));
  })
  .openapi(patch, async (c) => {
    const { id } = c.req.valid("param");
    const record = await service.updateKey(c.var.ctx, id, c.req.valid("json"));
    return c.json(success(c, toBody(record), "API key updated"), 200);
  })
  .openapi(rotate, async (c) => {
    const { overlapSeconds = DEFAULT_OVERLAP_SECONDS } = c.req.valid("json");
    const { id } = c.req.valid("param");
    const { secret, record } = await service.rotateKey(c.var.ctx, id, overlapSeconds * 1000);
    return c.json(success(c, { ...toBody(record), key: secret }, "API key rotated"), 200);
  })
  .openapi(revoke, async (c) => {
    await service.revokeKey(c.var.ctx, c.req.valid("param").id);
    return c.json(successOnly(c, "API key revoked"), 200);
  });

function toBody({ key, month, total }: service.KeyRecord): z.infer<typeof KeyBody> {
  const toUsage = ({ tasks, promptTokens, completionTokens, costUsd }: typeof month) => ({
    tasks,
    promptTokens,
    completionTokens,
    costUsd,
  });
  return {
    id: key.id,
    name: key.name,
    prefix: key.prefix,
    scopes: key.scopes,
    origin: key.origin,
    createdAt: toIso(key.createdAt),
    expiresAt: toIsoOrNull(key.expiresAt),
    revokedAt: toIsoOrNull(key.revokedAt),
    lastUsedAt: toIsoOrNull(key.lastUsedAt),
    previousKeyExpiresAt: toIsoOrNull(key.previousExpiresAt),
    rateLimitPerMinute: key.rateLimitPerMinute,
    monthlyBudgetUsd: key.monthlyBudgetUsd,
    usage: { month: toUsage(month), total: toUsage(total) },
  };
}
