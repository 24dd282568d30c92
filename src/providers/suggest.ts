import { type ListedModel, nearestModels } from "../domain/models.ts";
import { isJsonObject, parseJson } from "../lib/json.ts";
import type { CallResult } from "./call.ts";

/** If a provider does not have the model of a request, adds similar names to the error. */
export async function withSuggestions(
  body: string,
  result: CallResult,
  list: () => Promise<ListedModel[] | null>,
): Promise<CallResult> {
  if (result.ok || result.failure.cause !== "not_found") return result;
  const request = parseJson(body);
  const model = isJsonObject(request) ? request["model"] : undefined;
  if (typeof model !== "string") return result;
  const names = ((await list()) ?? []).map(({ id }) => id);
  const near = names.includes(model) ? [] : nearestModels(model, names);
  if (near.length === 0) return result;
  const message = `${result.failure.message}; did you mean ${near.join(" or ")}?`;
  return { ...result, failure: { ...result.failure, message } };
}
