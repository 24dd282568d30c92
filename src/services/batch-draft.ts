import type { Context } from "../context.ts";
import type { OpenAiTerms } from "../domain/openai-batch.ts";
import type { BatchConfig, TaskInput } from "../domain/task-input.ts";
import { randomBase32 } from "../lib/ids.ts";
import type { Held } from "../store/chains.ts";
import type { NewBatch } from "../store/new-batch.ts";
import type { Which } from "../store/which.ts";
import type { Caller } from "./caller.ts";
import { isUrl, shownUrl } from "./input-url.ts";

export type BatchDraft = {
  id?: string | undefined;
  name?: string | undefined;
  description?: string | undefined;
  tasks?: TaskInput[] | undefined;
  inputFile?: string | undefined;
  inputBatch?: string | undefined;
  /** Ids and idempotency keys of the rows are unique only within the batch. */
  scopedIds?: boolean | undefined;
  outputFile?: string | undefined;
  metadata?: Record<string, unknown> | undefined;
  /** The batch whose answers are reused for equal requests. */
  baseBatch?: string | undefined;
  config?: BatchConfig | undefined;
  idempotencyKey?: string | undefined;
  /** For a batch through OpenAI's Batch API: its file is checked after its creation, and it starts by itself. */
  openAi?: OpenAiTerms | undefined;
  deadlineAt?: number | undefined;
};

/** For a batch that may be created by several processes, or again after a crash. */
export type Attempt = {
  /** The prefix of its draft's name, for `discardDrafts`. */
  draft: string;
  /** It is created only if this holds when all of its rows are written. */
  when: Which;
  /** The waiting batch that it replaces. */
  held?: Held;
};

/** The facts about a batch that are known before its rows are read. */
export type Given = Pick<NewBatch, "id" | "now" | "steadyNow" | "idempotency"> &
  Pick<Attempt, "draft" | "when"> & { held: Held | undefined };

export function toNewBatch(
  ctx: Context,
  caller: Pick<Caller, "key">,
  input: BatchDraft,
  chainStatus: NewBatch["chainStatus"],
  { id, now, steadyNow, draft, idempotency }: Given,
): NewBatch {
  const config = input.config ?? {};
  return {
    chainStatus,
    draft: `~${draft}${randomBase32(ctx.random, 16)}`,
    id,
    name: input.name ?? id,
    description: input.description ?? null,
    apiKey: caller.key,
    owner: ctx.live.node,
    inputFile: input.inputFile === undefined ? null : shownInput(input.inputFile),
    inputBatch: input.inputBatch ?? null,
    outputFile: input.outputFile ?? null,
    baseBatch: input.baseBatch ?? null,
    config,
    metadata: input.metadata ?? null,
    maxConcurrency: config.maxConcurrency ?? null,
    maxCostUsd: config.maxCostUsd ?? null,
    idempotency,
    trace: ctx.tracing.current(),
    openAi: input.openAi ?? null,
    deadlineAt: input.deadlineAt ?? null,
    payer: input.openAi ? caller.key : null,
    now,
    steadyNow,
  };
}

/** A URL may contain a signature or a token, which must not be stored. */
function shownInput(inputFile: string): string {
  return isUrl(inputFile) ? shownUrl(inputFile) : inputFile;
}
