import type { Endpoint } from "./request.ts";

/** The settings of a batch that was created through OpenAI's Batch API, and the state of its result files. */
export type OpenAiTerms = {
  endpoint: Endpoint;
  /** As the client wrote it: `24h`, `30m`. */
  completionWindow: string;
  /** After how many seconds its output files expire; absent: never. */
  outputSeconds?: number;
  /** Files of results that were deleted. */
  gone?: ResultPart[];
  /** The sizes of those files, once counted, and the state of the batch that they belong to. */
  sizes?: Partial<Record<ResultPart, { run: number; updatedAt: number; bytes: number }>>;
};

/** The two result files: answers, and requests that failed or were never sent. */
export const RESULT_PARTS = ["output", "errors"] as const;
export type ResultPart = (typeof RESULT_PARTS)[number];

export type OpenAiStatus =
  | "validating"
  | "failed"
  | "in_progress"
  | "finalizing"
  | "completed"
  | "expired"
  | "cancelling"
  | "cancelled";

type Facts = {
  status: string;
  completedAt: number | null;
  expiredAt: number | null;
  outputStatus: string | null;
  total: number;
};

/**
 * The status of a batch in OpenAI's words. Only a batch whose file was refused has failed; one whose requests all failed
 * is completed, with their errors.
 */
export function openAiStatusOf(batch: Facts): OpenAiStatus {
  const { status, completedAt, expiredAt, outputStatus, total } = batch;
  if (status === "pending") return "validating";
  if (status === "running" || status === "paused") return "in_progress";
  if (completedAt === null) return expiredAt === null ? "cancelling" : "finalizing";
  if (expiredAt !== null) return "expired";
  if (status === "cancelled") return "cancelled";
  if (status === "failed" && total === 0) return "failed";
  return outputStatus === "pending" || outputStatus === "writing" ? "finalizing" : "completed";
}
