import { getLogger } from "@logtape/logtape";

import type { Context } from "../context.ts";
import { costOf } from "../domain/batch.ts";
import { batchIdOfRun, nameOutput, type RunError, type RunOutcome } from "../domain/schedule.ts";
import { BatchConfig } from "../domain/task-input.ts";
import { AppError } from "../errors.ts";
import { logError } from "../lib/logged-error.ts";
import { label } from "../lib/meters.ts";
import { cancelBatch, startPending } from "../services/batch-moves.ts";
import { requireBudget } from "../services/budgets.ts";
import { createBatch } from "../services/create-batch.ts";
import { discardBatchOf } from "../services/discard-run.ts";
import { discardDrafts, hasDrafts } from "../services/drafts.ts";
import { whyKeyIsInvalid } from "../services/key-validity.ts";
import { commonSteadyTime } from "../services/time.ts";
import { deleteAlert, insertAlert } from "../store/alerts.ts";
import { type Batch, findBatch } from "../store/batches.ts";
import { insertEvent } from "../store/events.ts";
import {
  beginRun,
  dropRuns,
  endRun,
  findRun,
  isRunAsRead,
  isWanted,
  postponeRun,
  type ScheduleRun,
} from "../store/schedule-runs.ts";
import { isFailing, noteRun, pauseSchedule, type Schedule } from "../store/schedules.ts";
import { ALWAYS, both, hasRow, not, type Which } from "../store/which.ts";

const log = getLogger(["gptrunner", "scheduler"]);

/** The most attempts to begin a run, if its input is not at fault. */
const MOST_ATTEMPTS = 6;
const RETRY_MS = 1000;

/**
 * Makes the batch of a run and starts it. It may be repeated after a crash at any point: the batch's id follows from
 * the run's, and an existing batch is neither made again nor started twice. Nothing happens if the run has passed from
 * this node to another, because this one stood still.
 */
export async function startRun(ctx: Context, id: string, node: number): Promise<void> {
  const found = await findRun(ctx.db, id);
  if (!found || found.run.status !== "pending" || found.run.owner !== node) return;
  const { run, schedule } = found;
  const outputFile = schedule.outputFile && nameOutput(schedule.outputFile, schedule, run);
  const { isDryRun } = run;
  try {
    const existing = await findBatch(ctx.db, batchIdOfRun(run.id));
    if (!existing || existing.status === "pending") await requirePayer(ctx, schedule, run);
    const batch = existing ?? (await makeBatch(ctx, schedule, run, outputFile));
    // Another process that took the run over may have started it, and it may have ended, too.
    if (batch.status === "pending")
      await startPending(ctx, batch, { isDryRun, payer: schedule.apiKey }, isWanted(run.id));
    const { begun } = await ctx.writer.write(
      beginRun(run, { batch: batch.id, outputFile: batch.outputFile, now: ctx.clock.now() }),
    );
    if (begun.changed === 0 && !(await findRun(ctx.db, id))) await discardBatchOf(ctx, id);
  } catch (error) {
    if (!(await isStillWanted(ctx, run))) return;
    await afterFailedStart(ctx, schedule, run, error);
  }
}

/** Whether a run is still wanted. A run whose schedule was deleted, or that is to be cancelled, has not failed. */
async function isStillWanted(ctx: Context, { id }: ScheduleRun): Promise<boolean> {
  const run = (await findRun(ctx.db, id))?.run;
  return run?.status === "pending" && run.cancelReason === null;
}

/** Throws if the key must not pay for the run. A run whose batch was started has been paid for, at least in part. */
async function requirePayer(
  ctx: Context,
  { apiKey }: Schedule,
  { isDryRun }: ScheduleRun,
): Promise<void> {
  const refusal = await whyKeyIsInvalid(ctx, apiKey, "created with");
  if (refusal !== undefined) throw new AppError("FORBIDDEN", refusal);
  if (!isDryRun) await requireBudget(ctx, apiKey);
}

async function makeBatch(
  ctx: Context,
  schedule: Schedule,
  run: ScheduleRun,
  outputFile: string | null,
): Promise<Batch> {
  const id = batchIdOfRun(run.id);
  // A process that died while it made the batch may have left rows with the same ids. The draft of a node that has
  // taken the run over since is newer than all that are found while this one owns the run.
  const draft = `${run.id}-`;
  await discardDrafts(ctx, draft, hasRow("schedule_runs", isRunAsRead(run)));
  try {
    await createBatch(
      ctx,
      { key: schedule.apiKey },
      {
        id,
        name: `${schedule.name} ${new Date(run.scheduledAt).toISOString()}`.slice(0, 200),
        inputFile: schedule.inputFile,
        scopedIds: true,
        outputFile: outputFile ?? undefined,
        config: BatchConfig.parse(schedule.config),
        metadata: {
          scheduledTaskId: schedule.id,
          runId: run.id,
          scheduledAt: new Date(run.scheduledAt).toISOString(),
        },
      },
      { draft, when: isWanted(run.id) },
    );
  } catch (error) {
    // Another process that was declared dead may have made it meanwhile, or be about to.
    const made = await findBatch(ctx.db, id);
    if (made) return made;
    if (await hasDrafts(ctx, draft)) throw new Error("another process makes it", { cause: error });
    throw error;
  }
  const made = await findBatch(ctx.db, id);
  if (!made) throw new Error(`batch ${id} of run ${run.id} is gone`);
  return made;
}

