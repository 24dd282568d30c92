import { readFileSync } from "node:fs";

import { z } from "zod";

import type { Fallbacks, Provider } from "./domain/provider.ts";
import { JsonPlaceError, parsePlaced } from "./lib/json-places.ts";
import { type Finding, findingsOf } from "./lib/zod-issues.ts";
import { ModelPattern, PriceOfModel } from "./prices-file.ts";
import { readSecretFiles } from "./secret-files.ts";

/** The content of PROVIDERS_FILE, with the keys that it names read from the environment or from secret files. */
export type ProvidersFile = { providers: Provider[]; fallbacks: Fallbacks };

type Environment = Record<string, string | undefined>;

/** An entry with this name is the provider of OPENAI_API_KEY and OPENAI_BASE_URL, and may omit both. */
export const DEFAULT_PROVIDER = "openai";

const positive = z.number().int("must be a whole number").positive("must be 1 or more");

const LimitsOfModel = z.strictObject({ rpm: positive.optional(), tpm: positive.optional() });

const Entry = z.strictObject({
  name: z
    .string()
    .regex(/^[A-Za-z0-9][\w.-]{0,49}$/, "must be 1 to 50 of A-Za-z0-9_.-")
    .refine((name) => name !== "simulator", "is the name of the built-in simulator"),
  baseUrl: z.url({ protocol: /^https?$/, error: "must be a URL with http or https" }).optional(),
  apiKeyEnv: z
    .union([z.string(), z.array(z.string()).min(1)], "must be a variable's name, or a list of them")
    .optional(),
  models: z.array(ModelPattern).min(1, "must name a model or a pattern").optional(),
  headers: z.record(z.string().regex(/^[\w-]+$/), z.string()).optional(),
  limits: z.record(ModelPattern, LimitsOfModel).optional(),
  prices: z.record(ModelPattern, PriceOfModel).optional(),
  maxConcurrency: positive.optional(),
});
type Entry = z.infer<typeof Entry>;

const File = z.strictObject({
  providers: z.array(Entry),
  fallbacks: z.record(ModelPattern, z.array(z.string().min(1)).min(1)).optional(),
});

/** Reads a providers file. Returns its content, or the problems, one line of text each, with line and field. */
export function readProvidersFile(
  path: string,
  given: Environment,
): { ok: true; file: ProvidersFile } | { ok: false; problems: string[] } {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    const why = error instanceof Error && "code" in error ? String(error.code) : String(error);
    return { ok: false, problems: [`${path} cannot be read (${why})`] };
  }
  try {
    const { value, lineOf } = parsePlaced(text);
    const parsed = File.safeParse(value);
    const named = parsed.data?.providers.flatMap(({ apiKeyEnv }) => apiKeyEnv ?? []) ?? [];
    const { env, problems: unread } = readSecretFiles(given, named);
    const problems = parsed.success
      ? parsed.data.providers.flatMap((entry, i) => problemsOf(entry, i, parsed.data, given))
      : findingsOf(parsed.error.issues);
    const reported = problems.map(
      (problem) =>
        `${path}, line ${lineOf(problem.path)}: ${fieldOf(problem.path)}${problem.message}`,
    );
    reported.push(...unread);
    if (!parsed.success || reported.length > 0) return { ok: false, problems: reported };
    const { providers, fallbacks = {} } = parsed.data;
    return {
      ok: true,
      file: {
        providers: providers.map((entry) => toProvider(entry, env)),
        fallbacks: Object.entries(fallbacks),
      },
    };
  } catch (error) {
    if (!(error instanceof JsonPlaceError)) throw error;
    return { ok: false, problems: [`${path}, line ${error.line}: ${error.message}`] };
  }
}

/** The problems that a schema cannot find: conflicts with other providers and with the environment. */
function problemsOf(
  entry: Entry,
  index: number,
  { providers }: z.infer<typeof File>,
  env: Environment,
): Finding[] {
  const problems: Finding[] = [];
  const report = (field: string[], message: string) =>
    problems.push({ path: ["providers", index, ...field], message });
  if (providers.findIndex(({ name }) => name === entry.name) < index)
    report(["name"], `is the name of another provider, too`);
  if (entry.name !== DEFAULT_PROVIDER) {
    if (entry.baseUrl === undefined) report([], "has no baseUrl");
    if (entry.models === undefined) report([], "has no models");
  }
  for (const name of [entry.apiKeyEnv ?? []].flat())
    if (!env[name]?.trim() && !env[`${name}_FILE`]?.trim())
      report(["apiKeyEnv"], `names ${name}, which is not set`);
  return problems;
}

function toProvider(entry: Entry, env: Environment): Provider {
  const isDefault = entry.name === DEFAULT_PROVIDER;
  const named = [entry.apiKeyEnv ?? (isDefault ? "OPENAI_API_KEY" : [])].flat();
  const keys = named.map((name) => env[name]?.trim() ?? "").filter((key) => key !== "");
  return {
    kind: "openai",
    name: entry.name,
    baseUrl: entry.baseUrl ?? (env["OPENAI_BASE_URL"]?.trim() || OPENAI_URL),
    apiKeys: keys.length > 0 ? keys : [NO_KEY],
    headers: entry.headers ?? {},
    models: entry.models ?? null,
    limits: Object.entries(entry.limits ?? {}).map(([models, { rpm = null, tpm = null }]) => [
      models,
      { rpm, tpm },
    ]),
    prices: Object.entries(entry.prices ?? {}),
    maxConcurrency: entry.maxConcurrency ?? null,
  };
}

export const OPENAI_URL = "https://api.openai.com/v1";
/** Sent if no key is needed, because the SDK requires one. */
export const NO_KEY = "none";

/** A path in readable form, as the beginning of a message. */
function fieldOf(path: readonly PropertyKey[]): string {
  const text = path
    .map((key) => (typeof key === "number" ? `[${key}]` : `.${String(key)}`))
    .join("")
    .replace(/^\./, "");
  return text === "" ? "the file " : `${text} `;
}
