import { z } from "@hono/zod-openapi";

import { ASSUMED_OUTPUT_TOKENS } from "../../domain/estimate.ts";
import { Description, Name } from "../../domain/text.ts";
import { estimateBatch } from "../../services/estimate.ts";
import { rewriteOutput } from "../../services/outputs.ts";
import * as service from "../../services/run-batch.ts";
import { failures } from "../failures.ts";
import { flag } from "../paging.ts";
import { route } from "../route.ts";
import { createRouter, done, json, needs, success, successOnly, orNull } from "../router.ts";
import { BatchListItem, toListItem } from "./batch-body.ts";
import { BatchParams } from "./batches.ts";
import { DryRunQuery, dryRunOf, ExecutionStarted } from "./tasks.ts";

const Started = json(ExecutionStarted, "The execution");

/** A route that takes the id of a batch and nothing else. */
function plainAction<const A extends string>(
  action: A,
  operationId: string,
  summary: string,
  description: string,
) {
  return route({
    operationId,
    method: "post",
    path: `/batches/{id}/${action}` as `/batches/{id}/${A}`,
    tags: ["batches"],
    summary,
    description,
    ...needs("write"),
    request: { params: BatchParams },
    responses: { 200: json(BatchListItem, "The batch"), ...failures(404, 409) },
  });
}

const execute = route({
  operationId: "executeBatch",
  method: "post",
  path: "/batches/{id}/execute",
  tags: ["batches"],
  summary: "Start a batch",
  description:
    "With `isDryRun` the simulator answers, and results say so; a batch that was a dry run can be " +
    "started again, for real or not, and its answers are then made anew.",
  ...needs("write"),
  request: {
    params: BatchParams,
    query: z.strictObject({ isDryRun: DryRunQuery }),
    body: {
      content: {
        "application/json": {
          schema: z
            .strictObject({ isDryRun: z.boolean().optional() })
            .openapi("BatchExecuteOptions"),
        },
      },
      required: false,
    },
  },
  responses: { 200: Started, ...failures(404, 409) },
});

const pause = plainAction(
  "pause",
  "pauseBatch",
  "Start no more tasks of a batch",
  "Calls in flight finish. The batch stays paused, through restarts too, until it is resumed or cancelled.",
);

const resume = plainAction(
  "resume",
  "resumeBatch",
  "Let a paused batch go on",
  "It continues where it stood.",
);

const cancel = plainAction(
  "cancel",
  "cancelBatch",
  "Cancel a batch",
  "Calls in flight are aborted and every task that has not finished becomes `cancelled`; results so " +
    "far stay. With very many tasks the answer comes before the last of them is cancelled: " +
    "`completedAt` is set once all are.",
);

const output = plainAction(
  "output",
  "writeBatchOutput",
  "Write the outputFile of a batch again",
  "For instance after the disk was full: `output.error` says why writing failed.",
);

const retry = route({
  operationId: "retryBatch",
  method: "post",
  path: "/batches/{id}/retry",
  tags: ["batches"],
  summary: "Run the failed tasks of a batch again",
  ...needs("write"),
  request: {
    params: BatchParams,
    body: {
      content: {
        "application/json": {
          schema: z
            .strictObject({
              statuses: z
                .array(z.enum(["failed", "cancelled"]))
                .min(1)
                .max(2)
                .optional()
                .openapi({ description: "Which tasks to run again; `failed` unless told" }),
            })
            .openapi("BatchRetryOptions"),
        },
      },
      required: false,
    },
  },
  responses: { 200: Started, ...failures(404, 409) },
});

const CostRange = z
  .object({ min: z.number(), max: z.number() })
  .openapi("CostRange", { description: "In USD; null where the price of a model is not known" });

const estimate = route({
  operationId: "getBatchEstimate",
  method: "get",
  path: "/batches/{id}/estimate",
  tags: ["batches"],
  summary: "Estimate what the rest of a batch will take",
  description:
    "Of the tasks that have not ended. Tokens of prompts are counted with the model's tokenizer: of " +
    "every task where there are up to 1,000, else of 1,000 (`sampledTasks`) spread evenly; a " +
    "long text by a sample of it. An answer " +
    `has at least one token and at most what the task allows, or ${ASSUMED_OUTPUT_TOKENS} where it sets no ` +
    "limit. The duration is that of so many calls, `concurrency` at once, each taking what the last " +
    "200 took on average (two seconds before the first); waiting for the provider's limits is not in it.",
  ...needs("read"),
  request: { params: BatchParams },
  responses: {
    200: json(
      z
        .object({
          tasks: z.number().int(),
          sampledTasks: z.number().int(),
          promptTokens: z.number().int(),
          completionTokens: z
            .object({ min: z.number().int(), max: z.number().int() })
            .openapi("TokenRange"),
          costUsd: orNull(CostRange),
          unpricedModels: z.array(z.string()),
          durationSeconds: z.number(),
          concurrency: z.number().int(),
          secondsPerCall: z.number(),
        })
        .openapi("BatchEstimate"),
      "The estimate",
    ),
    ...failures(404),
  },
});

