import { readFileSync } from "node:fs";

import { z } from "zod";

import type { PriceTable } from "./domain/prices.ts";
import { JsonPlaceError, parsePlaced } from "./lib/json-places.ts";
import { findingsOf } from "./lib/zod-issues.ts";

const dollars = z.number().nonnegative("must not be negative");
const Rates = {
  input: dollars,
  cachedInput: dollars.optional(),
  cacheWrite: dollars.optional(),
  output: dollars,
  reasoning: dollars.optional(),
};

/** The price of a model in USD per million tokens; `steps` if long prompts cost more. */
export const PriceOfModel = z.strictObject({
  ...Rates,
  steps: z
    .array(z.strictObject({ above: z.number().int().positive(), ...Rates }))
    .transform((steps) => steps.toSorted((a, b) => a.above - b.above))
    .optional(),
  tiers: z.record(z.string().min(1), dollars).optional(),
});

export const ModelPattern = z.string().min(1, "must not be empty").max(200);

const File = z.record(ModelPattern, PriceOfModel);

/** Reads a file of prices by model pattern. Returns them, or the problems, one line of text each. */
export function readPricesFile(
  path: string,
): { ok: true; prices: PriceTable } | { ok: false; problems: string[] } {
  try {
    const { value, lineOf } = parsePlaced(readFileSync(path, "utf8"));
    const parsed = File.safeParse(value);
    if (parsed.success) return { ok: true, prices: Object.entries(parsed.data) };
    const problems = findingsOf(parsed.error.issues).map(
      (found) =>
        `${path}, line ${lineOf(found.path)}: ${found.path.join(".") || "the file"} ${found.message}`,
    );
    return { ok: false, problems };
  } catch (error) {
    if (error instanceof JsonPlaceError)
      return { ok: false, problems: [`${path}, line ${error.line}: ${error.message}`] };
    const why = error instanceof Error && "code" in error ? String(error.code) : String(error);
    return { ok: false, problems: [`${path} cannot be read (${why})`] };
  }
}
