import { matchesModel } from "./models.ts";
import type { Fallbacks, Route, Terms } from "./provider.ts";

/**
 * Where calls for a model may go, the best first: to every provider that takes it, in the order of
 * the configuration, then to those that take the models that stand in for it. Who takes the rest is
 * asked only for models that nobody else takes. None where nobody
 * takes it. What stands in for a stand-in does not count.
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
