import type { Answer } from "../domain/answer.ts";
import { type ListedModel, matchesModel, nearestModels } from "../domain/models.ts";
import type { Provider } from "../domain/provider.ts";
import type { RateLimitSignals } from "../domain/rate-limit.ts";
import { isJsonObject, parseJson } from "../lib/json.ts";
import { createAdjustments } from "./adjust.ts";
import type { CallResult } from "./call.ts";
import { createModelList } from "./model-catalogue.ts";
import { createCaller } from "./openai.ts";
import type { Outside } from "./outside.ts";
import { createProbe } from "./probe.ts";

/** The result of examining a provider. `null`: unknown. */
export type Examination = {
  provider: string;
  /** Whether a call was answered. */
  isUsable: boolean;
  /** Requests that were made. */
  requests: number;
  model: string | null;
  models: {
    /** `null`: it has no list. */
    listed: number | null;
    isListed: boolean | null;
    contextSize: number | null;
    near: string[];
  };
  answer: Look & { servedBy: string | null; ms: number | null };
  usage: {
    reported: "reported" | "absent" | "absurd";
    promptTokens: number;
    completionTokens: number;
  } | null;
  streaming: Look & { pieces: number; reportsUsage: boolean | null };
  /** `kept`: the answer matches the schema; `ignored`: it does not; `refused`: the schema was refused. */
  schema: Look & { support: "kept" | "ignored" | "refused" | null };
  limits: RateLimitSignals | null;
  /** Parameters that it refuses, and what was sent instead. */
  adjusted: string[];
  /** Keys that are refused, or could not be tested. */
  keys: { key: number; error: string }[];
};

/** The result of a call, for display; `error` if it failed. */
type Look = { error: string | null };

/** Time for each request. */
const TIMEOUT_MS = 30_000;
/** Enough for a reasoning model, and cheap. */
const MOST_TOKENS = 256;
const MOST_KEYS = 20;

const NOT_CHAT = /embed|whisper|tts|audio|realtime|image|dall-e|moderation|rerank|transcribe|sora/i;

/**
 * Examines a provider: its list of models, and three short calls of one model: one whole, one streamed and one with a
 * schema. Bounded: these four requests, up to `MOST_ADJUSTMENTS` more for each answer whose parameters are refused,
 * and one for each further key, each of `TIMEOUT_MS` at most.
 */
export async function examineProvider(
  provider: Provider,
  outside: Outside,
  wanted: string | null,
): Promise<Examination> {
  let requests = 0;
  const counting: Outside = {
    ...outside,
    fetch: (url, init) => {
      requests++;
      return outside.fetch(url, init);
    },
  };
  const list = await createModelList(provider, counting)();
  const model = wanted ?? modelOf(provider, list);
  const keys = await refusedKeys(provider, counting);
  const found = model === null ? NOTHING_ASKED : await askModel(provider, counting, model);
  return {
    provider: provider.name,
    isUsable: found.answer.error === null,
    requests,
    model,
    models: modelsOf(list, model),
    keys,
    ...found,
  };
}

/** A model that the provider should serve: one that the configuration names, else a chat model of its list. */
function modelOf({ models }: Provider, list: ListedModel[] | null): string | null {
  const named = models?.find((pattern) => !pattern.includes("*"));
  if (named !== undefined) return named;
  const own = (list ?? []).map(({ id }) => id).filter((id) => !models || matchesModel(models, id));
  return own.find((id) => !NOT_CHAT.test(id)) ?? null;
}

function modelsOf(list: ListedModel[] | null, model: string | null): Examination["models"] {
  const listed = list?.find(({ id }) => id === model);
  const isListed = list === null || model === null ? null : listed !== undefined;
  return {
    listed: list?.length ?? null,
    isListed,
    contextSize: listed?.contextSize ?? null,
    near:
      isListed === false && model !== null
        ? nearestModels(
            model,
            (list ?? []).map(({ id }) => id),
          )
        : [],
  };
}

