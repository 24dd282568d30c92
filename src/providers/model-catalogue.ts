import { getLogger } from "@logtape/logtape";

import type { Config } from "../config.ts";
import { wordOrNull } from "../domain/answer.ts";
import { FLEX_MARK } from "../domain/flex.ts";
import { type ListedModel, matchesModel, type ModelCatalogue } from "../domain/models.ts";
import type { Provider } from "../domain/provider.ts";
import { routesOf } from "../domain/routes.ts";
import { isJsonObject } from "../lib/json.ts";
import type { Outside } from "./outside.ts";
import { createClient } from "./sdk.ts";

const KEEP_MS = 600_000;
/** A list that could not be read is requested again after this time. */
const DOUBT_AFTER_MS = 30_000;
/** A provider that does not list its models within this time counts as one without a list. */
const LIST_TIMEOUT_MS = 3000;
const MOST_LISTED = 10_000;

/**
 * The models that may be named: those that match `allowedModels`, if there are patterns, and that a provider serves.
 * A provider's own list does not restrict them, because lists omit aliases, deployments, variants (`:latest`,
 * `:nitro`) and names with a prefix.
 */
export function createModelCatalogue(
  { providers, allowedModels: allowed }: Pick<Config, "providers" | "allowedModels">,
  outside: Outside,
): ModelCatalogue {
  const lists = providers.map((provider) => createModelList(provider, outside));
  return {
    isAllowed: (model) =>
      !model.includes(FLEX_MARK) &&
      (allowed.length === 0 || matchesModel(allowed, model)) &&
      routesOf({ providers, fallbacks: [] }, model).length > 0,
    lists: () => Promise.all(lists.map((read) => read())),
  };
}

/** Reads the list of a provider, at most every ten minutes; `null` if it has none. */
export function createModelList(
  provider: Provider,
  outside: Outside,
  key = 0,
): () => Promise<ListedModel[] | null> {
  const log = getLogger(["gptrunner", "models"]);
  const client = createClient(
    provider.kind === "simulator"
      ? { ...provider, latencyMs: 0, failureRate: 0, mismatchRate: 0 }
      : provider,
    outside,
    key,
  );
  const { clock } = outside;
  let latest: Promise<ListedModel[] | null> | undefined;
  let isKnown = false;
  let readAt = -Infinity;

  async function read(): Promise<ListedModel[] | null> {
    try {
      const page = await (await client()).models.list({ timeout: LIST_TIMEOUT_MS });
      const models: ListedModel[] = [];
      for await (const model of page) {
        const id = String(model.id);
        // Nobody could name a model with a longer name.
        if (wordOrNull(id) === id)
          models.push({ id, contextSize: contextSizeOf(model), created: createdOf(model) });
        if (models.length >= MOST_LISTED) break;
      }
      isKnown = models.length > 0;
      return isKnown ? models : null;
    } catch (error) {
      log.info("{provider} does not list its models: {error}", {
        provider: provider.name,
        error: String(error),
      });
      isKnown = false;
      return null;
    }
  }

  return () => {
    if (!latest || clock.monotonic() - readAt >= (isKnown ? KEEP_MS : DOUBT_AFTER_MS)) {
      readAt = clock.monotonic();
      latest = read();
    }
    return latest;
  };
}

/** The names of the context size at various servers: OpenRouter and Groq, vLLM, Mistral, LM Studio. */
const CONTEXT_NAMES = [
  "context_length",
  "context_window",
  "max_model_len",
  "max_context_length",
  "loaded_context_length",
];

function contextSizeOf(model: unknown): number | null {
  if (!isJsonObject(model)) return null;
  const size = CONTEXT_NAMES.map((name) => model[name]).find((value) => typeof value === "number");
  return typeof size === "number" && size > 0 ? Math.round(size) : null;
}

function createdOf(model: unknown): number | null {
  const created = isJsonObject(model) ? model["created"] : undefined;
  return typeof created === "number" && Number.isSafeInteger(created) && created > 0
    ? created
    : null;
}
