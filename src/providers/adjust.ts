import { BoundedMap } from "../lib/bounded-map.ts";
import type { JsonObject } from "../lib/json.ts";
import type { ErrorWords } from "./error-words.ts";
import { createFormats } from "./structured.ts";

/** One way to make a request acceptable to a provider; `name` is how users read of it. */
type Adjustment = {
  name: string;
  /** The parameter that the provider refuses. */
  param: string;
  apply: (body: JsonObject) => JsonObject;
};

/** Left out, these change how an answer is found or travels, not what was asked. */
const OMITTED = [
  "stream_options",
  "prompt_cache_key",
  "service_tier",
  "top_p",
  "temperature",
  "presence_penalty",
  "frequency_penalty",
  "user",
  "safety_identifier",
  "stream",
];

/* The order counts: of two parameters that exclude each other, the first goes. */
const ADJUSTMENTS: readonly Adjustment[] = [
  rename("max_tokens", "max_completion_tokens"),
  rename("max_completion_tokens", "max_tokens"),
  ...OMITTED.map((param) => ({
    name: `${param} omitted`,
    param,
    apply: ({ [param]: _param, ...rest }: JsonObject) => {
      const { stream_options: _options, ...whole } = rest;
      return param === "stream" ? whole : rest;
    },
  })),
];

function rename(from: string, to: string): Adjustment {
  return {
    name: `${from} sent as ${to}`,
    param: from,
    apply: ({ [from]: value, ...rest }) => (value === undefined ? rest : { ...rest, [to]: value }),
  };
}

/** How providers say that they do not take a parameter; one that takes it with other values says less. */
const NOT_TAKEN =
  /unsupported|not (currently )?support|does(n't| not) (support|accept)|un(known|recognized|expected)|extra (inputs|fields|keys)|not (permitted|allowed|available)|deprecated|cannot (both )?be (specified|used)|only the default|only 1 is allowed|must be verified|invalid (request )?(argument|parameter|field)s?\b|invalid service_tier/i;
const STATUSES = new Set([400, 422, 500, 501]);

/** A provider that refuses one parameter after the other is tried so often. */
export const MOST_ADJUSTMENTS = 4;

/** Clients may invent names. */
const MOST_MODELS = 1000;

/**
 * What a provider's models were found to refuse, so that it is not tried with each call again. By
 * model, because servers have models of many makers.
 */
export function createAdjustments() {
  const known = new BoundedMap<string, Set<Adjustment>>(MOST_MODELS);
  const formats = createFormats();
  return {
    /** The body as the model takes it, and what was changed for that. `isChecked`: it may ask for its object in other words. */
    apply(body: JsonObject, isChecked: boolean): { body: JsonObject; adjusted: string[] } {
      const adjusted: string[] = [];
      let result = body;
      for (const one of known.get(String(body["model"])) ?? []) {
        if (!(one.param in result)) continue;
        result = one.apply(result);
        adjusted.push(one.name);
      }
      if (!isChecked) return { body: result, adjusted };
      const asked = formats.apply(result);
      return { body: asked.body, adjusted: [...adjusted, ...asked.adjusted] };
    },
    /** Whether something is known of the model of a body. */
    knows: () => known.size > 0 || formats.knows(),
    /** Whether a refusal is about a parameter that can be given up: it will be, from now on. */
    learn(body: JsonObject, isChecked: boolean, status: number, words: ErrorWords): boolean {
      if (isChecked && formats.learn(body, status, words)) return true;
      const model = String(body["model"]);
      const found = STATUSES.has(status) ? adjustmentFor(body, words) : undefined;
      if (!found) return false;
      const of = known.get(model) ?? new Set();
      // Each of two names refused for the sake of the other: there is no way.
      if (of.has(found) || [...of].some((one) => one.name === reverseOf(found))) return false;
      known.set(model, of.add(found));
      return true;
    },
  };
}

export type Adjustments = ReturnType<typeof createAdjustments>;

function adjustmentFor(body: JsonObject, words: ErrorWords): Adjustment | undefined {
  const message = words.message ?? "";
  const isRefusal = NOT_TAKEN.test(`${message} ${words.codes.join(" ")}`);
  if (!isRefusal) return undefined;
  const named = (param: string) =>
    words.param === param ||
    new RegExp(`(^|[^\\w.])(${param}|${camelCase(param)})($|[^\\w.]|\\.(\\s|$))`).test(message);
  const sent = ADJUSTMENTS.filter(({ param }) => param in body);
  return (
    sent.find(({ param }) => words.param === param) ??
    sent.find(({ param }) => named(param) && !isWanted(message, param))
  );
}

/** xAI names parameters as its own code does. */
function camelCase(param: string): string {
  return param.replaceAll(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
}

/** "Use 'max_completion_tokens' instead" names what is wanted, too. */
function isWanted(message: string, param: string): boolean {
  return new RegExp(`use ['"\`]?${param}\\b`, "i").test(message);
}

function reverseOf({ name }: Adjustment): string {
  return name.split(" sent as ").toReversed().join(" sent as ");
}
