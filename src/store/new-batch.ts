import type { ChainStatus } from "../domain/chain.ts";
import type { InputFound } from "../domain/input-found.ts";
import type { OpenAiTerms } from "../domain/openai-batch.ts";
import type { Idempotency } from "./idempotency.ts";

export type NewBatch = {
  /** Its name while it is being written. */
  draft: string;
  id: string;
  name: string;
  description: string | null;
  apiKey: number;
  /** The node that writes it; 0 for none. */
  owner: number;
  inputFile: string | null;
  inputBatch: string | null;
  /** `waiting`: the batch has no rows yet. The draft that replaces such a batch becomes `made` when it is published. */
  chainStatus: ChainStatus | null;
  outputFile: string | null;
  /** The batch whose answers it takes over. */
  baseBatch: string | null;
  config: object;
  metadata: object | null;
  maxConcurrency: number | null;
  maxCostUsd: number | null;
  idempotency: Idempotency | null;
  /** Trace context of the request that creates it. */
  trace: string | null;
  /** Set if it was created through OpenAI's Batch API, where a batch starts by itself. */
  openAi: OpenAiTerms | null;
  deadlineAt: number | null;
  payer: number | null;
  now: number;
  /** The time by the monotonic clock, for waits. */
  steadyNow: number;
};

export type NewRow = {
  id: string;
  position: number;
  model: string;
  priority: number;
  maxRetries: number | null;
  timeoutMs: number | null;
  flexMinutes: number | null;
  maxRepairs: number | null;
  escalateTo: string | null;
  endpoint: string;
  body: string;
  cacheKey: string | null;
  /** The execution whose answer it takes over. */
  baseTask: number | null;
  baseRun: number | null;
  prompt: string | null;
  metadata: string | null;
  /** The original row of the file: the cells of a CSV as a JSON array, or the JSONL line unchanged. */
  cells: string | null;
  idempotencyKey: string | null;
  fingerprint: string | null;
  /** The task ends at once, as cancelled. */
  isSkipped: boolean;
};

/** What the input of a batch was found to be. */
export type FoundInput = { columns: string[] | null; input: InputFound | null };

/** The numbers of written rows, in total and by model, and of reused answers; and the rows that replace tasks of a bare batch. */
export type WrittenRows = {
  written: number;
  models: ReadonlyMap<string, number>;
  reused: number;
  adopted: NewRow[];
};
