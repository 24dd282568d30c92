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
  /** Ids and idempotency keys of the rows hold within the batch alone. */
  scopedIds?: boolean | undefined;
  outputFile?: string | undefined;
  metadata?: Record<string, unknown> | undefined;
  /** The batch whose answers rows take over that ask for the same. */
  baseBatch?: string | undefined;
  config?: BatchConfig | undefined;
  idempotencyKey?: string | undefined;
  /** Of a batch that is made through OpenAI's Batch API: its file is checked after it was created, and it starts by itself. */
  openAi?: OpenAiTerms | undefined;
  deadlineAt?: number | undefined;
};

/** For a batch that may be created by several processes, or again after a crash. */
export type Attempt = {
  /** What the name of its draft begins with, for `discardDrafts`. */
  draft: string;
  /** It is created only if this holds when its rows are all there. */
  when: Which;
  /** The batch that has waited for these rows, whose place it takes. */
  held?: Held;
};

/** What creating a batch has found out before its rows are read. */
export type Given = Pick<NewBatch, "id" | "now" | "steadyNow" | "idempotency"> &
  Pick<Attempt, "draft" | "when"> & { held: Held | undefined };

/** What of a batch follows from its input. */
export type Found = Pick<NewBatch, "chainStatus" | "columns" | "input">;

export function toNewBatch(
  ctx: Context,
  caller: Pick<Caller, "key">,
  input: BatchDraft,
  found: Found,
  { id, now, steadyNow, draft, idempotency }: Given,
): NewBatch {
  const config = input.config ?? {};
  return {
    ...found,
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

/** A URL may have a signature or a token in it, which is kept nowhere. */
function shownInput(inputFile: string): string {
  return isUrl(inputFile) ? shownUrl(inputFile) : inputFile;
}
