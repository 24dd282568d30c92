import type { Context } from "../context.ts";
import { AppError } from "../errors.ts";

/** Throws `MODEL_NOT_SUPPORTED` where neither the configuration nor the provider knows the model. */
export async function requireSupportedModel(ctx: Context, model: string): Promise<void> {
  if (await ctx.isModelSupported(model)) return;
  const why =
    ctx.config.allowedModels.length > 0
      ? `ALLOWED_MODELS is ${ctx.config.allowedModels.join(", ")}`
      : "the provider does not list it";
  throw new AppError(
    "MODEL_NOT_SUPPORTED",
    `Model ${JSON.stringify(model)} is not supported: ${why}`,
    {
      issues: [{ path: "model", message: "is not supported" }],
    },
  );
}
