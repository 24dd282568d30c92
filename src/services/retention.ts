import type { Context } from "../context.ts";
import { SINGLE_TASKS } from "../domain/batch.ts";
import type { FinalStatus } from "../domain/task.ts";
import { createStep } from "../lib/step.ts";
import {
  type AgingTable,
  IS_UNSCHEDULED,
  nextBatches,
  oldFiles,
  oldTasks,
  pruneWindow,
} from "../store/prune.ts";
import { readRows } from "../store/rows.ts";
import type { Which } from "../store/which.ts";
import { dropBatch } from "./batch-moves.ts";
import { deleteTasks } from "./delete-tasks.ts";
import { removeFile } from "./files.ts";

/** How many rows are examined in one commit: a millisecond or two. */
const AT_ONCE = 500;
/**
 * The target duration of a commit. On a shared database most of it is the round trip, which does not depend on the
 * number of rows.
 */
const TARGET_MS = { exclusive: 20, shared: 250 };
const PAGE = 200;

const FINAL: readonly FinalStatus[] = ["completed", "failed", "cancelled"];

/** Removes rows, batches and files that are older than their retention, a few at a time. Returns how many. */
export async function pruneHistory(ctx: Context): Promise<number> {
  const { retentionMs, cacheRetentionMs, taskRetentionMs, fileRetentionMs } = ctx.config;
  let removed = 0;
  for (const table of ["events", "deliveries", "runs", "idempotencyKeys"] as const)
    removed += await prune(ctx, table, retentionMs);
  removed += await prune(ctx, "cachedAnswers", cacheRetentionMs);
  removed += await pruneBatches(ctx, taskRetentionMs);
  removed += await pruneTasks(ctx, taskRetentionMs);
  return removed + (await pruneFiles(ctx, fileRetentionMs));
}

/** Removes the rows of a table that are older than `keepMs`; 0 keeps all. */
async function prune(ctx: Context, table: AgingTable, keepMs: number): Promise<number> {
  if (keepMs === 0) return 0;
  return (await pruneBefore(ctx, table, ctx.clock.now() - keepMs)).removed;
}

export type Pruned = { removed: number; isMore: boolean };

/** Removes the rows of a table that were created before a time, for at most `longestMs`. */
export async function pruneBefore(
  ctx: Pick<Context, "clock" | "writer" | "isExclusive">,
  table: AgingTable,
  before: number,
  longestMs = Infinity,
): Promise<Pruned> {
  const until = ctx.clock.monotonic() + longestMs;
  const targetMs = ctx.isExclusive ? TARGET_MS.exclusive : TARGET_MS.shared;
  const step = createStep(ctx.clock, { most: AT_ONCE, targetMs });
  const now = ctx.clock.now();
  let [removed, after] = [0, -1];
  for (;;) {
    const limit = step.size();
    const window = { after, limit, before, now };
    const { seen, pruned } = await step.time(() => ctx.writer.write(pruneWindow(table, window)));
    removed += pruned.changed;
    const [row] = seen.rows;
    if (!row || row.last === null || row.rows < limit || row.young === row.rows)
      return { removed, isMore: false };
    after = row.last;
    if (ctx.clock.monotonic() > until) return { removed, isMore: true };
  }
}

/**
 * True for a row of `table` that ended before a time. It is checked once more with the deletion: a batch of the page may
 * have been retried while those before it were deleted.
 */
function endedBefore(table: "batches" | "tasks", before: number): Which {
  const statuses = FINAL.map((status) => `'${status}'`).join(", ");
  return {
    where: `${table}.status IN (${statuses}) AND ${table}.completed_at < ?`,
    args: [before],
  };
}

/** Removes batches that ended long ago, with their tasks and results. */
async function pruneBatches(ctx: Context, keepMs: number): Promise<number> {
  if (keepMs === 0) return 0;
  const before = ctx.clock.now() - keepMs;
  const when = endedBefore("batches", before);
  let [removed, after] = [0, 0];
  for (;;) {
    const page = await readRows(ctx.longReads.client, nextBatches(after, PAGE));
    for (const batch of page) {
      const isOld = batch.completedAt !== null && batch.completedAt < before;
      if (!isOld || !FINAL.some((final) => final === batch.status)) continue;
      if (await dropBatch(ctx, batch, when)) removed++;
    }
    const last = page.at(-1);
    if (!last || page.length < PAGE) return removed;
    after = last.seq;
  }
}

/** Removes single tasks that ended long ago; those of a batch are removed with it. */
async function pruneTasks(ctx: Context, keepMs: number): Promise<number> {
  if (keepMs === 0) return 0;
  const before = ctx.clock.now() - keepMs;
  const when = endedBefore("tasks", before);
  let removed = 0;
  for (const status of FINAL) {
    let after = { at: -1, seq: -1 };
    for (;;) {
      const page = await readRows(ctx.longReads.client, oldTasks(status, after, before, PAGE));
      const gone = page.filter(
        ({ batch, completedAt }) =>
          batch === SINGLE_TASKS && completedAt !== null && completedAt < before,
      );
      removed += await deleteTasks(ctx, gone, when);
      const last = page.at(-1);
      if (!last || page.length < PAGE) break;
      after = last;
    }
  }
  return removed;
}

async function pruneFiles(ctx: Context, keepMs: number): Promise<number> {
  if (keepMs === 0) return 0;
  let removed = 0;
  for (;;) {
    const page = await readRows(ctx.longReads.client, oldFiles(ctx.clock.now() - keepMs, PAGE));
    for (const { id } of page) if (await removeFile(ctx, id, IS_UNSCHEDULED)) removed++;
    if (page.length < PAGE) return removed;
  }
}
