import type { Context } from "../context.ts";
import { batchExecutionId } from "../domain/batch.ts";
import { awaited, isWaitingBatch } from "../domain/chain.ts";
import { AppError } from "../errors.ts";
import type { Batch } from "../store/batches.ts";
import { findUntried, startPilot } from "../store/pilot.ts";
import type { Queued } from "../store/queue.ts";
import { readRows } from "../store/rows.ts";
import { requireMoney } from "./batch-moves.ts";
import { getBatch } from "./batches.ts";
import type { Paid } from "./tasks.ts";
import { timesOf } from "./time.ts";

/** The most rows of a pilot. More rows need a proper run, which obeys the batch's `maxConcurrency`. */
export const MOST_PILOT_ROWS = 100;

/** The first rows of a batch, or a random sample. */
export type PilotRows = { kind: "limit" | "sample"; rows: number };

/**
 * Runs some rows of a batch that has not been started. The batch stays pending and keeps their results, and executing
 * it runs the rest. Also returns the row numbers of the tasks. Throws `BATCH_RUNNING` or `BATCH_FINISHED` if the
 * batch was started.
 */
export async function pilotBatch(
  ctx: Context,
  id: string,
  { kind, rows, payer }: PilotRows & Paid,
): Promise<{ executionId: string; rows: number; tasks: number[] }> {
  const batch = await getBatch(ctx, id);
  requirePending(batch);
  await requireMoney(ctx, { ...batch, payer });
  const chosen = await (kind === "limit"
    ? firstRows(ctx, batch, rows)
    : someRows(ctx, batch, rows));
  if (chosen.length === 0)
    throw new AppError("BATCH_FINISHED", `Batch ${id} has no row left that has not run`);
  const { moved, queued } = await ctx.writer.write(
    startPilot(batch.seq, chosen, {
      isDryRun: false,
      priority: null,
      payer,
      trace: ctx.tracing.current(),
      ...timesOf(ctx),
    }),
  );
  const [row] = moved.rows;
  if (!row) requirePending(await getBatch(ctx, id));
  if (!row || queued.rows.length === 0)
    throw new AppError("BATCH_RUNNING", `Rows of batch ${id} were queued meanwhile; try again`);
  wakeLanes(ctx, queued.rows);
  const tasks = queued.rows.map(({ task }) => task);
  return { executionId: batchExecutionId(row.seq, row.run), rows: tasks.length, tasks };
}

function requirePending(batch: Batch): void {
  const { id, status } = batch;
  if (isWaitingBatch(batch))
    throw new AppError(
      "BATCH_NOT_RUNNING",
      `Batch ${id} has no rows until ${awaited(batch)}; run the pilot then`,
    );
  if (status === "pending") return;
  const isOpen = status === "running" || status === "paused";
  throw new AppError(
    isOpen ? "BATCH_RUNNING" : "BATCH_FINISHED",
    `Batch ${id} is ${status}; a pilot is for a batch that has not been started`,
  );
}

async function firstRows(ctx: Context, { seq }: Batch, rows: number): Promise<number[]> {
  return (await readRows(ctx.client, findUntried(seq, rows, null))).map(({ seq }) => seq);
}

/** Random rows of the whole batch; if too many of them have already run, the first of the others. */
async function someRows(ctx: Context, batch: Batch, rows: number): Promise<number[]> {
  const positions = new Set<number>();
  const wanted = Math.min(rows * 3, batch.total);
  for (let i = 0; i < rows * 10 && positions.size < wanted; i++)
    positions.add(Math.floor(ctx.random() * batch.total));
  const found = await readRows(ctx.client, findUntried(batch.seq, wanted, [...positions]));
  const chosen = new Set<number>();
  while (chosen.size < Math.min(rows, found.length)) {
    const one = found[Math.floor(ctx.random() * found.length)];
    if (one) chosen.add(one.seq);
  }
  for (const seq of chosen.size < rows ? await firstRows(ctx, batch, 2 * rows) : [])
    if (chosen.size < rows) chosen.add(seq);
  return [...chosen];
}

function wakeLanes({ signals }: Context, queued: Queued[]): void {
  const signalled = new Set<string>();
  for (const { lane, model } of queued) {
    const name = `${lane} ${model}`;
    if (!signalled.has(name)) signals.emit("queued", { lane, model });
    signalled.add(name);
  }
}
