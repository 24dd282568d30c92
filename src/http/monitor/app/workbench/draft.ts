// The draft of the workbench. It is stored in the tab, so that nothing is lost on reload.

import { effect, signal } from "@preact/signals";

import { ended, key } from "../api/client.ts";
import { draftName } from "../api/key-name.ts";

export type Draft = {
  file: { id: string; name: string } | undefined;
  prompt: string;
  system: string;
  model: string;
  /** Names of answer columns, or a JSON Schema. */
  answerKind: "text" | "columns" | "schema";
  answerColumns: { name: string; meaning: string }[];
  answerSchema: string;
  temperature: string;
  maxTokens: string;
  maxConcurrency: string;
  maxCostUsd: string;
  cache: boolean;
  isDryRun: boolean;
  name: string;
  /** The row whose composed prompt is shown. */
  row: number;
  /** The batch of the last pilot. */
  pilot: { id: string; of: string } | undefined;
};

const EMPTY: Draft = {
  file: undefined,
  prompt: "",
  system: "",
  model: "",
  answerKind: "text",
  answerColumns: [{ name: "", meaning: "" }],
  answerSchema: "",
  temperature: "",
  maxTokens: "",
  maxConcurrency: "",
  maxCostUsd: "",
  cache: false,
  isDryRun: false,
  name: "",
  row: 1,
  pilot: undefined,
};

const NAME = draftName(new URL("..", import.meta.url));

export const draft = signal<Draft>(restore());
effect(() => {
  if (draft.value === EMPTY) sessionStorage.removeItem(NAME);
  else sessionStorage.setItem(NAME, JSON.stringify(draft.value));
});
effect(() => {
  if (key.value === undefined && ended.value === "") startAnew();
});

export function change(changes: Partial<Draft>): void {
  draft.value = { ...draft.value, ...changes };
}

export function startAnew(): void {
  draft.value = EMPTY;
}

function restore(): Draft {
  try {
    const stored = JSON.parse(sessionStorage.getItem(NAME) ?? "{}") as Partial<Draft>;
    return { ...EMPTY, ...stored };
  } catch {
    return EMPTY;
  }
}

/** `config` of a batch for the API. Throws if the schema is not JSON. */
export function configOf(from: Draft): Record<string, unknown> {
  const number = (text: string) => (text.trim() === "" ? undefined : Number(text));
  const text = (given: string) => (given.trim() === "" ? undefined : given);
  const all = {
    model: text(from.model.trim()),
    promptTemplate: text(from.prompt),
    systemPrompt: text(from.system),
    temperature: number(from.temperature),
    maxTokens: number(from.maxTokens),
    maxConcurrency: number(from.maxConcurrency),
    maxCostUsd: number(from.maxCostUsd),
    cache: from.cache || undefined,
    output: outputOf(from),
  };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}

function outputOf({ answerKind, answerColumns, answerSchema }: Draft): unknown {
  if (answerKind === "schema" && answerSchema.trim() !== "") {
    try {
      return JSON.parse(answerSchema) as unknown;
    } catch {
      throw new Error("The JSON Schema of the answers is not valid JSON");
    }
  }
  const named = answerColumns.filter(({ name }) => name.trim() !== "");
  if (answerKind !== "columns" || named.length === 0) return undefined;
  const names = named.map(({ name }) => name.trim());
  if (named.every(({ meaning }) => meaning.trim() === "")) return names;
  const properties = named.map(({ name, meaning }) => [
    name.trim(),
    { type: "string", ...(meaning.trim() ? { description: meaning.trim() } : {}) },
  ]);
  return {
    type: "object",
    properties: Object.fromEntries(properties),
    required: names,
    additionalProperties: false,
  };
}

/** Identifies what a pilot has tried: if it changes, the answers of the pilot no longer apply. */
export function fingerprint(from: Draft): string {
  const { maxCostUsd: _cap, maxConcurrency: _most, ...config } = configOf(from);
  return JSON.stringify([from.file?.id, config, from.isDryRun]);
}
