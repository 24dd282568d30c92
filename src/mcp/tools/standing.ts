import type { BatchStatus } from "../../domain/batch.ts";
import { isFinal, type TaskStatus } from "../../domain/task.ts";
import type { Json } from "../../lib/json.ts";
import { cut, withoutNulls } from "../cut.ts";
import { pathOf } from "../rest.ts";
import type { World } from "../tool.ts";
import { waitForEnd } from "../wait.ts";

/** The used fields of a batch. */
export type Batch = {
  id: string;
  name: string;
  status: BatchStatus;
  isDryRun: boolean;
  progress: Record<string, number>;
  costUsd: number | null;
  pauseReason: { code: string; message: string } | null;
  chain: { error: { code: string; message: string } | null } | null;
  waiting?: { reason: string; until: string | null } | null;
  estimatedCompletionAt?: string | null;
  createdAt: string;
  completedAt: string | null;
};

/** The used fields of a task. */
export type Task = {
  id: string;
  status: TaskStatus;
  provider: string | null;
  result: {
    content: string | null;
    finishReason: string | null;
    model: string | null;
    usage: Json;
    costUsd: number | null;
    toolCalls?: Json;
    isDryRun?: true;
  } | null;
  error: { code: string; message: string } | null;
  reason: string | null;
};

/** A short description of a batch, after waiting for its end. */
export async function batchAfter(world: World, id: string, seconds: number): Promise<object> {
  const read = () =>
    world.rest.call<Batch>(pathOf("batches", id), {
      query: { limit: 1 },
      signal: world.signal,
    });
  let batch = await read();
  const isOver = async () => {
    batch = await read();
    return !isGoingOn(batch);
  };
  if (isGoingOn(batch)) {
    await waitForEnd(world, "batches", id, { seconds, isOver });
    batch = await read();
  }
  return describeBatch(batch);
}

/** Whether the batch is in progress. A batch that was not started is not, unless it waits for another one. */
function isGoingOn({ status, chain }: Batch): boolean {
  return status === "running" || (status === "pending" && chain !== null);
}

export function describeBatch(batch: Batch) {
  const { id, status, progress, isDryRun, pauseReason, chain, ...rest } = batch;
  const counts = Object.entries(progress).filter(([name, n]) => n > 0 || name === "total");
  return withoutNulls({
    batchId: id,
    name: rest.name,
    status,
    progress: Object.fromEntries(counts),
    costUsd: rest.costUsd,
    simulated: isDryRun
      ? "a dry run: the simulator made the answers up, and nothing was paid"
      : null,
    paused: pauseReason && `${pauseReason.code}: ${pauseReason.message}`,
    error: chain?.error && `${chain.error.code}: ${chain.error.message}`,
    waiting: rest.waiting && withoutNulls(rest.waiting),
    estimatedCompletionAt: rest.estimatedCompletionAt,
    createdAt: rest.createdAt,
    completedAt: rest.completedAt,
    next: nextFor(batch),
  });
}

function nextFor({ status, progress, pauseReason }: Batch): string {
  if (status === "running") return "Call `status` with this id to wait for the end";
  if (status === "pending")
    return "It is not started: `estimate` says what it costs, `control_batch` starts it";
  if (status === "paused")
    return pauseReason?.code === "requested"
      ? "`control_batch` with `resume` continues it"
      : "Resolve the reason in `paused`, then `control_batch` with `resume` continues it";
  const failed = progress["failed"] ?? 0;
  return failed > 0
    ? `\`results\` has the answers; with status: "failed" why ${failed} failed; \`retry\` runs those again`
    : "`results` has the answers";
}

/** A task, after waiting for its end. Does not throw if the task has failed: that is the result. */
export async function taskAfter(world: World, id: string, seconds: number): Promise<object> {
  const read = () => world.rest.call<Task>(pathOf("tasks", id), { signal: world.signal });
  let task = await read();
  const isOver = async () => {
    task = await read();
    return isFinal(task.status);
  };
  if (!isFinal(task.status)) {
    await waitForEnd(world, "tasks", id, { seconds, isOver });
    task = await read();
  }
  return describeTask(task);
}

export function describeTask({ id, status, provider, result, error, reason }: Task) {
  const isSimulated = provider === "simulator" || result?.isDryRun === true;
  return withoutNulls({
    taskId: id,
    status,
    answer: result?.content == null ? null : cut(result.content),
    toolCalls: result?.toolCalls,
    error: error && `${error.code}: ${error.message}`,
    reason,
    finishReason: result?.finishReason,
    model: result?.model,
    usage: result?.usage,
    costUsd: result?.costUsd,
    simulated: isSimulated ? "the simulator made the answer up; no model was asked" : null,
    next: isFinal(status) ? null : "Call `status` with this id to wait for the answer",
  });
}
