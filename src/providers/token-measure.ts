import { tierOf } from "../domain/flex.ts";
import type { Measurable, RequestSize } from "../domain/token-counter.ts";
import { isJsonObject, type JsonObject, parseJson } from "../lib/json.ts";
import { countPromptTokens } from "./tokens.ts";

export type ToMeasure = { id: number; requests: readonly Measurable[] };
export type Measured = { id: number; sizes: RequestSize[] };

/** The code that runs in the thread that counts tokens. */
export async function measureAll({ id, requests }: ToMeasure): Promise<Measured> {
  const sizes: RequestSize[] = [];
  for (const { model, body } of requests) {
    const parsed = parseJson(body);
    const request: JsonObject = isJsonObject(parsed) ? parsed : {};
    sizes.push({
      promptTokens: await countPromptTokens(model, request),
      maxOutputTokens: maxTokensOf(request),
      tier: tierOf(request),
    });
  }
  return { id, sizes };
}

function maxTokensOf(body: JsonObject): number | null {
  for (const key of ["max_completion_tokens", "max_tokens", "max_output_tokens"]) {
    const value = body[key];
    if (typeof value === "number" && value >= 0) return value;
  }
  return null;
}
