import { z } from "@hono/zod-openapi";

import { Description, Name } from "../../domain/text.ts";
import * as service from "../../services/batch-moves.ts";
import { rewriteOutput } from "../../services/outputs.ts";
import { failures } from "../failures.ts";
import { flag } from "../paging.ts";
import { route } from "../route.ts";
import { createRouter, done, json, needs, optionalBody, success, successOnly } from "../router.ts";
import { BatchListItem, toListItem } from "./batch-body.ts";
import { BatchParams } from "./batches.ts";
import { ExecutionStarted } from "./run-options.ts";

const Started = json(ExecutionStarted, "The execution");
/** A route whose only input is the id of a batch. */
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

const pause = route({
  operationId: "pauseBatch",
  method: "post",
  path: "/batches/{id}/pause",
  tags: ["batches"],
  summary: "Start no more tasks of a batch",
  description:
    "Calls in flight finish, because they are paid for already; with `abort` they are ended within a second, in " +
    "whichever process makes them, and repeated and paid again after the batch is resumed. The batch stays " +
    "paused, through restarts too, until it is resumed or cancelled.",
  ...needs("write"),
  request: {
    params: BatchParams,
    body: optionalBody(
      z
        .strictObject({
          abort: z.boolean().optional().openapi({ description: "End calls in flight" }),
        })
        .openapi("BatchPauseOptions"),
    ),
  },
  responses: { 200: json(BatchListItem, "The batch"), ...failures(404, 409) },
});

const resume = plainAction(
  "resume",
  "resumeBatch",
  "Resume a paused batch",
  "It continues where it was paused.",
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
  "For example after the disk was full: `output.error` says why writing failed.",
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
    body: optionalBody(
      z
        .strictObject({
          statuses: z
            .array(z.enum(["failed", "cancelled"]))
            .min(1)
            .max(2)
            .optional()
            .openapi({ description: "Which tasks to run again; `failed` by default" }),
        })
        .openapi("BatchRetryOptions"),
    ),
  },
  responses: { 200: Started, ...failures(404, 409) },
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
    body: optionalBody(
      z
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
            .openapi({ description: "Applies from the next call on; null removes the limit" }),
          maxCostUsd: z.number().positive().max(1_000_000_000).nullable().optional().openapi({
            description:
              "What the batch may cost, including its tasks that are executed one by one; null removes the limit",
          }),
        })
        .openapi("BatchUpdate"),
    ),
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
      force: flag("Delete it even if it is running; it is cancelled first"),
    }),
  },
  responses: { 200: done("The batch was deleted"), ...failures(404, 409) },
});

export const batchMoveRoutes = createRouter()
  .openapi(pause, async (c) => {
    const reason = { code: "requested", message: "Paused through the API" };
    const { abort = false } = c.req.valid("json");
    const { id } = c.req.valid("param");
    const batch = await service.pauseBatch(c.var.ctx, id, reason, { abort });
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
