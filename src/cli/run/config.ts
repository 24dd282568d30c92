import { readFileSync } from "node:fs";

import { isJsonObject, type Json, type JsonObject, parseJson } from "../../lib/json.ts";
import { usageError } from "../failure.ts";

/** The options of `run` that define the request. */
export type AskOptions = {
  prompt?: string | undefined;
  system?: string | undefined;
  model?: string | undefined;
  columns?: string[] | undefined;
  schema?: string | undefined;
  temperature?: number | undefined;
  maxTokens?: number | undefined;
  onlyIf?: string | undefined;
  sheet?: string | undefined;
  config?: string | undefined;
};

/** The `config` of a batch; options take precedence over the file of `--config`. */
export function configOf(options: AskOptions): JsonObject {
  const { columns, schema, sheet } = options;
  if (columns !== undefined && schema !== undefined)
    throw usageError("Give either --columns or --schema");
  const base = options.config === undefined ? {} : readObject(options.config, "--config");
  const output = schema === undefined ? columns : readObject(schema, "--schema");
  const own: Record<string, Json | undefined> = {
    promptTemplate: options.prompt,
    systemPrompt: options.system,
    model: options.model,
    output,
    temperature: options.temperature,
    maxTokens: options.maxTokens,
    onlyIf: options.onlyIf,
    xlsx: sheet === undefined ? undefined : { sheet: /^\d+$/.test(sheet) ? Number(sheet) : sheet },
  };
  const given = Object.entries(own).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, value] as const],
  );
  return { ...base, ...Object.fromEntries(given) };
}

function readObject(path: string, option: string): JsonObject {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw usageError(`${option} ${path} cannot be read: ${why}`);
  }
  const value = parseJson(text.replace(/^\uFEFF/, ""));
  if (isJsonObject(value)) return value;
  throw usageError(`${option} ${path} does not hold a JSON object`);
}
