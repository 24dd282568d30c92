import type { Context } from "../context.ts";
import { batchExecutionId, type PauseReason } from "../domain/batch.ts";
import { awaited, isWaitingBatch } from "../domain/chain.ts";
import type { FinalStatus } from "../domain/task.ts";
import { AppError, invalid } from "../errors.ts";
import { endsWithin } from "../lib/clock.ts";
import { randomBase32 } from "../lib/ids.ts";
import * as moves from "../store/batch-moves.ts";
import type { Batch } from "../store/batches.ts";
import { askForStart } from "../store/chains.ts";
import { handBackPaused } from "../store/release.ts";
import { readRows } from "../store/rows.ts";
import { ALWAYS, type Which } from "../store/which.ts";
import { sweepBatch, sweepInBackground } from "./batch-sweeps.ts";
import { getBatch } from "./batches.ts";
import { requireBudget } from "./budgets.ts";
import { discardDraft } from "./drafts.ts";
import type { Paid } from "./tasks.ts";
import { timesOf } from "./time.ts";

/** How long an answer waits until the tasks of its batch are changed; they are changed in any case. */
const SWEEP_WAIT_MS = 2000;

/**
 * Starts a batch. An ended batch is restarted only after a dry run, whose answers are then replaced by real ones;
 * otherwise use `retryBatch`. A batch that waits for the rows of another is started when it has them, and has no
 * execution yet.
 */
export async function executeBatch(
  ctx: Context,
  id: string,
  { isDryRun, payer }: { isDryRun: boolean } & Paid,
): Promise<{ executionId: string | null }> {
  if (!isDryRun) await requireBudget(ctx, payer);
  const start = { isDryRun, payer, trace: ctx.tracing.current(), ...timesOf(ctx) };
  const batch = await startWhenMade(ctx, await getBatch(ctx, id), start);
  if (!batch) return { executionId: null };
  if (batch.total === 0) throw whyEmpty(batch);
  const started = await moved(ctx, moves.startBatch(batch, start));
  if (started) return { executionId: batchExecutionId(batch.seq, started.run) };
  const again = await restart(ctx, batch, {
    statuses: ["completed", "failed", "cancelled"],
    isDryRun,
    payer,
  });
  if (again) return again;
  const { status } = await getBatch(ctx, id);
  if (status === "running" || status === "paused")
    throw new AppError("BATCH_RUNNING", `Batch ${id} is ${status} already`);
  throw new AppError(
    "BATCH_FINISHED",
    `Batch ${id} is ${status}; retry its failed tasks, execute single tasks again, or create a new batch`,
  );
}

/** Starts a batch that has not been started, if `when` holds; otherwise nothing happens. */
export async function startPending(
  ctx: Context,
  batch: Batch,
  { isDryRun, payer }: { isDryRun: boolean } & Paid,
  when: Which,
): Promise<void> {
  if (batch.total === 0) throw whyEmpty(batch);
  const start = { isDryRun, payer, trace: ctx.tracing.current(), ...timesOf(ctx) };
  await moved(ctx, moves.startBatch(batch, start, when));
}

/**
 * Requests that a batch that waits for its rows starts when it has them. Returns the batch if it does not wait, or no
 * longer.
 */
async function startWhenMade(
  ctx: Context,
  batch: Batch,
  start: moves.Start,
): Promise<Batch | undefined> {
  if (!isWaitingBatch(batch)) return batch;
  const { asked } = await ctx.writer.write({ asked: askForStart(batch.seq, start) });
  if (asked.rows.length > 0) return undefined;
  const now = await getBatch(ctx, batch.id);
  if (!isWaitingBatch(now)) return now;
  throw new AppError(
    "BATCH_RUNNING",
    `Batch ${batch.id} starts by itself when ${awaited(batch)}; it was executed before`,
  );
}

function whyEmpty({ id, chainError }: Batch): AppError {
  if (!chainError) return invalid([{ path: "id", message: `batch ${id} has no tasks` }]);
  return new AppError(
    "BATCH_FINISHED",
    `Batch ${id} has no tasks, since they could not be made: ${chainError.message}. Delete it and create it again`,
  );
}

