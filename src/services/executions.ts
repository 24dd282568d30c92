import type { Context } from "../context.ts";
import type { Execution } from "../db/schema/executions.ts";
import type { QueueRow } from "../db/schema/queue.ts";
import { parseExecutionId } from "../domain/task.ts";
import { AppError } from "../errors.ts";
import * as store from "../store/executions.ts";

/** An execution, ended or still in the queue. */
export type ExecutionRecord = {
  task: store.ExecutedTask;
  ended: Execution | null;
  queued: QueueRow | null;
};

export async function getExecution(ctx: Context, id: string): Promise<ExecutionRecord> {
  const name = parseExecutionId(id);
  const task = name && (await store.findExecutedTask(ctx.db, { seq: name.task }));
  if (name && task) {
    const ended = (await store.findExecution(ctx.db, name.task, name.run)) ?? null;
    const queued = task.queued?.run === name.run ? task.queued : null;
    if (ended || queued) return { task, ended, queued };
  }
  throw new AppError("EXECUTION_NOT_FOUND", `There is no execution with id ${id}`);
}

/** All executions of a task, the oldest first; the last may still be in the queue. */
export async function listExecutions(ctx: Context, taskId: string): Promise<ExecutionRecord[]> {
  const task = await store.findExecutedTask(ctx.db, { id: taskId });
  if (!task) throw new AppError("TASK_NOT_FOUND", `There is no task with id ${taskId}`);
  const ended = await store.listExecutions(ctx.reads.db, task.seq);
  return [
    ...ended.map((execution) => ({ task, ended: execution, queued: null })),
    ...(task.queued ? [{ task, ended: null, queued: task.queued }] : []),
  ];
}
