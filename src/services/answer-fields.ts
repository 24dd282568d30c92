import type { Context } from "../context.ts";
import { type AnswerFields, schemaOf } from "../domain/output.ts";
import { invalid } from "../errors.ts";
import { requireSupportedModel } from "./models.ts";

/** The fields of a request; `null` and `undefined` request nothing. */
type Asked = { [K in keyof AnswerFields]?: AnswerFields[K] | null };

/**
 * Throws if `output` cannot be used to check answers, or `escalateTo` is not a supported model. `path` is the path of
 * the fields.
 */
export async function requireAnswerFields(
  ctx: Context,
  { output, escalateTo }: Asked,
  path: "" | "config.",
): Promise<void> {
  if (escalateTo) await requireSupportedModel(ctx, escalateTo);
  if (!output) return;
  const problem = await ctx.answers.checkSchema(schemaOf(output));
  if (problem !== null) throw invalid([{ path: `${path}output`, message: problem }]);
}
