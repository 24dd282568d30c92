import { z } from "@hono/zod-openapi";

import type { Waiting } from "../../context.ts";
import { readAnswer } from "../../domain/answer.ts";
import {
  BATCH_STATUSES,
  batchExecutionId,
  costOf,
  OUTPUT_STATUSES,
  progressOf,
} from "../../domain/batch.ts";
import { CHAIN_STATUSES, isWaitingBatch } from "../../domain/chain.ts";
import { INPUT_FORMATS } from "../../domain/input-found.ts";
import { estimateCompletion } from "../../domain/outlook.ts";
import { executionId, isFinal } from "../../domain/task.ts";
import { parseJson } from "../../lib/json.ts";
import type { Batch, BatchTask } from "../../store/batches.ts";
import { Pagination } from "../paging.ts";
import { Time, toIso, toIsoOrNull, orNull, FreeObject, TokenSums } from "../router.ts";
import { CancelReason, reasonOf, TaskError, TaskStatusName, toError } from "./task-body.ts";

export const BatchStatusName = z.enum(BATCH_STATUSES).openapi("BatchStatus");

export const Contains = z.string().min(1).max(200).optional().openapi({
  description:
    "Only rows that have this text in their id, input, answer or error, whatever the case of its letters",
});

export const WARNING =
  "The name of the file says another format than its content, in which it was read";

const Input = z
  .object({
    format: z.enum(INPUT_FORMATS),
    delimiter: z.string().nullable(),
    encoding: z.string().nullable(),
    columns: z.array(z.string()).openapi({
      description:
        "As templates and JSON results name them: a column without a name is `column_3`, a second `city` is `city_2`",
    }),
    sheet: z.string().optional().openapi({ description: "Of a workbook: the sheet that was read" }),
    dates: z.array(z.string()).optional().openapi({
      description: "Of a workbook or Parquet: the columns that hold dates",
    }),
    warning: z.string().optional().openapi({ description: WARNING }),
    rows: z.number().int(),
    skipped: z.number().int().openapi({
      description: "Rows that are blank or hold only delimiters; they are not tasks",
    }),
    idPrefix: z
      .string()
      .optional()
      .openapi({
        description:
          "Where an id of the file was that of another task already, or a schedule has made the batch: what the ids of all of its " +
          "tasks have before the ids of their rows. Results have the rows' ids as they are",
        example: "batch-001.",
      }),
  })
  .openapi("BatchInput", {
    description:
      "How `inputFile` or `inputBatch` was read, and what it contains; null for inline tasks",
  });

const Reused = z.number().int().openapi({
  description:
    "Rows for which `baseBatch` had an answer when the batch was created; `progress.cached` counts those that took one",
});

export const CreatedBatch = z
  .object({
    id: z.string(),
    status: BatchStatusName,
    taskCount: z.number().int().openapi({
      description: "0 for a batch that waits for its `inputBatch`",
    }),
    reused: Reused.optional(),
    createdAt: Time,
  })
  .openapi("CreatedBatch");

const Progress = z
  .object({
    total: z.number().int(),
    completed: z.number().int(),
    failed: z.number().int(),
    cancelled: z.number().int(),
    pending: z.number().int(),
    running: z.number().int(),
    truncated: z.number().int().openapi({
      description: "Of the completed ones, those whose answers were cut off (`finishReason`)",
    }),
    cached: z.number().int().openapi({
      description: "Of the completed ones, those that reused the answer to an identical request",
    }),
    repaired: z.number().int().openapi({
      description: "Of the completed ones, those whose answers match `output` after a repair",
    }),
    skipped: z.number().int().openapi({
      description:
        "Of the cancelled ones, those for which `onlyIf` is false; no call is made for them",
    }),
  })
  .openapi("BatchProgress", {
    description: "total = completed + failed + cancelled + pending + running",
  });

const Output = z
  .object({ status: z.enum(OUTPUT_STATUSES), error: z.string().nullable() })
  .openapi("BatchOutput", {
    description: "The state of writing `outputFile`; null before the batch ends",
  });

const Chain = z
  .object({
    status: z.enum(CHAIN_STATUSES).openapi({
      description:
        "`waiting`: the other batch has not ended, and there are no tasks yet; `checking`: its file is read first, as of batches " +
        "that are made through `/v1`; `made`: they are there; `failed`: they cannot be made",
    }),
    isToStart: z.boolean().openapi({
      description: "It was executed while it waits, and starts when it has its tasks",
    }),
    error: orNull(
      z
        .object({ code: z.string(), message: z.string(), details: FreeObject.optional() })
        .openapi("ChainError", {
          description:
            "Why the rows cannot be made; `details` has the first ten wrong rows, or other issues",
        }),
    ),
  })
  .openapi("BatchChain", {
    description:
      "How far the rows are that come from `inputBatch`, or from the file of a batch that was made through `/v1`; null of others",
  });

const PauseReason = z
  .object({ code: z.string(), message: z.string() })
  .openapi("PauseReason", { description: "Why the batch is paused; `requested` is by a client" });

