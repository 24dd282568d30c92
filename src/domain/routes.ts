import { matchesModel } from "./models.ts";
import type { Fallbacks, Route, Terms } from "./provider.ts";

/**
 * The routes for a model, the best first: every provider that serves it, in the order of the configuration, then the
 * providers of its fallback models. A provider without patterns is used only for models that no other provider
 * serves. Empty if no provider serves the model. A fallback model has no fallbacks of its own.
 */
export function routesOf(
  { providers, fallbacks }: { providers: Pick<Terms, "models">[]; fallbacks: Fallbacks },
  model: string,
): Route[] {
  const standIns = fallbacks.find(([pattern]) => matchesModel([pattern], model))?.[1] ?? [];
  const wanted = [model, ...standIns.filter((other) => other !== model)];
  return wanted.flatMap((name) => {
    const indexed = providers.map(({ models }, provider) => ({ models, provider }));
    const named = indexed.filter(({ models }) => models && matchesModel(models, name));
    const takers = named.length > 0 ? named : indexed.filter(({ models }) => models === null);
    return takers.map(({ provider }) => ({ provider, model: name }));
  });
}

/** The limits that a provider's terms have for a model. */
export function limitsFor({ limits }: Pick<Terms, "limits">, model: string) {
  return limits.find(([pattern]) => matchesModel([pattern], model))?.[1] ?? NO_LIMITS;
}

const NO_LIMITS = { rpm: null, tpm: null };
