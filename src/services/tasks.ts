import type { Context } from "../context.ts";
import { SINGLE_TASKS } from "../domain/batch.ts";
import { cacheKeyOf } from "../domain/cache-key.ts";
import { ComposeError, composeRequest } from "../domain/compose.ts";
import { laneOfModel } from "../domain/flex.ts";
import type { AnswerFields } from "../domain/output.ts";
import type { TaskInput } from "../domain/task-input.ts";
import { executionId, isFinal, priorityRank, type TaskStatus } from "../domain/task.ts";
import { AppError, invalid } from "../errors.ts";
import { newId } from "../lib/ids.ts";
import { findBatchSeq } from "../store/batches.ts";
import type { Idempotency } from "../store/idempotency.ts";
import { insertTask } from "../store/new-task.ts";
import type { Queued } from "../store/queue.ts";
import { readStock, tasksOf } from "../store/stock.ts";
import * as moves from "../store/task-moves.ts";
import * as store from "../store/tasks.ts";
import { announceCancelled } from "./announce-cancelled.ts";
import { requireAnswerFields } from "./answer-fields.ts";
import { attachUploadsTo } from "./attached-uploads.ts";
import { requireFunds } from "./budgets.ts";
import type { Caller } from "./caller.ts";
import { findOriginal, idempotencyOf, withoutDefaults } from "./idempotency.ts";
import { requireSupportedModel } from "./models.ts";
import { writeStored } from "./stored-bytes.ts";
import { sharedSteadyNow } from "./time.ts";

export type NewTask = TaskInput & AnswerFields & { batchId?: string | undefined };
export type Execute = { isDryRun: boolean; priority: TaskInput["priority"] };
/** Row number of the key that requests a run, and pays for it. */
export type Paid = { payer: number };
export type CreatedTask = {
  id: string;
  status: TaskStatus;
  createdAt: number;
  executionId: string | null;
  isReplay: boolean;
};

const NO_VARIABLES = new Map<string, string>();

/** The endpoint of tasks that are created one by one. */
const CHAT = "/v1/chat/completions";

/**
 * Stores a task and, with `execute`, queues it in the same commit. Concurrent requests with one idempotency key
 * create one task.
 */
export async function createTask(
  ctx: Context,
  caller: Caller,
  input: NewTask,
  execute: Execute | null = null,
): Promise<CreatedTask> {
  const { idempotencyKey, ...payload } = input;
  const idempotency =
    idempotencyKey === undefined
      ? null
      : await idempotencyOf(ctx, caller, idempotencyKey, [
          "task",
          withoutDefaults(payload),
          execute,
        ]);
  const composed = composeTask(ctx, input);
  const { model, prompt, flexMinutes, maxRepairs, escalateTo } = composed;
  await requireSupportedModel(ctx, model);
  await requireAnswerFields(ctx, input, "");
  const body = await attachUploadsTo(ctx, composed.body);
  if (execute?.isDryRun === false)
    await requireFunds(ctx, caller.key, { model, endpoint: CHAT, batchId: input.batchId ?? null });
  const now = ctx.clock.now();
  const id = input.id ?? newId(ctx, "task");
  const priority = priorityRank(input.priority ?? "normal");
  const written = writeStored(
    ctx,
    caller.key,
    insertTask({
      id,
      batchId: input.batchId ?? null,
      model,
      priority,
      maxRetries: input.maxRetries ?? null,
      timeoutMs: input.timeoutMs ?? null,
      flexMinutes,
      maxRepairs,
      escalateTo,
      apiKey: caller.key,
      endpoint: CHAT,
      body: JSON.stringify(body),
      cacheKey: input.cache ? cacheKeyOf(CHAT, body, maxRepairs !== null) : null,
      prompt,
      metadata: input.metadata ? JSON.stringify(input.metadata) : null,
      idempotency,
      trace: ctx.tracing.current(),
      execute: execute ? runOptions(ctx, { ...execute, payer: caller.key }, now) : null,
      now,
    }),
  );
  if (execute) announce(ctx, { model, flexMinutes }, execute);
  const { inserted, queued } = await written;
  const [row] = inserted.rows;
  announceLane(ctx, queued?.rows[0]);
  if (!row) return explainRefusal(ctx, input, id, idempotency);
  ctx.signals.emit("events", undefined);
  return {
    id,
    status: "pending",
    createdAt: now,
    executionId: execute ? executionId(row.seq, queued?.rows[0]?.run ?? 1) : null,
    isReplay: false,
  };
}

async function explainRefusal(
  ctx: Context,
  input: NewTask,
  id: string,
  idempotency: Idempotency | null,
): Promise<CreatedTask> {
  const original = await findOriginal(ctx, idempotency, "task");
  if (original !== undefined) {
    const { task, queued } = await getTask(ctx, original);
    const run = queued?.run ?? task.run;
    return {
      id: task.id,
      status: task.status,
      createdAt: task.createdAt,
      executionId: run > 0 ? executionId(task.seq, run) : null,
      isReplay: true,
    };
  }
  if (await store.findTask(ctx.db, id))
    throw new AppError("TASK_ALREADY_EXISTS", `There is a task with id ${id} already`);
  throw new AppError(
    "BATCH_RUNNING",
    `Batch ${input.batchId} has begun, or waits for the rows of another, so that no task can be added to it; give the task another batchId`,
  );
}

/** The provider request of a single task. Throws `VALIDATION_ERROR` if there is nothing to send. */
export function composeTask(ctx: Context, input: TaskInput & AnswerFields) {
  const { output, maxRepairs, escalateTo, ...task } = input;
  try {
    return composeRequest(
      task,
      { output, maxRepairs, escalateTo },
      NO_VARIABLES,
      ctx.config.defaultModel,
    );
  } catch (error) {
    if (error instanceof ComposeError)
      throw invalid([{ path: error.field, message: error.message }]);
    throw error;
  }
}

