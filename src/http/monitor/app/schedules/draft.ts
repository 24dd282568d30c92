import { ApiError } from "../api/client.ts";
import type { Schedule } from "../api/wire.ts";

/** The fields of a schedule's form, as typed. */
export type Draft = {
  name: string;
  description: string;
  schedule: string;
  timezone: string;
  inputFile: string;
  outputFile: string;
  model: string;
  promptTemplate: string;
  systemPrompt: string;
  maxCostUsd: string;
  /** Everything else of `config`, as JSON. */
  others: string;
  overlapPolicy: Schedule["overlapPolicy"];
  catchUpMinutes: string;
  pauseAfterFailures: string;
  isDryRun: boolean;
};

const text = (value: unknown): string => (value === null || value === undefined ? "" : `${value}`);

export function toDraft(schedule: Schedule | undefined): Draft {
  const { model, promptTemplate, systemPrompt, maxCostUsd, ...others } = schedule?.config ?? {};
  return {
    name: schedule?.name ?? "",
    description: schedule?.description ?? "",
    schedule: schedule?.schedule ?? "0 9 * * MON-FRI",
    timezone: schedule?.timezone ?? Intl.DateTimeFormat().resolvedOptions().timeZone,
    inputFile: schedule?.inputFile ?? "",
    outputFile: schedule?.outputFile ?? "",
    model: text(model),
    promptTemplate: text(promptTemplate),
    systemPrompt: text(systemPrompt),
    maxCostUsd: text(maxCostUsd),
    others: Object.keys(others).length === 0 ? "" : JSON.stringify(others, null, 2),
    overlapPolicy: schedule?.overlapPolicy ?? "skip",
    catchUpMinutes: text((schedule?.catchUpWindowSeconds ?? 3600) / 60),
    pauseAfterFailures: text(schedule?.pauseAfterFailures),
    isDryRun: schedule?.isDryRun ?? false,
  };
}

/** The request for the API. Throws `ApiError` if the settings are not a JSON object. */
export function toBody(draft: Draft) {
  const number = (typed: string) => (typed.trim() === "" ? undefined : Number(typed));
  const given = (typed: string) => (typed.trim() === "" ? undefined : typed);
  return {
    name: draft.name,
    description: given(draft.description) ?? null,
    schedule: draft.schedule.trim(),
    timezone: draft.timezone.trim(),
    inputFile: draft.inputFile.trim(),
    outputFile: given(draft.outputFile.trim()) ?? null,
    overlapPolicy: draft.overlapPolicy,
    catchUpWindowSeconds: Math.round((number(draft.catchUpMinutes) ?? 60) * 60),
    pauseAfterFailures: number(draft.pauseAfterFailures) ?? null,
    isDryRun: draft.isDryRun,
    config: {
      ...readOthers(draft.others),
      model: given(draft.model.trim()),
      promptTemplate: given(draft.promptTemplate),
      systemPrompt: given(draft.systemPrompt),
      maxCostUsd: number(draft.maxCostUsd),
    },
  };
}

function readOthers(typed: string): object {
  if (typed.trim() === "") return {};
  const wrong = (message: string) =>
    new ApiError(400, "VALIDATION_ERROR", message, [{ path: "config", message }]);
  let read: unknown;
  try {
    read = JSON.parse(typed);
  } catch (error) {
    throw wrong(`is not valid JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (typeof read !== "object" || read === null || Array.isArray(read))
    throw wrong('must be a JSON object, such as {"temperature": 0.2}');
  return read;
}
