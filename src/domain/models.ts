import { BoundedMap } from "../lib/bounded-map.ts";
import { editDistance } from "../lib/near-names.ts";

/**
 * Whether a model matches one of the patterns; `*` stands for any run of characters.
 * Matching ignores case, as providers do.
 */
export function matchesModel(patterns: readonly string[], model: string): boolean {
  return patterns.some((pattern) => toRegExp(pattern).test(model));
}

/** Compiled patterns of the configuration and of the price list, which are matched for every call. */
const compiled = new BoundedMap<string, RegExp>(1000);

function toRegExp(pattern: string): RegExp {
  let known = compiled.get(pattern);
  if (!known) {
    const source = pattern
      .split("*")
      .map((part) => part.replace(/[.+?^${}()|[\]\\]/g, "\\$&"))
      .join(".*");
    compiled.set(pattern, (known = new RegExp(`^${source}$`, "i")));
  }
  return known;
}

/** A model that a provider lists. */
export type ListedModel = {
  id: string;
  contextSize: number | null;
  /** When the model was made, in Unix seconds, if the list says so. */
  created: number | null;
};

/** The models that tasks may name. */
export type ModelCatalogue = {
  /** Whether the configuration allows this model. A provider's own list is only informative. */
  isAllowed: (model: string) => boolean;
  /** What each provider lists, in the order of the configuration; `null` if it has no list. */
  lists: () => Promise<(ListedModel[] | null)[]>;
};

/** How many names are suggested in place of one that may be mistyped. */
const MOST_SUGGESTED = 3;

/** The known names that are similar to an unknown one. */
export function nearestModels(model: string, known: Iterable<string>): string[] {
  const wanted = bareName(model);
  const near: { name: string; distance: number }[] = [];
  for (const name of new Set(known)) {
    const bare = bareName(name);
    const distance = bare === wanted ? 0 : editDistance(wanted, bare);
    const isPart = wanted.length > 3 && bare.startsWith(`${wanted}-`);
    if (distance <= Math.max(1, Math.floor(wanted.length / 5))) near.push({ name, distance });
    else if (isPart) near.push({ name, distance: wanted.length });
  }
  return near
    .toSorted((a, b) => a.distance - b.distance || (a.name < b.name ? -1 : 1))
    .slice(0, MOST_SUGGESTED)
    .map(({ name }) => name);
}

/** A name without the prefixes and suffixes that some servers add. */
function bareName(model: string): string {
  return model
    .toLowerCase()
    .replace(/^(models|[\w.-]+)\//, "")
    .replace(/:[\w.-]+$/, "");
}

/** Reasoning models take `max_completion_tokens` and refuse `max_tokens` (OpenAI API reference, chat). */
export function isReasoningModel(model: string): boolean {
  return /^(o\d|gpt-[5-9])/i.test(model) && !/chat/i.test(model);
}