/** Signals that a task is about to be queued. */
function announce(
  { signals }: Context,
  { model, flexMinutes }: { model: string; flexMinutes: number | null },
  { isDryRun }: Execute,
): void {
  const isFlex = flexMinutes !== null && !isDryRun;
  signals.emit("queued", { lane: SINGLE_TASKS, model: laneOfModel(model, isFlex) });
}

/** Signals the lane of a task that is not in lane 0; it was announced in lane 0 before its lane was known. */
function announceLane({ signals }: Context, queued: Queued | undefined): void {
  if (queued && queued.lane !== SINGLE_TASKS)
    signals.emit("queued", { lane: queued.lane, model: queued.model });
}

function runOptions(ctx: Context, execute: Execute & Paid, now = ctx.clock.now()) {
  return {
    isDryRun: execute.isDryRun,
    payer: execute.payer,
    trace: ctx.tracing.current(),
    priority: execute.priority === undefined ? null : priorityRank(execute.priority),
    now,
    steadyNow: sharedSteadyNow(ctx),
  };
}

export async function getTask(ctx: Context, id: string): Promise<store.TaskRecord> {
  const record = await store.findTask(ctx.db, id);
  if (!record) throw new AppError("TASK_NOT_FOUND", `There is no task with id ${id}`);
  return record;
}

export type TaskQuery = Omit<store.TaskFilter, "batch"> & { batchId?: string | undefined };

/** One page of the tasks that match, and how many match in all. */
export async function listTasks(ctx: Context, query: TaskQuery, page: store.TaskPage) {
  const { batchId, ...rest } = query;
  const batch = batchId === undefined ? undefined : await findBatchSeq(ctx.db, batchId);
  if (batchId !== undefined && batch === undefined) return { tasks: [], total: 0 };
  const filter = { ...rest, batch };
  const { createdAfter, createdBefore, status } = filter;
  const isOfAll = (batch ?? createdAfter ?? createdBefore) === undefined;
  return {
    tasks: await store.listTasks(ctx.reads.db, filter, page),
    total: isOfAll
      ? tasksOf(await readStock(ctx), status)
      : await store.countTasks(ctx.reads.db, filter),
  };
}

/** Queues a task; a finished one starts a new execution. Throws `TASK_RUNNING` if it is queued or running. */
export async function executeTask(
  ctx: Context,
  id: string,
  execute: Execute & Paid,
): Promise<{ executionId: string }> {
  const { task, batchId, input } = await getTask(ctx, id);
  if (!execute.isDryRun)
    await requireFunds(ctx, execute.payer, {
      model: task.model,
      endpoint: input.endpoint,
      batchId: batchId || null,
    });
  const written = ctx.writer.write(moves.executeTask(id, runOptions(ctx, execute)));
  announce(ctx, task, execute);
  const [row] = (await written).queued.rows;
  announceLane(ctx, row);
  if (row) return { executionId: executionId(row.task, row.run) };
  await getTask(ctx, id);
  throw new AppError("TASK_RUNNING", `Task ${id} is already queued or running`);
}

/** Cancels a task that has not finished; the call in flight, if there is one, is aborted. */
export async function cancelTask(ctx: Context, id: string): Promise<store.TaskRecord> {
  await getTask(ctx, id);
  const now = ctx.clock.now();
  const unit = moves.cancelTask(id, ctx.tracing.current(), now);
  const { cancelled, runs } = await ctx.writer.write(unit);
  const [row] = cancelled.rows;
  // At once: the task may be executed again by the next commit, and its new call must not be aborted.
  if (row) {
    ctx.signals.emit("abandoned", { tasks: [row.seq] });
    ctx.meters.add("tasks_total", 'status="cancelled"');
    announceCancelled(ctx, runs.rows, now);
    ctx.signals.emit("settled", { tasks: [row.seq] });
    ctx.signals.emit("events", undefined);
  }
  const after = await getTask(ctx, id);
  if (!row) throw new AppError("TASK_FINISHED", `Task ${id} is already ${after.task.status}`);
  return after;
}

/** How often a task is cancelled and deleted if others execute it in between. */
const MOST_TRIES = 5;

/**
 * Deletes a task and everything that belongs to it. A running task is deleted only with `force`, which cancels it
 * first.
 */
export async function deleteTask(ctx: Context, id: string, force: boolean): Promise<void> {
  let { task } = await getTask(ctx, id);
  for (let tries = force ? MOST_TRIES : 1; tries > 0; tries--) {
    if (task.status === "running" && force) await cancelIfRunning(ctx, id);
    const { deleted } = await ctx.writer.write(moves.deleteTask(id, ctx.clock.now()));
    if (deleted.rows.length > 0) {
      ctx.signals.emit("deleted", undefined);
      return;
    }
    ({ task } = await getTask(ctx, id));
  }
  throw new AppError(
    "TASK_RUNNING",
    `Task ${id} is running; cancel it first, or delete it with ?force=true`,
  );
}

async function cancelIfRunning(ctx: Context, id: string): Promise<void> {
  try {
    await cancelTask(ctx, id);
  } catch (error) {
    if (!(error instanceof AppError && error.code === "TASK_FINISHED")) throw error;
  }
}

/** The task once it has ended, or its current state after `waitMs` or when `signal` aborts. */
export async function waitForTask(
  ctx: Context,
  id: string,
  waitMs: number,
  signal: AbortSignal,
): Promise<store.TaskRecord> {
  const { task } = await getTask(ctx, id);
  if (!isFinal(task.status)) await ctx.waits.untilEnded([task.seq], waitMs, signal);
  return getTask(ctx, id);
}
