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
  /** The sizes of those files, once counted. */
  bytes?: Partial<Record<ResultPart, number>>;
};

/** The two result files: answers, and requests that failed or were never sent. */
export const RESULT_PARTS = ["output", "errors"] as const;
export type ResultPart = (typeof RESULT_PARTS)[number];
