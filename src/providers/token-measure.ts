import { tierOf } from "../domain/flex.ts";
import { maxTokensOf, type Measurable, type RequestSize } from "../domain/token-counter.ts";
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
