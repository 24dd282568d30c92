import type { ChainStatus } from "../domain/chain.ts";
import type { InputFound } from "../domain/input-found.ts";
import type { OpenAiTerms } from "../domain/openai-batch.ts";
import type { Idempotency } from "./idempotency.ts";

export type NewBatch = {
  /** The name it has while it is written. */
  draft: string;
  id: string;
  name: string;
  description: string | null;
  apiKey: number;
  /** The node that writes it; 0 for none. */
  owner: number;
  inputFile: string | null;
  inputBatch: string | null;
  /** `waiting`: it has no rows yet. A draft that takes the place of such a batch becomes `made` as it does. */
  chainStatus: ChainStatus | null;
  outputFile: string | null;
  columns: string[] | null;
  input: InputFound | null;
  /** The batch whose answers it takes over. */
  baseBatch: string | null;
  config: object;
  metadata: object | null;
  maxConcurrency: number | null;
  maxCostUsd: number | null;
  idempotency: Idempotency | null;
  /** Trace context of the request that creates it. */
  trace: string | null;
  /** Set where it was created through OpenAI's Batch API, which starts it by itself. */
  openAi: OpenAiTerms | null;
  deadlineAt: number | null;
  payer: number | null;
  now: number;
  /** The clock of waits, which does not jump. */
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
  /** What is kept of the row of the file: a JSON array of a CSV's cells, or a JSONL line as it stands. */
  cells: string | null;
  idempotencyKey: string | null;
  fingerprint: string | null;
  /** It ends at once, as cancelled. */
  isSkipped: boolean;
};

/** How many rows of a batch were written, by model, too; how many take over an answer; and those that were not written, because they are adopted. */
export type WrittenRows = {
  written: number;
  models: ReadonlyMap<string, number>;
  reused: number;
  adopted: NewRow[];
};
