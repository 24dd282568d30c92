import { getLogger } from "@logtape/logtape";

import type { Config } from "../config.ts";
import { matchesModel } from "../domain/models.ts";
import type { Provider } from "../domain/provider.ts";
import { routesOf } from "../domain/routes.ts";
import { createClient } from "./openai.ts";
import type { Outside } from "./outside.ts";

const KEEP_MS = 600_000;
/** A model that is not in the list may be new: for its sake the list is read again this soon. */
const DOUBT_AFTER_MS = 30_000;
/** A provider that does not list its models in this time is taken not to list them. */
const LIST_TIMEOUT_MS = 3000;

/**
 * Knows which models may be named: those that match `allowedModels` if there are patterns, and that a
 * provider takes. One that says for which models it is there is believed; one that takes the rest is
 * asked for a list, unless `allowedModels` says it all.
 */
export function createModelCatalogue(
  { providers, allowedModels: allowed }: Pick<Config, "providers" | "allowedModels">,
  outside: Outside,
): (model: string) => Promise<boolean> {
  const lists = providers.map((provider) => createList(provider, outside));
  return async (model) => {
    if (allowed.length > 0 && !matchesModel(allowed, model)) return false;
    const [route] = routesOf({ providers, fallbacks: [] }, model);
    if (!route) return false;
    const isNamed = allowed.length > 0 || providers[route.provider]?.models != null;
    return isNamed || (await lists[route.provider]?.(model)) === true;
  };
}

/**
 * Whether a provider lists a model. Where it cannot list them, every model passes, and the list is
 * tried again later.
 */
function createList(provider: Provider, outside: Outside): (model: string) => Promise<boolean> {
  const log = getLogger(["gptrunner", "models"]);
  const client = createClient(
    provider.kind === "simulator" ? { ...provider, latencyMs: 0 } : provider,
    outside,
  );
  const { clock } = outside;
  let models: Promise<Set<string> | undefined> | undefined;
  let readAt = -Infinity;

  async function read(): Promise<Set<string> | undefined> {
    try {
      const page = await client.models.list({ timeout: LIST_TIMEOUT_MS });
      const names = new Set<string>();
      for await (const model of page) names.add(model.id);
      return names.size > 0 ? names : undefined;
    } catch (error) {
      log.info("{provider} does not list its models, so every model passes: {error}", {
        provider: provider.name,
        error: String(error),
      });
      return undefined;
    }
  }

  function readAgainAfter(ms: number): Promise<Set<string> | undefined> {
    if (!models || clock.now() - readAt >= ms) {
      readAt = clock.now();
      models = read();
    }
    return models;
  }

  return async (model) => {
    const known = await readAgainAfter(KEEP_MS);
    if (!known || known.has(model)) return true;
    const fresh = await readAgainAfter(DOUBT_AFTER_MS);
    return !fresh || fresh.has(model);
  };
}
