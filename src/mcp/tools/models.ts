import { z } from "zod";

import { withoutNulls } from "../cut.ts";
import { defineTool } from "../tool.ts";

type Known = {
  id: string;
  provider: string;
  contextSize: number | null;
  price: { input: number; output: number } | null;
};

export const models = defineTool({
  name: "models",
  title: "List models and their prices",
  description:
    "The models that can be named, with their provider, context size and price in USD for a million tokens. Without a " +
    "price a model's cost is not known.",
  annotations: { readOnlyHint: true },
  own: {
    search: z.string().max(200).optional().describe("A part of the name"),
    limit: z.number().int().min(1).max(200).default(50).describe("How many (50 unless given)"),
  },
  passed: { provider: z.string().max(50).optional().describe("Of this provider only") },
  async run({ own: { search = "", limit }, passed }, { rest, signal, provider: findProvider }) {
    const provider = passed.provider === undefined ? undefined : String(passed.provider);
    const query = { provider };
    const { models: all } = await rest.call<{ models: Known[] }>("/models", { query, signal });
    const { defaultModel } = await findProvider();
    const found = all.filter(({ id }) => id.toLowerCase().includes(search.toLowerCase()));
    return {
      defaultModel,
      total: found.length,
      models: found.slice(0, limit).map(({ id, provider: by, contextSize, price }) =>
        withoutNulls({
          id,
          provider: by,
          contextSize,
          usdPerMillionTokens: price && { input: price.input, output: price.output },
        }),
      ),
      ...(found.length > limit ? { next: "Name a part of the name in `search`" } : {}),
    };
  },
});
