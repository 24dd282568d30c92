import { isJsonObject, type JsonObject, parseJson } from "../lib/json.ts";
import { parsedAnswer } from "./answer-json.ts";
import { type Answer, readAnswer } from "./answer.ts";
import type { Endpoint } from "./request.ts";
import type { TaskStatus } from "./task.ts";

/** The data of one result. */
export type ResultSource = {
  seq: number;
  id: string;
  status: TaskStatus;
  isSkipped: number;
  model: string;
  endpoint: Endpoint;
  /** The row of the batch's input: a JSON array (CSV) or the line itself (JSONL); null for inline tasks. */
  cells: string | null;
  /** Set if the answer is checked, so the answer of a completed task matches its schema. */
  maxRepairs: number | null;
  /** Only of inline tasks, whose columns are made from them. */
  body: string | null;
  prompt: string | null;
  metadata: string | null;
  run: number | null;
  attempts: number | null;
  isDryRun: number | null;
  isCached: number | null;
  isEstimated: number | null;
  promptTokens: number | null;
  completionTokens: number | null;
  costUsd: number | null;
  /** From its start to its end, including retries and the waits between them. */
  durationMs: number | null;
  /** The model that was called. */
  calledModel: string | null;
  response: string | null;
  error: string | null;
};

export function answerOf({ endpoint, response }: ResultSource): Answer | undefined {
  return response === null ? undefined : readAnswer(endpoint, parseJson(response));
}

/** The JSON object of an answer that was checked and matches its schema. */
export function parsedOf(row: ResultSource, answer: Answer | undefined): JsonObject | null {
  const isGood = row.maxRepairs !== null && row.status === "completed";
  return isGood && answer ? parsedAnswer(answer.content) : null;
}

/** Why an answer ended, or why there is none. */
export function finishReasonOf(row: ResultSource, answer: Answer | undefined): string | null {
  return row.status === "cancelled" && row.isSkipped === 1
    ? "skipped"
    : (answer?.finishReason ?? null);
}

export function errorText(json: string): string {
  const error = parseJson(json);
  return isJsonObject(error) ? `${String(error["code"])}: ${String(error["message"])}` : json;
}
