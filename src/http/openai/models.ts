import { Hono } from "hono";

import { type KnownModel, listModels } from "../../services/models.ts";
import { type AppEnv, needs } from "../router.ts";
import { noSuchModel } from "./live.ts";

/** https://platform.openai.com/docs/api-reference/models: the models that the providers list or are configured for. */
export const openAiModelRoutes = new Hono<AppEnv>()
  .get("/models", needs("read").middleware, async (c) => {
    const models = await listModels(c.var.ctx);
    const first = new Map(models.toReversed().map((model) => [model.id, model]));
    return c.json({ object: "list", data: [...first.values()].toReversed().map(toBody) }, 200);
  })
  // Names of models may contain slashes, such as `meta-llama/llama-3`.
  .get("/models/:id{.+}", needs("read").middleware, async (c) => {
    const id = c.req.param("id");
    const models = await listModels(c.var.ctx);
    const known = models.find((model) => model.id === id);
    if (!known) throw noSuchModel(id);
    return c.json(toBody(known), 200);
  });

/** `created` is a number at OpenAI. Models that no list dates have 0. */
function toBody({ id, provider, created }: KnownModel) {
  return { id, object: "model" as const, created: created ?? 0, owned_by: provider };
}