const change = route({
  operationId: "updateBatch",
  method: "patch",
  path: "/batches/{id}",
  tags: ["batches"],
  summary: "Change a batch's name, description, maxConcurrency or maxCostUsd, while it runs, too",
  ...needs("write"),
  request: {
    params: BatchParams,
    body: {
      content: {
        "application/json": {
          schema: z
            .strictObject({
              name: Name.optional(),
              description: Description.nullable().optional(),
              maxConcurrency: z
                .number()
                .int()
                .min(1)
                .max(10_000)
                .nullable()
                .optional()
                .openapi({ description: "Holds from the next call on; null lifts the limit" }),
              maxCostUsd: z.number().positive().max(1_000_000_000).nullable().optional().openapi({
                description:
                  "What the batch may cost, its tasks executed one by one included; null lifts the limit",
              }),
            })
            .openapi("BatchUpdate"),
        },
      },
      required: true,
    },
  },
  responses: { 200: json(BatchListItem, "The batch"), ...failures(404) },
});

const remove = route({
  operationId: "deleteBatch",
  method: "delete",
  path: "/batches/{id}",
  tags: ["batches"],
  summary: "Delete a batch with its tasks and results",
  ...needs("write"),
  request: {
    params: BatchParams,
    query: z.strictObject({
      force: flag("Delete it though it runs; it is cancelled first"),
    }),
  },
  responses: { 200: done("The batch is gone"), ...failures(404, 409) },
});

export const batchActionRoutes = createRouter()
  .openapi(execute, async (c) => {
    const isDryRun = dryRunOf(c.req.valid("query"), c.req.valid("json"));
    const { id } = c.req.valid("param");
    const payer = c.var.caller.key;
    const { executionId } = await service.executeBatch(c.var.ctx, id, { isDryRun, payer });
    c.set("executionId", executionId);
    return c.json(
      success(c, { executionId, status: "running" as const }, "Batch execution started"),
      200,
    );
  })
  .openapi(pause, async (c) => {
    const reason = { code: "requested", message: "Paused through the API" };
    const batch = await service.pauseBatch(c.var.ctx, c.req.valid("param").id, reason);
    return c.json(success(c, toListItem(batch), "Batch paused"), 200);
  })
  .openapi(resume, async (c) => {
    const batch = await service.resumeBatch(c.var.ctx, c.req.valid("param").id);
    return c.json(success(c, toListItem(batch), "Batch resumed"), 200);
  })
  .openapi(cancel, async (c) => {
    const batch = await service.cancelBatch(c.var.ctx, c.req.valid("param").id);
    return c.json(success(c, toListItem(batch), "Batch cancelled"), 200);
  })
  .openapi(output, async (c) => {
    const batch = await rewriteOutput(c.var.ctx, c.req.valid("param").id);
    return c.json(success(c, toListItem(batch), "The output file is being written"), 200);
  })
  .openapi(retry, async (c) => {
    const { statuses = ["failed"] } = c.req.valid("json");
    const payer = c.var.caller.key;
    const { id } = c.req.valid("param");
    const { executionId } = await service.retryBatch(c.var.ctx, id, { statuses, payer });
    c.set("executionId", executionId);
    return c.json(
      success(c, { executionId, status: "running" as const }, "Batch execution started"),
      200,
    );
  })
  .openapi(estimate, async (c) => {
    return c.json(success(c, await estimateBatch(c.var.ctx, c.req.valid("param").id)), 200);
  })
  .openapi(change, async (c) => {
    const batch = await service.updateBatch(
      c.var.ctx,
      c.req.valid("param").id,
      c.req.valid("json"),
    );
    return c.json(success(c, toListItem(batch), "Batch updated successfully"), 200);
  })
  .openapi(remove, async (c) => {
    await service.deleteBatch(c.var.ctx, c.req.valid("param").id, c.req.valid("query").force);
    return c.json(successOnly(c, "Batch deleted successfully"), 200);
  });
