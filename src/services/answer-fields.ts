import type { Context } from "../context.ts";
import { type AnswerFields, schemaOf } from "../domain/output.ts";
import { invalid } from "../errors.ts";
import { requireSupportedModel } from "./models.ts";

/** What a request may say of them; `null` and `undefined` ask for nothing. */
type Asked = { [K in keyof AnswerFields]?: AnswerFields[K] | null };

/** Throws where answers cannot be checked by `output`, or `escalateTo` is no model. `path` is where they stand. */
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