/** The refused keys besides the first one, which makes the calls. */
async function refusedKeys(provider: Provider, outside: Outside): Promise<Examination["keys"]> {
  const count = provider.kind === "openai" ? Math.min(provider.apiKeys.length, MOST_KEYS) : 1;
  const others = Array.from({ length: count - 1 }, (_, i) => i + 1);
  const probes = await Promise.all(others.map((key) => createProbe(provider, key, outside)(0)));
  return probes.flatMap(({ error }, i) => (error === null ? [] : { key: i + 2, error }));
}

type Asked = Omit<Examination, "provider" | "isUsable" | "requests" | "model" | "models" | "keys">;

const NOT_ASKED = "no model is known to ask; name one with --model";

const NOTHING_ASKED: Asked = {
  answer: { error: NOT_ASKED, servedBy: null, ms: null },
  usage: null,
  streaming: { error: NOT_ASKED, pieces: 0, reportsUsage: null },
  schema: { error: NOT_ASKED, support: null },
  limits: null,
  adjusted: [],
};

async function askModel(provider: Provider, outside: Outside, model: string): Promise<Asked> {
  const { clock } = outside;
  const send = createCaller(provider, outside, 0, createAdjustments());
  const adjusted = new Set<string>();
  let limits: RateLimitSignals | null = null;

  async function ask(more: object, onDelta: (text: string) => void = () => {}) {
    const body = {
      model,
      messages: [{ role: "user", content: 'Answer with this JSON and nothing else: {"ok":true}' }],
      temperature: 0,
      max_tokens: MOST_TOKENS,
      ...more,
    };
    const begun = clock.monotonic();
    const result = await send({
      endpoint: "/v1/chat/completions",
      body: JSON.stringify(body),
      isChecked: false,
      timeoutMs: TIMEOUT_MS,
      abort: new AbortController(),
      onDelta,
    });
    for (const name of result.adjusted) adjusted.add(name);
    limits ??= result.signals;
    return { result, ms: Math.round(clock.monotonic() - begun) };
  }

  const whole = await ask({});
  const error = errorOf(whole.result);
  // If the first call fails, the others are skipped, because each could take its full time limit.
  if (error !== null)
    return {
      ...NOTHING_ASKED,
      answer: { error, servedBy: null, ms: whole.ms },
      streaming: { ...NOTHING_ASKED.streaming, error: NOT_TRIED },
      schema: { ...NOTHING_ASKED.schema, error: NOT_TRIED },
      limits,
      adjusted: [...adjusted],
    };
  let pieces = 0;
  const streamed = await ask({ stream: true }, () => {
    pieces++;
  });
  const schema = await ask({ response_format: SCHEMA });
  const { answer } = whole.result;
  return {
    answer: { error, servedBy: answer?.model ?? null, ms: whole.ms },
    usage: answer && {
      reported: answer.usageReported,
      promptTokens: answer.usage?.promptTokens ?? 0,
      completionTokens: answer.usage?.completionTokens ?? 0,
    },
    streaming: {
      error: errorOf(streamed.result),
      pieces,
      reportsUsage: streamed.result.answer && streamed.result.answer.usageReported === "reported",
    },
    schema: supportOf(schema.result),
    limits,
    adjusted: [...adjusted],
  };
}

const NOT_TRIED = "not tried, because the first call failed";

const SCHEMA = {
  type: "json_schema",
  json_schema: {
    name: "check",
    strict: true,
    schema: {
      type: "object",
      // Different from what the prompt requests, so that the answer shows whether the schema was applied.
      properties: { is_fine: { type: "boolean" } },
      required: ["is_fine"],
      additionalProperties: false,
    },
  },
};

function supportOf(result: CallResult): Examination["schema"] {
  if (!result.ok)
    return {
      support: result.failure.cause === "rejected" ? "refused" : null,
      error: result.failure.message,
    };
  return { support: keepsSchema(result.answer) ? "kept" : "ignored", error: null };
}

function keepsSchema({ content }: Answer): boolean {
  const value = parseJson(content ?? "");
  return isJsonObject(value) && typeof value["is_fine"] === "boolean";
}

/** An answer whose tokens were used up by reasoning counts as an answer here. */
function errorOf(result: CallResult): string | null {
  return result.ok || result.failure.cause === "truncated" ? null : result.failure.message;
}