const WaitingBody = z.object({ reason: z.string(), until: Time.nullable() }).openapi("Waiting", {
  description:
    "Why tasks that could run do not: `rate_limit` (the provider's limits; `until` is when the next " +
    "may start), the code of the pause, `input_batch` (the batch that gives the rows has not ended), or `input_file` (it is being checked)",
});

export const BatchListItem = z
  .object({
    id: z.string(),
    name: z.string(),
    description: z.string().nullable(),
    status: BatchStatusName,
    progress: Progress,
    isDryRun: z.boolean(),
    config: FreeObject,
    metadata: orNull(FreeObject),
    inputFile: z.string().nullable(),
    inputBatch: z.string().nullable(),
    chain: orNull(Chain),
    input: orNull(Input),
    baseBatch: z.string().nullable().openapi({ description: "The batch whose answers it reuses" }),
    reused: Reused,
    outputFile: z.string().nullable(),
    output: orNull(Output),
    pauseReason: orNull(PauseReason),
    executionId: z.string().nullable(),
    usage: TokenSums,
    costUsd: z.number().nullable().openapi({
      description:
        "Sum of the answers with a known price; null if none has one. For a dry run, what it would have cost",
    }),
    createdAt: Time,
    updatedAt: Time,
    startedAt: Time.nullable(),
    completedAt: Time.nullable(),
  })
  .openapi("BatchSummary");

const TaskInBatch = z
  .object({
    id: z.string(),
    status: TaskStatusName,
    result: z.string().nullable().openapi({ description: "The answer's text" }),
    reason: CancelReason,
    error: orNull(TaskError),
    executionId: z.string().nullable(),
  })
  .openapi("TaskInBatch");

export const BatchBody = BatchListItem.extend({
  waiting: orNull(WaitingBody),
  estimatedCompletionAt: Time.nullable().openapi({
    description: "At the rate so far; null before there is anything to estimate from",
  }),
  tasks: z.array(TaskInBatch),
  pagination: Pagination,
}).openapi("Batch");

export function toListItem(batch: Batch): z.infer<typeof BatchListItem> {
  const ended = batch.completed + batch.failed;
  return {
    id: batch.id,
    name: batch.name,
    description: batch.description,
    status: BatchStatusName.parse(batch.status),
    progress: progressOf(batch),
    isDryRun: batch.isDryRun,
    config: batch.config,
    metadata: batch.metadata,
    inputFile: batch.inputFile,
    inputBatch: batch.inputBatch,
    chain: toChain(batch),
    input: batch.input,
    baseBatch: batch.baseBatch,
    reused: batch.reused,
    outputFile: batch.outputFile,
    output: batch.outputStatus && { status: batch.outputStatus, error: batch.outputError },
    pauseReason: batch.pauseReason,
    executionId: batch.run > 0 ? batchExecutionId(batch.seq, batch.run) : null,
    usage: {
      promptTokens: batch.promptTokens,
      completionTokens: batch.completionTokens,
      totalTokens: batch.promptTokens + batch.completionTokens,
    },
    costUsd:
      batch.unpriced > 0 && batch.unpriced >= ended ? null : Number(costOf(batch).toFixed(9)),
    createdAt: toIso(batch.createdAt),
    updatedAt: toIso(batch.updatedAt),
    startedAt: toIsoOrNull(batch.startedAt),
    completedAt: toIsoOrNull(batch.completedAt),
  };
}

function toChain(batch: Batch): z.infer<typeof Chain> | null {
  if (batch.inputBatch === null && batch.openAi === null) return null;
  const error = batch.chainError;
  return {
    status: batch.chainStatus ?? "made",
    isToStart: isWaitingBatch(batch) && batch.payer !== null,
    error: error && {
      code: error.code,
      message: error.message,
      ...(error.details ? { details: { ...error.details } } : {}),
    },
  };
}

/** What a batch waits for, and when it is expected to end. */
export function toOutlook(batch: Batch, live: Waiting | null, now: number) {
  const running = batch.status === "running" ? live : null;
  const estimate = estimateCompletion(batch, running?.until ?? null, now);
  const paused =
    batch.status === "paused"
      ? { reason: batch.pauseReason?.code ?? "requested", until: null }
      : isWaitingBatch(batch)
        ? { reason: batch.inputBatch === null ? "input_file" : "input_batch", until: null }
        : null;
  return {
    waiting: running ? { reason: running.reason, until: toIsoOrNull(running.until) } : paused,
    estimatedCompletionAt: toIsoOrNull(estimate),
  };
}

export function toTaskInBatch({
  task,
  input,
  execution: latest,
}: BatchTask): z.infer<typeof TaskInBatch> {
  const execution = isFinal(task.status) ? latest : null;
  const answer = execution?.response && readAnswer(input.endpoint, parseJson(execution.response));
  return {
    id: task.id,
    status: task.status,
    result: answer ? answer.content : null,
    reason: reasonOf(task),
    error: execution && toError(execution),
    executionId: execution && executionId(task.seq, execution.run),
  };
}
