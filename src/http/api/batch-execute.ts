import { z } from "@hono/zod-openapi";
import type { Context } from "hono";

import { invalid } from "../../errors.ts";
import { executeBatch } from "../../services/batch-moves.ts";
import { getBatch, waitForBatch } from "../../services/batches.ts";
import { MOST_PILOT_ROWS, pilotBatch, type PilotRows } from "../../services/pilot.ts";
import { holdWait } from "../connections.ts";
import { failures } from "../failures.ts";
import { readWait, waitApplied } from "../headers.ts";
import { route } from "../route.ts";
import { type AppEnv, createRouter, json, needs, optionalBody, success } from "../router.ts";
import { BatchStatusName } from "./batch-body.ts";
import { BatchParams } from "./batches.ts";
import { DryRunQuery, dryRunOf, waitHeader } from "./run-options.ts";

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

const execute = route({
  operationId: "executeBatch",
  method: "post",
  path: "/batches/{id}/execute",
  tags: ["batches"],
  summary: "Start a batch",
  description:
    "With `isDryRun` the simulator answers, and results say so; a batch that was a dry run can be " +
    "started again, for real or not, and its answers are then created again. With `limit` or `sample` it is a " +
    "pilot: that many rows run for real, and the batch stays `pending` with their results; no output " +
    "file, `batch.completed` or webhook of the batch follows. `measured` of the estimate says what the rest " +
    "will cost by that. Executing the batch then continues with the rest. The rows of a pilot run like " +
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

export const batchExecuteRoutes = createRouter().openapi(execute, async (c) => {
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
  const { executionId } = await executeBatch(c.var.ctx, id, { isDryRun, payer });
  if (executionId !== null) c.set("executionId", executionId);
  const ended = await statusOnceEnded(c, id, (ms, signal) =>
    waitForBatch(c.var.ctx, id, ms, signal),
  );
  if (ended) return c.json(success(c, { executionId, status: ended }, "Batch executed"), 200);
  const status = executionId === null ? ("pending" as const) : ("running" as const);
  const message =
    executionId === null ? "Batch starts when its rows are there" : "Batch execution started";
  return c.json(success(c, { executionId, status }, message), 200);
});