async function afterFailedStart(
  ctx: Context,
  schedule: Schedule,
  run: ScheduleRun,
  error: unknown,
): Promise<void> {
  if (error instanceof AppError && error.code !== "SERVICE_UNAVAILABLE") {
    const { code, message, details } = error;
    const why = { code, message, ...(Object.keys(details).length > 0 ? { details } : {}) };
    return failStart(ctx, schedule, run, why);
  }
  logError(log, "Run {id} could not be started: {error}", { id: run.id, error });
  if (run.attempts + 1 < MOST_ATTEMPTS) {
    const retryAt = (await commonSteadyTime(ctx)) + RETRY_MS * 2 ** run.attempts;
    await ctx.writer.write({ postponed: postponeRun(run, retryAt) });
    return;
  }
  const message = "It could not be started; the log says why";
  await failStart(ctx, schedule, run, { code: "INTERNAL_ERROR", message });
}

/** Ends a run whose batch has ended or was deleted. */
export async function endFinishedRun(ctx: Context, id: string): Promise<void> {
  const found = await findRun(ctx.db, id);
  if (!found) return;
  const { run, schedule, batch } = found;
  await finishRun(ctx, schedule, run, { ...outcomeOf(run, batch), batch });
}

type Outcome = { status: RunOutcome; reason: string | null; error: RunError | null };

function outcomeOf(run: ScheduleRun, batch: Batch | null): Outcome {
  const failed = (code: string, message: string): Outcome => ({
    status: "failed",
    reason: message,
    error: { code, message },
  });
  if (!batch) return failed("BATCH_NOT_FOUND", `Its batch ${run.batch} was deleted`);
  if (batch.status === "cancelled") {
    const reason = run.cancelReason ?? `Its batch ${batch.id} was cancelled`;
    return { status: "cancelled", reason, error: null };
  }
  if (batch.status === "failed")
    return failed(
      "BATCH_FAILED",
      `None of the ${batch.total} tasks of batch ${batch.id} succeeded`,
    );
  if (batch.outputStatus === "failed")
    return failed(
      "OUTPUT_FAILED",
      `The results file could not be written: ${batch.outputError}. The results are in batch ${batch.id}`,
    );
  const some = `${batch.failed} of ${batch.total} tasks failed`;
  return { status: "completed", reason: batch.failed > 0 ? some : null, error: null };
}

/** Ends a run that could not be started, and removes its batch, unless another process has started that meanwhile. */
async function failStart(
  ctx: Context,
  schedule: Schedule,
  run: ScheduleRun,
  error: RunError,
): Promise<void> {
  const isStarted = hasRow("batches", {
    where: "id = ? AND status <> 'pending'",
    args: [batchIdOfRun(run.id)],
  });
  const outcome = { status: "failed" as const, reason: error.message, error, batch: null };
  if (await finishRun(ctx, schedule, run, outcome, not(isStarted)))
    await discardBatchOf(ctx, run.id);
}

/**
 * Writes the end of a run, its event, the state of its schedule and, if that is paused, its alert in one unit, if
 * `when` holds. Returns whether it did.
 */
async function finishRun(
  ctx: Context,
  schedule: Schedule,
  run: ScheduleRun,
  { status, reason, error, batch }: Outcome & { batch: Batch | null },
  when: Which = ALWAYS,
): Promise<boolean> {
  const now = ctx.clock.now();
  const stop = `Stopped after ${schedule.failuresInARow + 1} failed runs in a row; the last: ${reason}`;
  const alert = {
    code: "schedule.paused" as const,
    subject: schedule.id,
    message: `Scheduled task ${schedule.id} (${schedule.name}): ${stop}`,
    raisedAt: now,
  };
  const which = both(isRunAsRead(run), when);
  const can = hasRow("schedule_runs", which);
  const mustStop = both(can, hasRow("schedules", isFailing(schedule.seq)));
  const { ended } = await ctx.writer.write({
    event: insertEvent(
      {
        type: "scheduled_task.executed",
        at: now,
        task: null,
        batch: batch?.id ?? run.batch,
        data: toData(schedule, run, { status, reason, error, batch }),
      },
      can,
    ),
    noted: noteRun(schedule.seq, run.scheduledAt, status, can),
    stopped:
      status === "failed"
        ? {
            replaced: deleteAlert(alert.code, alert.subject, now, mustStop),
            alert: insertAlert(alert, mustStop),
            dropped: dropRuns(schedule.seq, {
              which: "queued",
              reason: "The schedule was stopped",
              when: mustStop,
            }),
            paused: pauseSchedule(both(isFailing(schedule.seq), can), stop, now),
          }
        : undefined,
    ended: endRun(which, {
      status,
      reason,
      error,
      counts: batch && { ...batch, costUsd: costOf(batch) },
      now,
    }),
  });
  if (ended.changed > 0) ctx.meters.add("schedule_fires_total", label("outcome", status));
  ctx.signals.emit("events", undefined);
  return ended.changed > 0;
}

/** The data of `scheduled_task.executed`. */
function toData(
  schedule: Schedule,
  run: ScheduleRun,
  { status, reason, error, batch }: Outcome & { batch: Batch | null },
) {
  return {
    scheduledTaskId: schedule.id,
    name: schedule.name,
    runId: run.id,
    status,
    ...(reason === null ? {} : { reason }),
    ...(error === null ? {} : { error: { code: error.code, message: error.message } }),
    cause: run.cause,
    scheduledAt: new Date(run.scheduledAt).toISOString(),
    isDryRun: run.isDryRun,
    total: batch?.total ?? 0,
    completed: batch?.completed ?? 0,
    failed: batch?.failed ?? 0,
    cancelled: batch?.cancelled ?? 0,
    costUsd: batch ? costOf(batch) : 0,
    outputFile: batch?.outputFile ?? null,
  };
}

/** Cancels the batch of a run whose cancellation was requested; the run ends when its batch has. */
export async function cancelRun(ctx: Context, batch: string): Promise<void> {
  try {
    await cancelBatch(ctx, batch);
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
  }
}
