import type { Context } from "../context.ts";
import { matchesModel, nearestModels } from "../domain/models.ts";
import { findListing } from "../domain/price-list/list.ts";
import { type PriceTag, tagOf } from "../domain/prices.ts";
import { routesOf } from "../domain/routes.ts";
import { AppError } from "../errors.ts";

/** Throws `MODEL_NOT_SUPPORTED` if the configuration does not allow the model. */
export async function requireSupportedModel(ctx: Context, model: string): Promise<void> {
  const refusal = await refusalOf(ctx, model);
  if (refusal === null) return;
  throw new AppError("MODEL_NOT_SUPPORTED", `Model ${refusal}`, {
    issues: [{ path: "model", message: "is not supported" }],
  });
}

/** Why a model is not supported, with suggestions; `null` if it is. */
export async function refusalOf(ctx: Context, model: string): Promise<string | null> {
  if (ctx.models.isAllowed(model)) return null;
  const near = await suggestModels(ctx, model);
  const hint = near.length > 0 ? `; did you mean ${near.join(" or ")}?` : "";
  return `${JSON.stringify(model)} is not supported: ${whyNot(ctx, model)}${hint}`;
}

function whyNot({ config: { allowedModels } }: Context, model: string): string {
  return allowedModels.length > 0 && !matchesModel(allowedModels, model)
    ? `ALLOWED_MODELS is ${allowedModels.join(", ")}`
    : "no provider of PROVIDERS_FILE takes it";
}

/** Known names that are similar to one that may be mistyped. */
async function suggestModels(ctx: Context, model: string): Promise<string[]> {
  const known = await listModels(ctx);
  return nearestModels(
    model,
    known.map(({ id }) => id),
  );
}

export type KnownModel = {
  id: string;
  provider: string;
  /** Whether the provider lists it; other models come from the configuration. */
  isListed: boolean;
  contextSize: number | null;
  /** In Unix seconds, if the provider's list says so. */
  created: number | null;
  price: PriceTag | null;
};

/** The known models of a provider, or of all. Throws if there is no provider of this name. */
export async function listModelsOf(ctx: Context, provider?: string): Promise<KnownModel[]> {
  const names = ctx.config.providers.map(({ name }) => name);
  if (provider !== undefined && !names.includes(provider))
    throw new AppError(
      "VALIDATION_ERROR",
      `provider: there is no provider ${JSON.stringify(provider)}; there is ${names.join(", ")}`,
      { issues: [{ path: "provider", message: "is unknown" }] },
    );
  const all = await listModels(ctx);
  return all.filter((one) => provider === undefined || one.provider === provider);
}

/** The known models that tasks may name: those that providers list or the configuration names. */
export async function listModels(ctx: Context): Promise<KnownModel[]> {
  const { config, models } = ctx;
  const lists = await models.lists();
  return config.providers.flatMap((provider, index) => {
    const listed = new Map((lists[index] ?? []).map((one) => [one.id, one]));
    const named = (provider.models ?? []).filter((pattern) => !pattern.includes("*"));
    return [...new Set([...listed.keys(), ...named, config.defaultModel])]
      .filter((id) => models.isAllowed(id) && goesTo(ctx, id, index))
      .map((id) => ({
        id,
        provider: provider.name,
        isListed: listed.has(id),
        contextSize:
          listed.get(id)?.contextSize ?? findListing(id, provider)?.model.context ?? null,
        created: listed.get(id)?.created ?? null,
        price: tagOf(id, provider.prices, provider, ctx.clock.now()) ?? null,
      }));
  });
}

function goesTo({ config }: Context, model: string, index: number): boolean {
  return routesOf(config, model).some((route) => route.provider === index && route.model === model);
}

/** The provider of tasks that name no model. */
export function defaultProvider(config: Context["config"]) {
  const { defaultModel, providers, simulator } = config;
  const [route] = routesOf(config, defaultModel);
  const { name, kind } = providers[route?.provider ?? 0] ?? simulator;
  return { name, isSimulator: kind === "simulator", defaultModel };
}
