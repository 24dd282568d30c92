import { z } from "zod";

import { Id } from "../../domain/task-input.ts";
import { pathOf, Refusal, refusedWith } from "../rest.ts";
import { defineTool, type World } from "../tool.ts";
import { waitSeconds } from "../wait.ts";
import { requireProvider } from "./provider.ts";
import { type Batch, batchAfter, describeBatch, taskAfter } from "./standing.ts";

const BatchId = Id.describe("The id of a batch");

export const status = defineTool({
  name: "status",
  title: "How a batch or a task stands",
  description:
    "With an `id` of a batch or a task: how it stands, after waiting for its end for `waitSeconds`. Without: the " +
    "latest batches. Costs nothing.",
  annotations: { readOnlyHint: true },
  own: {
    id: Id.optional().describe(
      "The id of a batch or a task; without, the latest batches are listed",
    ),
    waitSeconds: waitSeconds(30),
  },
  passed: {},
  async run({ own: { id, waitSeconds: seconds } }, world) {
    if (id === undefined) return latestBatches(world);
    try {
      return await batchAfter(world, id, seconds);
    } catch (error) {
      if (!refusedWith(error, "BATCH_NOT_FOUND")) throw error;
    }
    try {
      return await taskAfter(world, id, seconds);
    } catch (error) {
      if (!refusedWith(error, "TASK_NOT_FOUND")) throw error;
      throw new Refusal(
        "NOT_FOUND",
        `There is no batch and no task with id ${id}; without an id, \`status\` lists the latest batches`,
      );
    }
  },
});

async function latestBatches({ rest, signal }: World): Promise<object> {
  const { batches } = await rest.call<{ batches: Batch[] }>("/batches", {
    query: { limit: 10 },
    signal,
  });
  return { batches: batches.map(describeBatch) };
}

export const estimate = defineTool({
  name: "estimate",
  title: "Estimate what a batch will cost",
  description:
    "What the rows of a batch that have not ended will take: tokens, dollars and seconds. `measured` is by the rows " +
    "that have run. Costs nothing.",
  annotations: { readOnlyHint: true },
  own: { batchId: BatchId },
  passed: {},
  run: ({ own: { batchId } }, { rest, signal }) =>
    rest.call<object>(pathOf("batches", batchId, "/estimate"), { signal }),
});

export const retry = defineTool({
  name: "retry",
  title: "Run what failed of a batch again",
  description: "Runs the failed rows of a batch again, and no others. Costs what those rows cost.",
  annotations: { readOnlyHint: false, destructiveHint: false, openWorldHint: true },
  own: {
    batchId: BatchId,
    isCancelledToo: z.boolean().default(false).describe("Also the rows that were cancelled"),
    waitSeconds: waitSeconds(20),
  },
  passed: {},
  async run({ own: { batchId, isCancelledToo, waitSeconds: seconds } }, world) {
    await world.rest.call(pathOf("batches", batchId, "/retry"), {
      method: "POST",
      body: { statuses: isCancelledToo ? ["failed", "cancelled"] : ["failed"] },
      signal: world.signal,
    });
    return batchAfter(world, batchId, seconds);
  },
});

export const control = defineTool({
  name: "control_batch",
  title: "Start, pause, resume or cancel a batch",
  description:
    "`start` begins a batch that was made with `start: false`; `pause` starts no more rows, and `resume` lets it go " +
    "on; `cancel` ends it for good, and keeps the answers so far.",
  annotations: { readOnlyHint: false, destructiveHint: true, openWorldHint: true },
  own: {
    batchId: BatchId,
    action: z.enum(["start", "pause", "resume", "cancel"]),
    isDryRun: z.boolean().default(false).describe("With `start`: let the simulator answer"),
    waitSeconds: waitSeconds(0),
  },
  passed: {},
  async run({ own: { batchId, action, isDryRun, waitSeconds: seconds } }, world) {
    const isStart = action === "start";
    if (isStart) await requireProvider(world, isDryRun);
    await world.rest.call(pathOf("batches", batchId, isStart ? "/execute" : `/${action}`), {
      method: "POST",
      ...(isStart ? { body: { isDryRun } } : {}),
      signal: world.signal,
    });
    return batchAfter(world, batchId, seconds);
  },
});
