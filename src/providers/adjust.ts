import { BoundedMap } from "../lib/bounded-map.ts";
import type { JsonObject } from "../lib/json.ts";
import type { ErrorWords } from "./error-words.ts";
import { createFormats } from "./structured.ts";

/** A change that makes a request acceptable to a provider; `name` is its description for users. */
type Adjustment = {
  name: string;
  /** The parameter that the provider refuses or requires. */
  param: string;
  isFor: (body: JsonObject) => boolean;
  apply: (body: JsonObject) => JsonObject;
};

/**
 * Parameters that can be left out: without them the sampling or transport of an answer changes, but not the question.
 */
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

/* The order matters: of two parameters that exclude each other, the first is removed. */
const ADJUSTMENTS: readonly Adjustment[] = [
  rename("max_tokens", "max_completion_tokens"),
  rename("max_completion_tokens", "max_tokens"),
  ...OMITTED.map((param) => ({
    name: `${param} omitted`,
    param,
    isFor: (body: JsonObject) => param in body,
    apply: ({ [param]: _param, ...rest }: JsonObject) => {
      const { stream_options: _options, ...whole } = rest;
      return param === "stream" ? whole : rest;
    },
  })),
];

/** For models that only stream. The answer is put together again, so that it is the same. */
const STREAMED: Adjustment = {
  name: "stream added",
  param: "stream",
  isFor: (body) => body["stream"] !== true,
  apply: (body) => ({
    ...body,
    stream: true,
    ...("messages" in body ? { stream_options: { include_usage: true } } : {}),
  }),
};
const ONLY_STREAMS =
  /must (have|set|use) .{0,20}stream\W{0,3}true|only supports? (the )?stream|stream(ing)? (mode )?is required|requires? .{0,20}streaming|enable the stream parameter|for non-streaming calls|non-?streaming (calls?|requests?|mode)? ?(is|are) not supported/i;

function rename(from: string, to: string): Adjustment {
  return {
    name: `${from} sent as ${to}`,
    param: from,
    isFor: (body) => from in body,
    apply: ({ [from]: value, ...rest }) => (value === undefined ? rest : { ...rest, [to]: value }),
  };
}

/** Messages that mean that a parameter is not supported, in contrast to a value that is not. */
const NOT_TAKEN =
  /unsupported|not (currently )?support|does(n't| not) (support|accept)|un(known|recognized|expected)|extra (inputs|fields|keys)|not (permitted|allowed|available)|deprecated|cannot (both )?be (specified|used)|only the default|only 1 is allowed|must be verified|invalid (request )?(argument|parameter|field)s?\b|invalid service_tier/i;
const STATUSES = new Set([400, 422, 500, 501]);

/** How often a request is adjusted if the provider refuses one parameter after the other. */
export const MOST_ADJUSTMENTS = 4;

/** The most models to remember, because clients may invent names. */
const MOST_MODELS = 1000;

/**
 * Remembers the parameters that a provider's models refuse, so that they are not tried again with each call. By
 * model, because servers have models of many makers.
 */
export function createAdjustments() {
  const known = new BoundedMap<string, Set<Adjustment>>(MOST_MODELS);
  const formats = createFormats();
  return {
    /**
     * The body in the form that the model accepts, and the list of changes. `isChecked`: the schema may be replaced
     * by JSON mode or an instruction.
     */
    apply(body: JsonObject, isChecked: boolean): { body: JsonObject; adjusted: string[] } {
      const adjusted: string[] = [];
      let result = body;
      for (const one of known.get(String(body["model"])) ?? []) {
        if (!one.isFor(result)) continue;
        result = one.apply(result);
        adjusted.push(one.name);
      }
      if (!isChecked) return { body: result, adjusted };
      const asked = formats.apply(result);
      return { body: asked.body, adjusted: [...adjusted, ...asked.adjusted] };
    },
    /** Whether any refusal is known. */
    knows: () => known.size > 0 || formats.knows(),
    /**
     * Learns from a refusal. Returns whether it is about a parameter that can be omitted, which is then omitted from
     * now on.
     */
    learn(body: JsonObject, isChecked: boolean, status: number, words: ErrorWords): boolean {
      if (isChecked && formats.learn(body, status, words)) return true;
      const model = String(body["model"]);
      const found = STATUSES.has(status) ? adjustmentFor(body, words) : undefined;
      if (!found) return false;
      const of = known.get(model) ?? new Set();
      // Both names of the parameter are refused, or streams and whole answers, so no adjustment helps.
      if (of.has(found) || [...of].some((one) => isReverse(one, found))) return false;
      known.set(model, of.add(found));
      return true;
    },
  };
}

export type Adjustments = ReturnType<typeof createAdjustments>;

function adjustmentFor(body: JsonObject, words: ErrorWords): Adjustment | undefined {
  const message = words.message ?? "";
  if (STREAMED.isFor(body) && ONLY_STREAMS.test(message)) return STREAMED;
  const isRefusal = NOT_TAKEN.test(`${message} ${words.codes.join(" ")}`);
  if (!isRefusal) return undefined;
  const named = (param: string) =>
    words.param === param ||
    new RegExp(`(^|[^\\w.])(${param}|${camelCase(param)})($|[^\\w.]|\\.(\\s|$))`).test(message);
  const sent = ADJUSTMENTS.filter(({ isFor }) => isFor(body));
  return (
    sent.find(({ param }) => words.param === param) ??
    sent.find(({ param }) => named(param) && !isWanted(message, param))
  );
}

/** xAI names parameters in camel case. */
function camelCase(param: string): string {
  return param.replaceAll(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
}

/** Messages such as "Use 'max_completion_tokens' instead" also name the parameter to use. */
function isWanted(message: string, param: string): boolean {
  return new RegExp(`use ['"\`]?${param}\\b`, "i").test(message);
}

function isReverse(known: Adjustment, found: Adjustment): boolean {
  if (known.param === "stream" && found.param === "stream") return true;
  return known.name === found.name.split(" sent as ").toReversed().join(" sent as ");
}