/** Runs the failed tasks of a batch again, and on request the cancelled ones. */
export async function retryBatch(
  ctx: Context,
  id: string,
  { statuses, payer }: { statuses: FinalStatus[] } & Paid,
): Promise<{ executionId: string }> {
  const batch = await getBatch(ctx, id);
  if (!batch.isDryRun) await requireBudget(ctx, payer);
  const started = await restart(ctx, batch, { statuses, isDryRun: null, payer });
  if (started) return started;
  const now = await getBatch(ctx, id);
  const what = `${statuses.join(" or ")} tasks`;
  throw now.status === "pending"
    ? new AppError("BATCH_NOT_RUNNING", `Batch ${id} has not been started`)
    : new AppError("BATCH_FINISHED", `Batch ${id} is ${now.status} and has no ${what} to retry`);
}

async function restart(
  ctx: Context,
  batch: Batch,
  rerun: Omit<moves.Rerun, "now" | "steadyNow" | "trace">,
): Promise<{ executionId: string } | undefined> {
  const started = await moved(
    ctx,
    moves.restartBatch(batch, { ...rerun, trace: ctx.tracing.current(), ...timesOf(ctx) }),
  );
  if (!started) return undefined;
  await sweepForAWhile(ctx, batch.seq);
  return { executionId: batchExecutionId(batch.seq, started.run) };
}

/**
 * Pauses a batch: no more calls start until it is resumed. Calls in flight finish; with `abort` they are aborted in
 * all processes, and repeated after the batch is resumed. Pausing a paused batch has no other effect.
 */
export async function pauseBatch(
  ctx: Context,
  id: string,
  reason: PauseReason,
  { abort }: { abort: boolean },
): Promise<Batch> {
  const { batch, row } = await movedById(ctx, id, ({ seq }) =>
    moves.pauseBatch(seq, reason, ctx.clock.now()),
  );
  if (abort) await abortCalls(ctx, batch.seq);
  const now = await getBatch(ctx, id);
  if (!row && now.status !== "paused") throw notRunning(now);
  return now;
}

async function abortCalls(ctx: Context, seq: number): Promise<void> {
  const { released } = await ctx.writer.write(handBackPaused(seq, ctx.clock.now()));
  const tasks = released.rows.map(({ task }) => task);
  if (tasks.length > 0) ctx.signals.emit("abandoned", { tasks });
}

/** Resumes a paused batch. Resuming a running batch changes nothing. */
export async function resumeBatch(ctx: Context, id: string): Promise<Batch> {
  const paused = await getBatch(ctx, id);
  if (!paused.isDryRun) await requireMoney(ctx, paused);
  const { row } = await movedById(ctx, id, (batch) => moves.resumeBatch(batch, ctx.clock.now()));
  const now = await getBatch(ctx, id);
  if (!row && now.status !== "running") throw notRunning(now);
  return now;
}

/** Throws `QUOTA_EXCEEDED` if its cap or its payer's budget would pause the batch again at once. */
export async function requireMoney(ctx: Context, batch: Batch): Promise<void> {
  const { id, maxCostUsd, costUsd, dearestUsd, payer, unpriced } = batch;
  if (maxCostUsd !== null && (costUsd >= maxCostUsd || maxCostUsd - costUsd < (dearestUsd ?? 0)))
    throw new AppError(
      "QUOTA_EXCEEDED",
      `Batch ${id} has cost ${costUsd.toFixed(4)} of its ${maxCostUsd} USD, which does not pay for another call; raise maxCostUsd first`,
    );
  if (maxCostUsd !== null && unpriced > 0)
    throw new AppError(
      "QUOTA_EXCEEDED",
      `A call of batch ${id} had an unknown cost, so its maxCostUsd cannot be kept; remove maxCostUsd first`,
    );
  if (payer !== null) await requireBudget(ctx, payer);
}

function notRunning({ id, status }: Batch): AppError {
  return status === "pending"
    ? new AppError("BATCH_NOT_RUNNING", `Batch ${id} has not been started`)
    : new AppError("BATCH_FINISHED", `Batch ${id} is already ${status}`);
}

