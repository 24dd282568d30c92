import { z } from "@hono/zod-openapi";

import { LIST_DATE, LIST_SOURCE } from "../../domain/price-list/list.ts";
import { type KnownModel, listModelsOf } from "../../services/models.ts";
import { route } from "../route.ts";
import { createRouter, json, needs, orNull, success } from "../router.ts";

const dollars = z.number().openapi({ description: "USD per million tokens" });
const RateFields = {
  input: dollars,
  cachedInput: dollars.optional(),
  cacheWrite: dollars.optional(),
  output: dollars,
  reasoning: dollars.optional(),
};

const PriceBody = z
  .object({
    ...RateFields,
    steps: z
      .array(z.object({ above: z.number().int(), ...RateFields }).openapi("ModelPriceStep"))
      .optional()
      .openapi({ description: "For the whole request if its prompt has more tokens" }),
    tiers: z
      .record(z.string(), z.number())
      .optional()
      .openapi({ description: "Prices of other service tiers, as a share of this one" }),
    source: z.string().openapi({ description: "`configuration`, or the source of the list" }),
    date: z.string().nullable().openapi({ description: "Day of the list", example: "2026-09-23" }),
  })
  .openapi("ModelPrice");

export const ModelBody = z
  .object({
    id: z.string(),
    provider: z.string(),
    isListed: z.boolean().openapi({ description: "The provider itself lists it" }),
    contextSize: z.number().int().nullable().openapi({ description: "Tokens" }),
    /** Null if it is unknown. */
    price: orNull(PriceBody),
  })
  .openapi("Model");

/** The built-in list of prices. */
export const PriceList = z.object({ source: z.string(), date: z.string() }).openapi("PriceList", {
  description:
    "The built-in list of prices. One older than 90 days is among the reasons of the status",
});

const list = route({
  operationId: "listModels",
  method: "get",
  path: "/models",
  tags: ["status"],
  summary: "List the known models, with their providers and prices",
  description:
    "The models that the providers list and the configuration names. Others can be used, too, unless `ALLOWED_MODELS` " +
    "or the patterns of the providers forbid it.",
  ...needs("read"),
  request: { query: z.strictObject({ provider: z.string().max(50).optional() }) },
  responses: {
    200: json(
      z.object({ models: z.array(ModelBody), priceList: PriceList }).openapi("KnownModels"),
      "The models, in the order of the providers",
    ),
  },
});

export const modelRoutes = createRouter().openapi(list, async (c) => {
  const models = await listModelsOf(c.var.ctx, c.req.valid("query").provider);
  const priceList = { source: LIST_SOURCE, date: LIST_DATE };
  return c.json(success(c, { models: models.map(toBody), priceList }), 200);
});

function toBody(model: KnownModel): z.infer<typeof ModelBody> {
  const { id, provider, isListed, contextSize, price: tag } = model;
  const known = { id, provider, isListed, contextSize };
  if (tag === null) return { ...known, price: null };
  const { price, source, date } = tag;
  return { ...known, price: PriceBody.parse({ ...price, source, date }) };
}
