import { isJsonObject, type Json, type JsonObject } from "../lib/json.ts";

/** `promptTokens` include those read from and written to a cache, `completionTokens` the reasoning. */
export type Usage = {
  promptTokens: number;
  completionTokens: number;
  totalTokens: number;
  cachedTokens?: number;
  cacheWriteTokens?: number;
  reasoningTokens?: number;
  /** The provider reported no usage, so the tokens of the texts were counted by this program. */
  estimated?: true;
};

/**
 * The usage that an answer reports. `absent`: none, or nothing but zeros; `absurd`: a count that no call can have.
 * Neither is charged.
 */
export type UsageReport =
  | { reported: "reported"; usage: Usage }
  | { reported: "absent" | "absurd"; usage: null };

/** No call uses this many tokens. A larger count, or one that is not a whole number, is a fault of the server. */
const MOST_TOKENS = 1e9;

/** The names that servers have for each count; a path with a dot leads into an object. */
const NAMES = {
  prompt: ["prompt_tokens", "input_tokens", "promptTokenCount", "promptTokens", "inputTokens"],
  completion: [
    "completion_tokens",
    "output_tokens",
    "candidatesTokenCount",
    "completionTokens",
    "outputTokens",
  ],
  total: ["total_tokens", "totalTokenCount", "totalTokens"],
  cached: [
    "prompt_tokens_details.cached_tokens",
    "input_tokens_details.cached_tokens",
    "prompt_cache_hit_tokens",
    "cache_read_input_tokens",
    "cached_tokens",
    "num_cached_tokens",
    "cachedContentTokenCount",
  ],
  written: [
    "prompt_tokens_details.cache_write_tokens",
    "input_tokens_details.cache_write_tokens",
    "prompt_tokens_details.cache_creation_tokens",
    "cache_creation_input_tokens",
    "cache_write_tokens",
  ],
  reasoning: [
    "completion_tokens_details.reasoning_tokens",
    "output_tokens_details.reasoning_tokens",
    "reasoning_tokens",
    "thoughtsTokenCount",
  ],
} as const;

/** Split once, because every answer is searched. */
const PATHS = Object.fromEntries(
  Object.entries(NAMES).map(([name, paths]) => [name, paths.map((path) => path.split("."))]),
) as Record<keyof typeof NAMES, string[][]>;

/**
 * Reads usage, whatever names the server uses. Some servers report reasoning or cached tokens in addition to the sums
 * that they belong to; `total_tokens` tells the two apart.
 */
export function readUsage(reported: Json | undefined): UsageReport {
  if (!isJsonObject(reported)) return { reported: "absent", usage: null };
  const counts = readCounts(reported);
  if (counts === "absurd") return { reported: "absurd", usage: null };
  const { total, cached = 0, written = 0, reasoning } = counts;
  let { prompt, completion } = counts;
  if (prompt === undefined && completion === undefined && total === undefined)
    return { reported: "absent", usage: null };
  prompt ??= Math.max(0, (total ?? 0) - (completion ?? 0));
  completion ??= 0;
  // Anthropic's own counts: `input_tokens` does not include cached tokens.
  const isApart =
    total === undefined && "cache_read_input_tokens" in reported && !("prompt_tokens" in reported);
  if (isApart || cached + written > prompt) prompt += cached + written;
  const missing = (total ?? 0) - prompt - completion;
  if (missing > 0 && missing === cached + written) prompt += missing;
  else if (missing > 0 && missing >= (reasoning ?? 0)) completion += reasoning || missing;
  if (prompt + completion === 0) return { reported: "absent", usage: null };
  const hidden = reasoning ?? (missing > 0 && missing !== cached + written ? missing : undefined);
  const usage: Usage = {
    promptTokens: prompt,
    completionTokens: completion,
    totalTokens: prompt + completion,
  };
  if (counts.cached !== undefined) usage.cachedTokens = cached;
  if (written > 0) usage.cacheWriteTokens = written;
  if (hidden !== undefined) usage.reasoningTokens = Math.min(hidden, completion);
  return { reported: "reported", usage };
}

const COUNTS = ["prompt", "completion", "total", "cached", "written", "reasoning"] as const;

type Counts = Partial<Record<keyof typeof NAMES, number>>;

/** An absurd detail is left out; if a sum is absurd, the whole usage is. */
function readCounts(reported: JsonObject): Counts | "absurd" {
  const counts: Counts = {};
  for (const name of COUNTS) {
    const value = firstAt(reported, PATHS[name]);
    if (value === undefined || value === null) continue;
    const count = toCount(value);
    if (count !== undefined) counts[name] = count;
    else if (name === "prompt" || name === "completion") return "absurd";
  }
  return counts;
}

function firstAt(reported: JsonObject, paths: readonly string[][]): Json | undefined {
  for (const path of paths) {
    let value: Json | undefined = reported;
    for (const key of path) value = isJsonObject(value) ? value[key] : undefined;
    if (value !== undefined && value !== null) return value;
  }
  return undefined;
}

function toCount(value: Json): number | undefined {
  const number = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
  if (typeof number !== "number" || !Number.isFinite(number)) return undefined;
  return number >= 0 && number < MOST_TOKENS ? Math.round(number) : undefined;
}