/** Cancels a batch: calls in flight are aborted, unfinished tasks become `cancelled`, results stay. */
export async function cancelBatch(ctx: Context, id: string): Promise<Batch> {
  const { batch, row } = await movedById(ctx, id, (batch) =>
    moves.cancelBatch(batch, ctx.clock.now()),
  );
  if (!row) throw new AppError("BATCH_FINISHED", `Batch ${id} is already ${batch.status}`);
  await sweepForAWhile(ctx, batch.seq);
  return getBatch(ctx, id);
}

/** How many batches are expired at a time. */
const AT_ONCE = 100;

/** Cancels the batches whose deadline has passed. */
export async function expireBatches(ctx: Context): Promise<void> {
  for (;;) {
    const due = await readRows(ctx.client, moves.overdueBatches(ctx.clock.now(), AT_ONCE));
    for (const batch of due) {
      await moved(ctx, moves.cancelBatch(batch, ctx.clock.now(), true));
      await sweepBatch(ctx, batch.seq);
    }
    if (due.length < AT_ONCE) return;
  }
}

/** How often a batch is cancelled and deleted if others start it in between. */
const MOST_TRIES = 5;

/**
 * Deletes a batch with its tasks and results. A running batch is deleted only with `force`, which cancels it first.
 */
export async function deleteBatch(ctx: Context, id: string, force: boolean): Promise<void> {
  let batch = await getBatch(ctx, id);
  for (let tries = 0; tries < MOST_TRIES; tries++) {
    if (force) await cancelIfRunning(ctx, batch);
    if (await dropBatch(ctx, batch)) return;
    // With force it was started again meanwhile; without, it may have got its tasks.
    const now = await getBatch(ctx, id);
    if (now.seq === batch.seq && !force) break;
    batch = now;
  }
  throw new AppError(
    "BATCH_RUNNING",
    `Batch ${id} is running; cancel it first, or delete it with ?force=true`,
  );
}

/** Deletes a batch that has no call in flight, if `when` holds. Returns whether it did. */
export async function dropBatch(
  ctx: Context,
  batch: Pick<Batch, "id" | "seq">,
  when: Which = ALWAYS,
): Promise<boolean> {
  const draft = `~${randomBase32(ctx.random, 16)}`;
  if (!(await moved(ctx, moves.dropBatch(batch, draft, ctx.live.node, when)))) return false;
  ctx.signals.emit("deleted", undefined);
  await discardDraft(ctx, draft);
  return true;
}

async function cancelIfRunning(ctx: Context, batch: Batch): Promise<void> {
  await moved(ctx, moves.cancelBatch(batch, ctx.clock.now()));
  await sweepBatch(ctx, batch.seq);
}

/** Changes a batch's name, description, `maxConcurrency` or `maxCostUsd`, which apply from the next call on. */
export async function updateBatch(
  ctx: Context,
  id: string,
  change: moves.BatchChange,
): Promise<Batch> {
  await movedById(ctx, id, (batch) => moves.updateBatch(batch, change, ctx.clock.now()));
  return getBatch(ctx, id);
}

/**
 * Makes a move of the batch with an id. A batch that waited for its tasks gets another row with them: if that happened
 * since it was read, the move is made for that row. Returns the batch, and the row of the move if that was allowed.
 */
async function movedById(ctx: Context, id: string, move: (batch: Batch) => moves.Move) {
  for (let batch = await getBatch(ctx, id); ;) {
    const row = await moved(ctx, move(batch));
    if (row) return { batch, row };
    const now = await getBatch(ctx, id);
    if (now.seq === batch.seq) return { batch: now, row: undefined };
    batch = now;
  }
}

/** Makes a move. Returns the batch, or `undefined` if the move was not allowed. */
async function moved(ctx: Context, move: moves.Move) {
  const [row] = (await ctx.writer.write(move)).moved.rows;
  if (!row) return undefined;
  ctx.signals.emit("batch", undefined);
  ctx.signals.emit("events", undefined);
  return row;
}

async function sweepForAWhile(ctx: Context, seq: number): Promise<void> {
  await endsWithin(ctx.clock, sweepInBackground(ctx, seq), SWEEP_WAIT_MS);
}
