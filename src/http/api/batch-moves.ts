import { z } from "@hono/zod-openapi";
import type { Context } from "hono";

import { Description, Name } from "../../domain/text.ts";
import { invalid } from "../../errors.ts";
import * as service from "../../services/batch-moves.ts";
import { getBatch, waitForBatch } from "../../services/batches.ts";
import { rewriteOutput } from "../../services/outputs.ts";
import { MOST_PILOT_ROWS, pilotBatch, type PilotRows } from "../../services/pilot.ts";
import { holdWait } from "../connections.ts";
import { failures } from "../failures.ts";
import { readWait, waitApplied } from "../headers.ts";
import { flag } from "../paging.ts";
import { route } from "../route.ts";
import {
  type AppEnv,
  createRouter,
  done,
  json,
  needs,
  optionalBody,
  requiredBody,
  success,
  successOnly,
} from "../router.ts";
import { BatchListItem, BatchStatusName, toListItem } from "./batch-body.ts";
import { BatchParams } from "./batches.ts";
import { DryRunQuery, dryRunOf, ExecutionStarted, waitHeader } from "./tasks.ts";

const Started = json(ExecutionStarted, "The execution");
const BatchStarted = json(
  z
    .object({
      executionId: z.string().nullable().openapi({
        description: "Null for a batch that waits for its rows, which has none before it starts",
      }),
      status: BatchStatusName,
      rows: z.number().int().optional().openapi({ description: "For a pilot: how many rows run" }),
    })
    .openapi("BatchExecutionStarted"),
  "The execution",
  "Preference-Applied",
);

function pilotRows(description: string) {
  return z.number().int().min(1).max(MOST_PILOT_ROWS).optional().openapi({ description });
}

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

const execute = route({
  operationId: "executeBatch",
  method: "post",
  path: "/batches/{id}/execute",
  tags: ["batches"],
  summary: "Start a batch",
  description:
    "With `isDryRun` the simulator answers, and results say so; a batch that was a dry run can be " +
    "started again, for real or not, and its answers are then made anew. With `limit` or `sample` it is a " +
    "pilot: that many rows run for real, and the batch stays `pending` with their results; no output " +
    "file, `batch.completed` or webhook of the batch follows. `measured` of the estimate says what the rest " +
    "will cost by that. Executing the batch then goes on with the rest. The rows of a pilot run like " +
    "tasks that are executed one by one: `maxConcurrency` does not hold for them. A batch that waits for its " +
    "`inputBatch` stays `pending`, and starts by itself when that has ended. `Prefer: wait=N` holds the answer until the " +
    "batch has ended or is paused, or the rows of the pilot have ended.",
  ...needs("write"),
  request: {
    params: BatchParams,
    headers: waitHeader("the batch has ended"),
    query: z.strictObject({ isDryRun: DryRunQuery }),
    body: optionalBody(
      z
        .strictObject({
          isDryRun: z.boolean().optional(),
          limit: pilotRows("Run only this many rows, the first that have not run"),
          sample: pilotRows("Run only this many rows, chosen at random"),
        })
        .openapi("BatchExecuteOptions"),
    ),
  },
  responses: { 200: BatchStarted, ...failures(404, 409) },
});

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
    body: requiredBody(
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

function pilotOf(
  { limit, sample }: { limit?: number | undefined; sample?: number | undefined },
  isDryRun: boolean,
): PilotRows | undefined {
  const rows = limit ?? sample;
  if (rows === undefined) return undefined;
  if (limit !== undefined && sample !== undefined)
    throw invalid([{ path: "sample", message: "give either limit or sample" }]);
  const kind = limit === undefined ? "sample" : "limit";
  if (isDryRun)
    throw invalid([
      { path: kind, message: "a pilot is for real; a dry run of the whole batch costs nothing" },
    ]);
  return { kind, rows };
}

/**
 * Holds the answer as `Prefer: wait` requests. Returns the status of the batch once the wait has ended successfully;
 * `undefined` if it timed out, or no wait was requested.
 */
async function statusOnceEnded(
  c: Context<AppEnv>,
  id: string,
  wait: (ms: number, signal: AbortSignal) => Promise<boolean>,
) {
  const waitMs = readWait(c);
  if (waitMs === 0) return undefined;
  const hasEnded = await holdWait(c, (signal) => wait(waitMs, signal));
  if (!hasEnded) return undefined;
  waitApplied(c);
  return BatchStatusName.parse((await getBatch(c.var.ctx, id)).status);
}

export const batchMoveRoutes = createRouter()
  .openapi(execute, async (c) => {
    const options = c.req.valid("json");
    const isDryRun = dryRunOf(c.req.valid("query"), options);
    const { id } = c.req.valid("param");
    const payer = c.var.caller.key;
    const pilot = pilotOf(options, isDryRun);
    if (pilot) {
      const { executionId, rows, tasks } = await pilotBatch(c.var.ctx, id, { ...pilot, payer });
      c.set("executionId", executionId);
      const status = await statusOnceEnded(c, id, (ms, signal) =>
        c.var.ctx.waits.untilEnded(tasks, ms, signal),
      );
      const message = status === undefined ? "Pilot started" : "Pilot executed";
      return c.json(success(c, { executionId, status: status ?? "running", rows }, message), 200);
    }
    const { executionId } = await service.executeBatch(c.var.ctx, id, { isDryRun, payer });
    if (executionId !== null) c.set("executionId", executionId);
    const ended = await statusOnceEnded(c, id, (ms, signal) =>
      waitForBatch(c.var.ctx, id, ms, signal),
    );
    if (ended) return c.json(success(c, { executionId, status: ended }, "Batch executed"), 200);
    const status = executionId === null ? ("pending" as const) : ("running" as const);
    const message =
      executionId === null ? "Batch starts when its rows are there" : "Batch execution started";
    return c.json(success(c, { executionId, status }, message), 200);
  })
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
