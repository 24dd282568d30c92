import type { Endpoint } from "./request.ts";

/** What a batch was created with through OpenAI's Batch API, and what has become of its files since. */
export type OpenAiTerms = {
  endpoint: Endpoint;
  /** As the client wrote it: `24h`, `30m`. */
  completionWindow: string;
  /** After how many seconds its output files are gone; absent: never. */
  outputSeconds?: number;
  /** Files of results that were deleted. */
  gone?: ResultPart[];
  /** How long those files are, once that was counted. */
  bytes?: Partial<Record<ResultPart, number>>;
};

/** The two files of results: answers, and what went wrong or was never asked. */
export const RESULT_PARTS = ["output", "errors"] as const;
export type ResultPart = (typeof RESULT_PARTS)[number];
