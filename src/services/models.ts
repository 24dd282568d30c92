import type { Context } from "../context.ts";
import { matchesModel } from "../domain/models.ts";
import { AppError } from "../errors.ts";

/** Throws `MODEL_NOT_SUPPORTED` where neither the configuration nor the provider knows the model. */
export async function requireSupportedModel(ctx: Context, model: string): Promise<void> {
  if (await ctx.isModelSupported(model)) return;
  const { allowedModels, providers } = ctx.config;
  const why =
    allowedModels.length > 0 && !matchesModel(allowedModels, model)
      ? `ALLOWED_MODELS is ${allowedModels.join(", ")}`
      : providers.some(({ models }) => models === null)
        ? "the provider does not list it"
        : "no provider of PROVIDERS_FILE takes it";
  throw new AppError(
    "MODEL_NOT_SUPPORTED",
    `Model ${JSON.stringify(model)} is not supported: ${why}`,
    {
      issues: [{ path: "model", message: "is not supported" }],
    },
  );
}
